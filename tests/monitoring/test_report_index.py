"""The history of days, the curve of the loop, and the folder that they are written to."""

from __future__ import annotations

import dataclasses
import datetime as dt
import os
import re
from itertools import pairwise
from pathlib import Path

import pytest
from monitoring_support import (
    FIRST,
    NAMES,
    SCORES,
    Page,
    day_report,
    decision,
    loop_days,
    promotion,
    story,
    unjudged_report,
)

from har.monitoring import LoopDay, loop_table, render_index, render_loop, write_pages
from har.monitoring._columns import Columns
from har.monitoring.drift import DayReport, FeatureScore

MOVES = [
    promotion(dt.datetime(2026, 1, 4, 9, tzinfo=dt.UTC), 1, None, 1),
    promotion(dt.datetime(2026, 1, 17, 3, 22, tzinfo=dt.UTC), 2, 1, 2),
]


def titles(page: Page, kind: str) -> list[str]:
    """What a pointer above the shapes of a class is told."""
    return [
        element[0].text or ""
        for drawing in page.drawings
        for element in drawing.iter()
        if kind in (element.get("class") or "").split() and len(element)
    ]


def labels(page: Page) -> list[str]:
    found = [e for drawing in page.drawings for e in drawing.iter() if "label" in (e.get("class") or "")]
    return [(e.text or "") + "".join(hint.tail or "" for hint in e) for e in found]


@pytest.fixture(scope="module")
def page() -> Page:
    return Page(render_index(*story(), MOVES, title="house"))


def test_history_marks_what_happened_and_when(page: Page) -> None:
    text = labels(page)
    for expected in ("Model version", "alarm level 1", "Drift alarm", "Drift confirmed", "Retraining", "Promoted"):
        assert expected in text
    for absent in ("Rolled back", "Not judged", "Held", "Faulty data"):
        assert absent not in text
    alarms = titles(page, "alarm")
    assert sum("2026-01-15: alarm" in title for title in alarms) == 1
    assert sum("confirmed since 2026-01-15" in title for title in alarms) == 1
    assert "2026-01-17: version 2 after version 1" in titles(page, "event")
    assert any("446 windows" in title for title in titles(page, "event")), "a retraining tells its reasons"
    assert titles(page, "band0") == ["Model version 1, 2026-01-05 to 2026-01-16"]
    assert titles(page, "band1") == ["Model version 2, 2026-01-17 to 2026-01-21"]


def test_heat_map_has_the_features_that_were_ever_worst(page: Page) -> None:
    rows = [name for name in labels(page) if "." in name and not name[0].isdigit()]
    assert len(rows) == 25
    assert rows[:4] == ["accel_x.mean", "accel_y.mean", "accel_x~accel_z.corr", "accel_y~accel_z.corr"]
    hot = [title for kind in ("h3", "h4", "h5") for title in titles(page, kind)]
    assert {title.split(":")[0] for title in hot} == {
        f"{name}, {date}" for name in rows[:4] for date in ("2026-01-15", "2026-01-16")
    }
    dots = sum(e.get("class") == "dot" for drawing in page.drawings for e in drawing.iter())
    assert dots == len(hot) + 3, "the alarm level shows without colour too, and the legend says so"
    cells = sum(len(titles(page, f"h{level}")) for level in range(6))
    assert cells == 25 * 17


def test_days_are_listed_newest_first_with_what_was_done(page: Page) -> None:
    days = [link.removesuffix(".html") for link in page.links]
    assert days == sorted(days, reverse=True)
    assert len(days) == 17
    text = page.words
    row = text[text.index("2026-01-16 Drift confirmed") :]
    assert row.index("Retrain") < row.index("2026-01-15 Drift alarm") < row.index("Keep watching")
    assert text.index("2026-01-17 03:22 UTC") < text.index("2026-01-04 09:00 UTC")
    assert "none → 1" in text
    assert "1 → 2" in text


def test_days_in_any_order_and_twice_count_once(page: Page) -> None:
    reports, decisions = story()
    again = Page(render_index([*reports[::-1], reports[-1]], decisions[::-1], MOVES[::-1], title="house"))
    assert again.source == page.source


def test_nothing_yet_says_so() -> None:
    text = Page(render_index([], [], [], title="house")).words
    assert "No day has been monitored yet" in text


def test_unjudged_days_have_no_score() -> None:
    days = [day_report(), unjudged_report(date=FIRST + dt.timedelta(days=1))]
    page = Page(render_index(days, [], [], title="house"))
    assert titles(page, "quiet") == ["2026-01-06: not judged"]
    assert len(titles(page, "curve-dot")) == 1
    assert "1 judged" in page.words
    only = Page(render_index(days[1:], [], [], title="house"))
    assert "Worst features" not in labels(only)
    assert only.links == ["2026-01-06.html"]


def test_several_subjects_can_alarm_a_day_whose_score_is_low() -> None:
    page = Page(render_index([day_report(alarmed=True, score=0.8)], [], [], title="house"))
    assert "2026-01-05: alarm" in titles(page, "alarm")
    assert titles(page, "curve-dot") == []


def test_a_hot_cell_of_the_confidence_is_said_to_be_no_alarm() -> None:
    unsure = FeatureScore("confidence", "confidence", {"hellinger": 0.6, "psi": 1.0}, -2.0, 3.0, 2.5, True)
    told = "confidence is shown beside the features and raises no alarm"
    unsure_day = Page(render_index([day_report(features=(unsure,))], [], [], title="house"))
    assert titles(unsure_day, "h4") == ["confidence, 2026-01-05: 2.5"]
    assert told in unsure_day.words
    plain = day_report(features=day_report().features[:1])
    assert told not in Page(render_index([plain], [], [], title="house")).words


def test_a_rollback_is_told_once_whoever_did_it() -> None:
    def days(*versions: int) -> list[DayReport]:
        return [day_report(date=FIRST + dt.timedelta(days=n), model_version=v) for n, v in enumerate(versions)]

    def rolled(page: Page) -> list[str]:
        return [title for title in titles(page, "event") if "roll back" in title or "version 1 after" in title]

    decided = [decision(FIRST + dt.timedelta(days=2), "rollback", event="har.probation.failed")]
    by_monitoring = Page(render_index(days(1, 2, 2, 1), decided, [], title="house"))
    assert rolled(by_monitoring) == ["2026-01-07: roll back"]
    by_hand = Page(render_index(days(1, 2, 2, 1), [], [], title="house"))
    assert rolled(by_hand) == ["2026-01-08: version 1 after version 2"]
    assert "Rolled back" in labels(by_hand)


@pytest.mark.parametrize(
    ("days", "unit", "columns"),
    [(1, "day", 1), (12, "day", 12), (62, "day", 62), (400, "week", 58), (900, "month", 30)],
)
def test_any_number_of_days_fits(days: int, unit: str, columns: int) -> None:
    found = Columns.of([FIRST + dt.timedelta(days=number) for number in range(days)])
    assert (found.unit, len(found)) == (unit, columns)
    assert found.extent <= 900
    fine, coarse = found.ticks()
    assert all(right - left >= 20 for (left, _), (right, _) in pairwise(fine))
    assert all(right - left >= 58 for (left, _), (right, _) in pairwise(coarse))
    assert coarse


def test_a_month_of_one_day_leaves_its_place_to_the_next() -> None:
    columns = Columns.of([dt.date(2026, 1, 31) + dt.timedelta(days=number) for number in range(40)])
    _, coarse = columns.ticks()
    assert [text for _, text in coarse] == ["2026-02", "2026-03"]


def test_a_long_history_aggregates_and_folds_away() -> None:
    reports, decisions = story(130, 100)
    page = Page(render_index(reports, decisions, MOVES, title="house"))
    assert "One column is a week: its worst day counts." in page.words
    assert "70 earlier days" in page.words
    assert len([link for link in page.links if link.startswith("20")]) == 130
    week = [title for title in titles(page, "h5") if title.startswith("accel_x.mean")]
    peak = max(feature.score for report in reports for feature in report.features)
    assert [title.split(": ")[1] for title in week] == [f"{peak:.1f}"]


def test_a_clock_that_jumped_does_not_stretch_the_axis() -> None:
    dates = [dt.date(1970, 1, 1), *(FIRST + dt.timedelta(days=number) for number in range(5)), dt.date(2099, 1, 1)]
    columns = Columns.of(dates)
    assert (columns.unit, len(columns), len(columns.gaps)) == ("day", 7, 2)
    page = Page(render_index([day_report(date=date) for date in dates], [], [], title="house"))
    assert "Days without a report are left out here" in titles(page, "gap")


def test_a_huge_score_keeps_its_place() -> None:
    worst = FeatureScore("accel_x.mean", "input", {"hellinger": 0.99, "psi": 20.0}, 5.0, 1.0, 4321.0, True)
    page = Page(render_index([day_report(features=(worst,), score=4321.0, alarmed=True)], [], [], title="house"))
    assert "accel_x.mean, 2026-01-05: 4\N{NARROW NO-BREAK SPACE}300" in titles(page, "h5")
    heights = [float(e.get("y") or 0) for e in page.drawings[0].iter() if "label" in (e.get("class") or "")]
    assert all(abs(a - b) >= 12 for a, b in pairwise(sorted(heights))), "labels do not touch"


def test_loop_shows_the_fault_the_models_and_the_events() -> None:
    rows = loop_days()
    page = Page(render_loop(rows, title="the loop"))
    text = page.words
    for expected in (
        "good, model version 1 92.0 %",
        "turned, model version 1 73.0 %",
        "turned, model version 2 89.0 %",
    ):
        assert expected in text
    begins = [e.text for d in page.drawings for e in d.iter() if e.get("class") == "begins"]
    assert begins == ["turned from 01-15"]
    assert {"Accuracy", "Drift score", "Model version", "Keep watching", "Retrain", "alarm level 1"} <= set(
        labels(page)
    )
    assert "version 2 serves" not in labels(page), "the band of versions says so"
    assert len(titles(page, "alarm")) == 2
    assert len(titles(page, "accuracy-dot")) == 17
    for row in rows:
        assert row.date.isoformat() in text


def test_loop_as_a_table() -> None:
    header, *body = loop_table(loop_days()[::-1])
    assert header == ("day", "phase", "accuracy", "drift score", "model", "events")
    assert [row[0] for row in body] == [f"2026-01-{day:02}" for day in range(5, 22)]
    assert body[11] == ("2026-01-16", "turned", "73.0\N{NO-BREAK SPACE}%", body[11][3], "1", "Retrain")
    assert body[11][3].endswith(" alarm")
    unknown = LoopDay(FIRST, None, None, False, 1, (), "good")
    assert loop_table([unknown])[1] == ("2026-01-05", "good", "–", "–", "1", "")
    assert Page(render_loop([unknown], title="the loop")).words.count("–") >= 2
    assert loop_table([]) == [header]


def stamps(folder: Path) -> dict[str, int]:
    """Which inode each file has: replaced ones have a new one."""
    return {path.name: path.stat().st_ino for path in folder.iterdir()}


def written(folder: Path, before: dict[str, int]) -> set[str]:
    return {name for name, inode in stamps(folder).items() if before.get(name) != inode}


def test_pages_are_written_whole_and_only_if_they_changed(tmp_path: Path) -> None:
    reports, decisions = story(12, 9)

    def write(days: int, rows=decisions, **changes) -> Path:
        return write_pages(tmp_path, reports[:days], rows[:days], MOVES, **{"title": "house", **changes})

    index = write(11)
    folder = tmp_path / "drift"
    assert index == folder / "index.html"
    dates = [report.date.isoformat() for report in reports]
    assert set(stamps(folder)) == {
        "index.html",
        *(f"{date}.{kind}" for date in dates[:11] for kind in ("html", "json")),
    }
    keep = [os.link(path, tmp_path / path.name) for path in folder.iterdir()]  # so that no inode is used twice
    assert len(keep) == 23

    before = stamps(folder)
    write(11)
    assert written(folder, before) == set(), "nothing new, nothing written"
    write(12)
    # The day before it now links to the new one.
    assert written(folder, before) == {"index.html", f"{dates[10]}.html", f"{dates[11]}.html", f"{dates[11]}.json"}

    before = stamps(folder)
    came = [
        dataclasses.replace(row, outcome="version 2 was promoted") if n == 3 else row for n, row in enumerate(decisions)
    ]
    write(12, came)
    assert written(folder, before) == {f"{dates[3]}.html"}, "what came of a decision is on its day's page"
    before = stamps(folder)
    write(12, came, title="other")
    assert len(written(folder, before)) == 13, "every page, no JSON"


def test_what_a_killed_run_left_is_mended(tmp_path: Path) -> None:
    reports, decisions = story(4)
    folder = write_pages(tmp_path, reports, decisions, MOVES, title="house").parent
    whole = {path.name: path.read_bytes() for path in folder.iterdir()}
    (folder / "2026-01-05.json").unlink()
    (folder / "2026-01-06.html").unlink()
    (folder / "2026-01-07.html").write_bytes(b"")
    (folder / "index.html").write_bytes(whole["index.html"][:900])
    write_pages(tmp_path, reports, decisions, MOVES, title="house")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == whole


def test_every_link_leads_somewhere_and_the_json_is_the_report(tmp_path: Path) -> None:
    reports, decisions = story(6)
    folder = write_pages(tmp_path, reports, decisions, MOVES, title="house").parent
    for path in folder.glob("*.html"):
        for link in Page(path.read_text(encoding="utf-8")).links:
            assert (folder / link).is_file()
    for report in reports:
        text = (folder / f"{report.date}.json").read_text(encoding="utf-8")
        assert DayReport.from_json(text, where="here") == report
        assert max(map(len, text.splitlines())) < 1500, "a person can read it"
        assert len(re.findall('^  {"name": ', text, re.MULTILINE)) == len(NAMES) + 2 + 5 + len(SCORES)


def test_an_empty_lake_has_an_index(tmp_path: Path) -> None:
    index = write_pages(tmp_path, [], [], [], title="house")
    assert [path.name for path in index.parent.iterdir()] == ["index.html"]
