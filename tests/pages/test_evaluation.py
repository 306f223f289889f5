"""The page as a browser without a network meets it: parsed, not grepped."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import pytest
from page_support import Page
from pydantic import TypeAdapter

from har.evaluation import Evaluation, Latency, Outcome, evaluate
from har.pages import render_report, write_report

MakeOutcome = Callable[..., Outcome]
FACTS = {"Model version": "12", "Data": "samples@7"}


@pytest.fixture
def judged(outcome: MakeOutcome) -> Evaluation:
    return evaluate(outcome())


@pytest.fixture(scope="module")
def text(outcome: MakeOutcome) -> str:
    return render_report(evaluate(outcome()), title="Report", facts=FACTS)


def test_shows_four_charts(text: str) -> None:
    starts = ("Confusion matrix", "Accuracy per subject", "Accuracy against confidence", "Coverage and accuracy")
    assert [chart.description.startswith(start) for chart, start in zip(Page(text).charts, starts, strict=True)] == [
        True
    ] * 4


def test_counts_and_figures_are_there(judged: Evaluation) -> None:
    latency = Latency(p50_us=57.2, p99_us=131.0, batch_windows_per_s=59123.4, runs=500)
    page = Page(render_report(judged, title="Report", facts=FACTS, latency=latency))
    assert f"{100 * judged.accuracy:.1f} %" in page.words
    assert f"{100 * judged.accuracy_low:.1f} to {100 * judged.accuracy_high:.1f} %" in page.words
    for row in judged.confusion:
        for count in row:
            assert not count or f" {count} " in page.words
    for expected in (*judged.activities, *(row.subject for row in judged.subjects), *FACTS, *FACTS.values(), "57 µs"):
        assert expected in page.words
    headings = [attributes for tag, attributes in page.tags if tag == "th"]
    assert headings
    assert all(heading.get("scope") in {"row", "col"} for heading in headings)
    assert len(page.all("caption")) == len(page.all("table")) == 3


def test_verdict_comes_first(text: str) -> None:
    words = Page(text).words
    assert words.index("95 % interval") < words.index("Confusion matrix", words.index("95 % interval"))


def test_champion_is_set_beside(outcome: MakeOutcome, text: str) -> None:
    better, champion = evaluate(outcome(skill=3)), evaluate(outcome(skill=2))
    with_champion = render_report(better, title="Report", facts=FACTS, champion=champion)
    words = Page(with_champion).words
    assert f"accuracy changes by {100 * (better.accuracy - champion.accuracy):+.1f} points" in words
    assert f"champion {100 * champion.accuracy:.1f} %" in words
    assert "champion" not in text


def test_names_are_shown_as_they_are(outcome: MakeOutcome) -> None:
    """Neither matplotlib nor HTML takes a name for markup; test_rules.py tries a script."""
    names = ("a & b", '"$x$"', "_c")
    page = Page(render_report(evaluate(outcome(activities=names)), title="Report", facts={}))
    for name in names:
        assert page.words.count(name) >= 3


def test_links_to_all_pages_where_there_is_such_a_page(text: str, judged: Evaluation) -> None:
    assert Page(text).links == []
    home = Page(render_report(judged, title="Report", facts={}, home="index.html"))
    assert [link for link in home.links if not link.startswith("#")] == ["index.html"]


def test_equal_input_gives_equal_bytes(outcome: MakeOutcome, text: str) -> None:
    with mpl.rc_context({"font.size": 30, "axes.facecolor": "red", "svg.fonttype": "path"}):
        second = render_report(evaluate(outcome()), title="Report", facts=FACTS)
        assert mpl.rcParams["font.size"] == 30
    assert text == second


def test_one_subject_and_a_missing_class(certain: MakeOutcome) -> None:
    judged = evaluate(certain([0, 0, 1], [0, 1, 1], ["s1"] * 3, ("walk", "sit", "jump")))
    words = Page(render_report(judged, title="Report", facts={})).words
    assert "no interval for new subjects: there is only one subject" in words
    assert "–" in words


def test_perfect_and_hopeless(certain: MakeOutcome) -> None:
    for answers in ([0, 1], [1, 0]):
        judged = evaluate(certain([0, 1], answers, ["s1", "s2"], ("walk", "sit")))
        assert f"{100 * judged.accuracy:.1f} %" in Page(render_report(judged, title="Report", facts={})).words


def test_many_activities_and_foreign_scripts(outcome: MakeOutcome) -> None:
    """Names that matplotlib's own font cannot draw are no reason to warn: the browser draws them."""
    names = (*(f"WALKING_DOWNSTAIRS_{index}" for index in range(15)), "歩く")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        page = Page(render_report(evaluate(outcome(activities=names, subjects=30)), title="Bericht", facts={}))
    assert page.words.count("歩く") >= 3


def test_runs_are_said(outcome: MakeOutcome) -> None:
    judged = evaluate([outcome(seed) for seed in range(3)])
    assert "Means over 3 runs" in Page(render_report(judged, title="Report", facts={})).words


def test_writes_page_and_numbers(judged: Evaluation, tmp_path: Path) -> None:
    html, numbers = write_report(judged, tmp_path / "new" / "v1.2", title="Größe", facts=FACTS)
    assert (html.name, numbers.name) == ("v1.2.html", "v1.2.json")
    assert html.read_text(encoding="utf-8") == render_report(judged, title="Größe", facts=FACTS, home="index.html")
    written = json.loads(numbers.read_text(encoding="utf-8"))
    assert (written.pop("title"), written.pop("facts"), written.pop("latency")) == ("Größe", FACTS, None)
    assert TypeAdapter(Evaluation).validate_python(written) == judged
    assert sorted(path.name for path in html.parent.iterdir()) == ["v1.2.html", "v1.2.json"]


def test_writes_the_figures_asked_for(judged: Evaluation, tmp_path: Path) -> None:
    _, numbers = write_report(judged, tmp_path / "evaluation", title="t", facts={}, figures=judged.flat())
    assert json.loads(numbers.read_text()) == judged.flat()
