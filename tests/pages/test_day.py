"""A day's page, parsed as a browser meets it: what it says and shows."""

from __future__ import annotations

import dataclasses
import datetime as dt
import re
from itertools import pairwise

import pytest
from monitoring_support import (
    FAULT,
    FIRST,
    NAMES,
    PERFORMANCE,
    day_report,
    decision,
    distribution,
    unjudged_report,
)
from page_support import Page, points

from har.monitoring.drift import Distribution, FeatureScore, SliceScore
from har.monitoring.profiles import QualityAlarm
from har.pages import render_day

RETRAIN = decision(FIRST, "retrain", reasons=["446 windows have labels."], event="har.drift.confirmed", outcome="won")


def page(report=None, decisions=(), *, title="house", previous=None, following=None) -> Page:
    return Page(render_day(report or day_report(), decisions, title=title, previous=previous, following=following))


def test_verdict_comes_first_and_then_what_was_done() -> None:
    report = day_report(drifted=True)
    text = page(report, [RETRAIN]).words
    assert text.index(report.verdict) < text.index("Decisions") < text.index("446 windows have labels.")
    assert (
        text.index("446 windows have labels.")
        < text.index("Features with the most drift")
        < text.index("Drift by feature")
    )
    assert "2026-01-06 03:20 UTC" in text
    assert "handled 2026-01-06 03:23 UTC" in text
    assert "Outcome: won" in text


def test_an_event_that_was_lost_says_so() -> None:
    waiting = dataclasses.replace(RETRAIN, handled_at=None, outcome="")
    began = dataclasses.replace(waiting, attempts=1)
    assert "not ended yet" in page(decisions=[began]).words
    idle = page(decisions=[dataclasses.replace(waiting, attempts=0)]).words
    assert f"has not started: make up starts it, or har train --decision {RETRAIN.decision_id}" in idle
    lost = dataclasses.replace(waiting, emitted_at=None)
    text = page(decisions=[lost]).words
    assert "not sent yet; the next run sends it" in text
    assert "Outcome" not in text
    told = decision(FIRST, "alert", event="har.quality.alarmed", handled_at=None)
    assert "not started" not in page(decisions=[told]).words, "nobody has to handle an alert"
    assert "Nothing has been decided" in page().words


def test_decisions_stand_in_the_order_they_were_taken() -> None:
    later = dataclasses.replace(RETRAIN, decided_at=RETRAIN.decided_at + dt.timedelta(hours=1), reasons=("second",))
    text = page(decisions=[later, RETRAIN]).words
    assert text.index("446 windows") < text.index("second")


def test_shows_features_worst_first_with_the_alarm_level() -> None:
    report = day_report(drifted=True)
    shown = page(report)
    table = shown.words.index("Feature Kind Hellinger")
    places = [shown.words.index(f" {row.name} ", table) for row in report.features]
    assert places == sorted(places)
    assert len(places) == len(NAMES) + 2
    rows = [values for tag, values in shown.tags if tag == "tr"]
    assert sum(row.get("class") == "reached" for row in rows) == 4 + sum(part.alarmed for part in report.slices)
    worst = report.features[0]
    assert f"{worst.score:.1f} alarm" in shown.words
    assert f"{worst.shift:+.1f}" in shown.words
    assert "1 is the alarm level" in shown.words
    assert "45 more features" not in shown.words
    assert f"{len(report.features) - 20} more features" in shown.words


def test_confidence_is_shown_and_counts_for_no_alarm() -> None:
    unsure = FeatureScore("confidence", "confidence", {"hellinger": 0.6, "psi": 1.0}, -2.0, 3.0, 2.5, True)
    shown = page(day_report(features=(unsure, day_report().features[0])))
    assert not [row for row in shown.all("tr") if row.get("class") == "reached"]
    assert "2.5 alarm" not in shown.words
    assert "Features at the alarm level 0" in shown.words


def test_shows_the_worst_five_beside_the_reference() -> None:
    report = day_report(drifted=True)
    charts = page(report).charts
    assert len(charts) == 5
    for chart, shown in zip(charts, report.distributions, strict=True):
        assert shown.name in chart.description
        assert chart.group("reference") is not None
        assert chart.group("day") is not None


def outline(given: Distribution, kind: str) -> list[tuple[float, float]]:
    """The corners of one of the two distributions: x, and the height above the axis."""
    [chart] = page(day_report(distributions=(given,))).charts
    group = chart.group(kind)
    assert group is not None
    [path] = [element for element in group.iter() if element.get("d")]
    corners = points(path)
    bottom = max(y for _, y in corners)
    return [(x, bottom - y) for x, y in corners]


def area(corners: list[tuple[float, float]]) -> float:
    return sum(height * max(0.0, right - x) for (x, height), (right, _) in pairwise(corners))


def test_a_shift_is_where_it_is_and_areas_are_shares() -> None:
    def peak(moved: float) -> float:
        return max(outline(distribution("f", moved), "day"), key=lambda corner: corner[1])[0]

    moved = distribution("f", 1.0)
    assert area(outline(moved, "day")) == pytest.approx(area(outline(moved, "reference")), rel=0.01)
    assert peak(-1.5) < peak(0.0) < peak(1.5)
    same = distribution("f", 0.0)
    assert set(outline(same, "day")) <= set(outline(same, "reference"))


@pytest.mark.parametrize(
    "given",
    [
        Distribution("ties", (0.0, 0.5, 0.5, 1.0, 1.0), (0.3, 0.2, 0.3, 0.2), (0.0, 0.0, 0.0, 1.0)),
        Distribution("constant", (2.0, 2.0, 2.0), (0.5, 0.5), (1.0, 0.0)),
        Distribution("tiny", (1e-9, 1.5e-9, 3e-9), (0.5, 0.5), (0.1, 0.9)),
        Distribution("huge", (-4e6, 0.0, 2.5e6), (0.5, 0.5), (0.1, 0.9)),
        Distribution("nobody", (0.0, 1.0, 2.0), (0.5, 0.5), (0.0, 0.0)),
        Distribution("one bin", (0.0, 1.0), (1.0,), (1.0,)),
    ],
    ids=lambda given: given.name,
)
def test_odd_distributions_have_charts(given: Distribution) -> None:
    [chart] = page(day_report(distributions=(given,))).charts
    marks = sorted(x for _, x, _, _ in chart.texts)
    assert marks
    assert all(right - left > 30 for left, right in pairwise(marks))
    for kind, shares in (("reference", given.reference), ("day", given.day)):
        assert (area(outline(given, kind)) > 1) == (sum(shares) > 0)


def test_a_day_that_was_not_judged_says_why() -> None:
    text = page(unjudged_report()).words
    assert "Not judged: 1 subject with 30 windows, 2 are needed." in text
    assert "1 subject had enough windows, 41 in total, which is too few" in text
    assert "Drift by feature" not in text
    scored = page(day_report(judged=False, score=3.0, verdict="Not judged."))
    assert "The scores below are only indicative." in scored.words
    assert scored.words.index("Score of the day –") > 0, "a score of such a day is no verdict"


def test_slices_quality_and_performance() -> None:
    stuck = QualityAlarm("stuck", "s09", 0.25, 0.01, "s09: a quarter of the samples repeats.")
    text = page(day_report(quality=(FAULT, stuck), performance=PERFORMANCE)).words
    for expected in ("9.4/h", "4.0/h", "25.0 %", "1.0 %", FAULT.sentence, stuck.sentence):
        assert expected in text
    for expected in ("73.1 %", "92.0 %", "77.4 %", "412 labelled windows", "7 subjects", "Accuracy dropped"):
        assert expected in text
    who = text[text.index("Drift by subject, placement and device") :]
    assert who.index(" everyone ") < who.index(" subject ")
    assert " left placement " in who
    assert "of 7 subjects are classified correctly" in text, "a report of a release that did not record the days"
    plain = page().words
    assert "Data quality alarms" not in plain
    assert "labelled windows" not in plain


@pytest.mark.parametrize(
    ("first", "of_day", "said"),
    [
        (FIRST - dt.timedelta(days=2), 0, "of 2026-01-03 to 2026-01-04"),
        (FIRST - dt.timedelta(days=1), 0, "of 2026-01-04"),
    ],
)
def test_labels_of_earlier_days_carry_their_dates(first: dt.date, of_day: int, said: str) -> None:
    earlier = dataclasses.replace(PERFORMANCE, first=first, last=FIRST - dt.timedelta(days=1), of_day=of_day)
    text = page(day_report(performance=earlier)).words
    assert f"7 subjects {said} are classified correctly" in text
    assert "No window of 2026-01-05 itself has a label." in text
    today = page(day_report(performance=dataclasses.replace(earlier, last=FIRST, of_day=3))).words
    assert "itself has a label" not in today


def test_long_days_fold_away_what_is_not_worst() -> None:
    slices = tuple(SliceScore("subject", f"p{number:03}", 1, 99, 0.5, False, ()) for number in range(150))
    shown = page(day_report(slices=slices))
    assert "130 more groups" in shown.words
    assert "p149" in shown.words


def test_neighbouring_days_are_linked() -> None:
    shown = page(previous=dt.date(2026, 1, 2), following=dt.date(2026, 1, 9))
    assert shown.links == ["../index.html", "index.html", "2026-01-02.html", "2026-01-09.html", "2026-01-05.json"]
    assert page().links == ["../index.html", "index.html", "2026-01-05.json"]


def test_equal_input_gives_equal_bytes_and_another_day_does_not() -> None:
    assert page().source == page().source
    assert page().source != page(day_report(seed=1)).source


def test_shows_what_the_subjects_own_history_says_and_that_it_raised_the_alarm() -> None:
    report = day_report(drifted=True)
    assert "own history" not in page(report).words
    features = (
        dataclasses.replace(report.features[0], own=report.score, own_shift=0.42, own_change=0.1),
        *report.features[1:],
    )
    slices = (dataclasses.replace(report.slices[0], own=report.score, own_days=5), *report.slices[1:])
    shown = page(dataclasses.replace(report, features=features, slices=slices, own_subjects=4)).words
    assert "Compared with their own history, too 4 of 10 subjects; it raised the alarm" in shown
    assert "+0.42 (+10 %)" in shown
    assert re.search(r"everyone – 10 2.229 ([\d.]+) 5 \1 alarm", shown)
