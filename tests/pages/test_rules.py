"""What holds for every page: it opens offline, is accessible, fits both themes and a phone, and escapes names."""

from __future__ import annotations

import dataclasses
import datetime as dt
import re
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from monitoring_support import (
    FAULT,
    FIRST,
    PERFORMANCE,
    day_report,
    decision,
    distribution,
    history,
    loop_days,
    promotion,
    story,
    unjudged_report,
)
from outcome_support import make_outcome
from page_support import Chart, Page
from story_support import BEGAN, answers, figures, promoted, rolled_back
from tests_support import HAR_TOML

from har.evaluation import Latency, Outcome, evaluate
from har.monitoring.drift import FeatureScore, SliceScore
from har.monitoring.profiles import QualityAlarm
from har.pages import (
    render_activity,
    render_board,
    render_day,
    render_loop,
    render_release,
    render_report,
    summaries,
    write_index,
)
from har.pages._history import render_year
from har.settings import Settings, load_settings

EVIL = "<script>alert('x')</script>\"><img src=x onerror=alert(1)>"
SVG = "{http://www.w3.org/2000/svg}"
RETRAIN = decision(FIRST, "retrain", reasons=["446 windows have labels."], event="har.drift.confirmed", outcome="won")
_PAGE = r"\d{4}(-\d\d-\d\d)?|index|evaluation|loop|operations|model|model-\d+|v\d+-\d+"
LINK = re.compile(rf"(\.\./)?((drift|activity|releases)/)?({_PAGE})\.(html|json)|#.*")


def settings_in(folder: Path) -> Settings:
    (folder / "har.toml").write_text(HAR_TOML)
    return load_settings(folder)


def day(report=None, decisions=()) -> str:
    return render_day(report or day_report(), decisions, title="house", previous=None, following=None)


def activity(folder: Path, *names: str, subject: str = "s01") -> str:
    rows = [(FIRST, subject, name, 1.83, 40) for name in names]
    summary = pl.DataFrame(
        rows, schema=["date", "subject", "activity", "minutes", "windows"], orient="row"
    ).with_columns(pl.lit(0.5).alias("unknown_minutes"))
    predictions = pl.DataFrame(
        {"model_version": [1], "confidence": [0.9], "activity": ["PEN"], "unknown": [True], "smoothed": ["PEN"]}
    )
    return render_activity(summary, settings_in(folder), FIRST, predictions)


DEEPER = ("drift/index.html", "drift/2026-01-05.html", "releases/v3-1767600000000.html")


def index(folder: Path) -> str:
    for name in ("model-2.html", "evaluation.html", "loop.html", "operations.html", "model.html", *DEEPER):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).touch()
    (folder / "drift" / "2026-01-05.json").write_text('{"verdict": "No drift."}')
    return write_index(folder, title="house").read_text(encoding="utf-8")


PAGES: dict[str, Callable[[Path], str]] = {
    "day": lambda _: day(day_report(drifted=True, quality=(FAULT,), performance=PERFORMANCE), [RETRAIN]),
    "quiet day": lambda _: day(),
    "unjudged day": lambda _: day(unjudged_report()),
    "history": lambda _: history(*story(), [promotion(dt.datetime.now(dt.UTC), 1, None, 1)], title="house"),
    "year": lambda _: history(*story(130, 100), [], title="house"),
    "earlier year": lambda _: render_year(
        2026,
        summaries(*story(130, 100)),
        [promotion(dt.datetime(2026, 3, 1, tzinfo=dt.UTC), 1, None, 1)],
        title="house",
        content_id="0",
    ),
    "first of a month": lambda _: history(*story(28, 20), [], title="house"),
    "no day": lambda _: history([], [], [], title="house"),
    "loop": lambda _: render_loop(loop_days(), title="house"),
    "no loop": lambda _: render_loop([], title="house"),
    "evaluation": lambda _: render_report(
        evaluate(make_outcome()),
        title="house",
        facts={"Data": "samples@7"},
        latency=Latency(p50_us=57.2, p99_us=131.0, batch_windows_per_s=59123.4, runs=500),
        champion=evaluate(make_outcome(skill=2)),
        home="index.html",
    ),
    "activity": lambda folder: activity(folder, "PEN", "ROW", "uncertain"),
    "no activity": lambda folder: activity(folder),
    "all pages": index,
    "good release": lambda _: render_release(promoted(), title="house"),
    "bad release": lambda _: render_release(rolled_back(), answers(), title="house"),
    "begun release": lambda _: render_release(promoted()[:1], title="house"),
    "operations": lambda _: render_board(
        figures(),
        title="house: operations",
        at=dt.datetime.fromtimestamp(BEGAN + 1800, dt.UTC),
        span_s=1800,
        state="v2 serves.",
        other=("model.html", "Model and data"),
    ),
}


@pytest.fixture(scope="module", params=PAGES)
def any_page(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Page:
    return Page(PAGES[request.param](tmp_path_factory.mktemp("page")))


def test_every_page_opens_offline(any_page: Page) -> None:
    assert any_page.loads == []
    assert not {"script", "link", "iframe", "object", "embed", "base", "form"} & {tag for tag, _ in any_page.tags}
    assert [link for link in any_page.links if not LINK.fullmatch(link)] == []
    assert "@import" not in any_page.source
    assert re.findall(r"url\((?!#)", any_page.source) == []


def test_every_page_is_legible_without_seeing_it(any_page: Page) -> None:
    levels = [int(tag[1]) for tag, _ in any_page.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(deeper <= above + 1 for above, deeper in pairwise(levels))
    assert any_page.all("html")[0]["lang"] == "en"
    for heading in any_page.all("th"):
        assert heading.get("scope") in {"row", "col"}
    for chart in any_page.charts:
        title = chart.drawing.find(f"{SVG}title")
        assert title is not None
        assert chart.drawing.get("role") == "img"
        assert chart.drawing.get("aria-labelledby") == title.get("id")
        assert len(chart.description) > 20
    for part in any_page.all("div") + any_page.all("section"):
        if "scroll" in (part.get("class") or ""):
            assert part.get("aria-label"), "who scrolls by keyboard hears what"


def test_ids_are_unique_and_references_lead_to_them(any_page: Page) -> None:
    identities = re.findall(r'\bid="([^"]*)"', any_page.source)
    assert len(identities) == len(set(identities))
    assert set(re.findall(r'(?:url\(|href=")#([^")]*)', any_page.source)) <= set(identities)


def test_charts_take_the_colours_and_the_font_of_the_page(any_page: Page) -> None:
    """A colour of its own would vanish in one of the themes."""
    sheet = any_page.styles[0]
    for svg in re.findall(r"<svg.*?</svg>", any_page.source, re.DOTALL):
        assert re.findall(r"#[0-9a-f]{6}\b", svg) == []
        assert "font-family" not in svg
        assert "<style" not in svg
        assert set(re.findall(r"var\((--[a-z0-9-]+)\)", svg)) <= set(re.findall(r"(--[a-z0-9-]+):", sheet))
    for variable in set(re.findall(r"var\((--[a-z0-9-]+)\)", sheet)):
        assert sheet.count(f"{variable}:") == 3, "light, dark and print"


def assert_nothing_is_cut_off(chart: Chart) -> None:
    width, height = chart.size
    for text, x, y, style in chart.texts:
        length = 6.2 * len(text)
        anchor = re.search(r"text-anchor: (\w+)", style)
        left = x - {"start": 0.0, "middle": 0.5, "end": 1.0}[anchor[1] if anchor else "start"] * length
        assert -1 <= left <= left + length <= width + 1, text
        assert 0 <= y <= height, text


def test_no_text_of_a_chart_is_cut_off(any_page: Page) -> None:
    for chart in any_page.charts:
        assert_nothing_is_cut_off(chart)


def test_what_is_wide_scrolls_by_itself(any_page: Page) -> None:
    """A page that is wider than a phone is cut off there: tables and wide charts are in regions that scroll."""
    inside = []
    for tag, attributes in any_page.tags:
        if tag == "table":
            inside.append(attributes)
    scrolling = re.findall(r'<div class="scroll[^"]*"[^>]*>\s*<table', any_page.source)
    assert len(scrolling) == len(inside)
    for drawing, svg in zip(any_page.charts, re.finditer("<svg", any_page.source), strict=True):
        if drawing.size[0] > 390:
            before = any_page.source[: svg.start()]
            assert re.search(r'<div class="scroll[^"]*"[^>]*>(<div dir="ltr">)?$', before)


def test_names_from_files_do_no_harm(tmp_path: Path) -> None:
    worst = FeatureScore(EVIL, "input", {"hellinger": 0.9, "psi": 3.0}, 2.0, 1.0, 4.0, True)
    report = day_report(
        features=(worst,),
        distributions=(distribution(EVIL),),
        slices=(SliceScore("subject", EVIL, 1, 99, 2.0, True, (EVIL,)),),
        quality=(QualityAlarm("gaps", EVIL, 9.0, 1.0, EVIL),),
        diagnosis=f"diagnosis {EVIL}",
        verdict=f"verdict {EVIL}",
        alarmed=True,
    )
    row = decision(FIRST, EVIL, reasons=[EVIL], event=EVIL, outcome=EVIL)
    move = promotion(dt.datetime(2026, 1, 5, tzinfo=dt.UTC), 1, None, 1, reason=EVIL, who=EVIL, action=EVIL)
    first = dataclasses.replace(loop_days()[0], events=(EVIL,), phase=EVIL)
    after = dataclasses.replace(first, date=first.date + dt.timedelta(days=1), phase=f"more {EVIL}")
    drawn = make_outcome(activities=(EVIL, "a & b", '"$x$"', "_c"), subjects=1)
    evil = np.full(len(drawn.subjects), EVIL)
    judged = Outcome(drawn.labels, drawn.probabilities, evil, drawn.activities, recordings=evil)
    (tmp_path / "drift").mkdir()
    (tmp_path / "drift" / "2026-01-05.html").touch()
    (tmp_path / "drift" / "2026-01-05.json").write_text(report.to_json())
    for source, times in (
        (render_day(report, [row], title=EVIL, previous=None, following=None), 14),
        (history([report], [row], [move], title=EVIL), 8),
        (render_loop([first, after], title=EVIL), 8),
        # Title, heading, tile, fact's name and value, tables of activities, subjects and recordings, bars, and beside
        # the matrix.
        (render_report(evaluate(judged), title=EVIL, facts={EVIL: EVIL}), 10),
        (activity(tmp_path, EVIL.replace("_", ""), subject=EVIL), 3),
        (write_index(tmp_path, title=EVIL).read_text(), 3),
    ):
        shown = Page(source)
        assert not {"script", "img"} & {tag for tag, _ in shown.tags}
        assert shown.loads == []
        assert shown.words.count(EVIL) >= times, "shown as it is"


@pytest.mark.stack
def test_equal_input_gives_equal_bytes_in_every_process(tmp_path: Path) -> None:
    code = f"""
import sys; sys.path[:0] = {sys.path!r}
from monitoring_support import day_report, story
from har.pages import render_day, render_index
import hashlib
day = render_day(day_report(drifted=True), [], title="house", previous=None, following=None)
print(hashlib.sha256((day + history(*story(), [], title="house")).encode()).hexdigest())
"""
    runs = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
        for _ in range(2)
    ]
    assert runs[0].stdout == runs[1].stdout != ""


def test_matplotlib_is_imported_only_where_a_chart_is_drawn() -> None:
    code = "import sys, har.pages; print([name for name in ('torch', 'matplotlib') if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
