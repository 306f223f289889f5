"""A day's page, parsed as a browser meets it: what stands on it, and that nothing on it does harm."""

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
    Page,
    day_report,
    decision,
    distribution,
    loop_days,
    promotion,
    story,
    unjudged_report,
)

from har.monitoring import _words as words
from har.monitoring import render_day, render_index, render_loop
from har.monitoring.drift import Distribution, FeatureScore, SliceScore
from har.monitoring.profiles import QualityAlarm

EVIL = "<script>alert('x')</script>\"><img src=x onerror=alert(1)>"
RETRAIN = decision(FIRST, "retrain", reasons=["446 windows have labels."], event="har.drift.confirmed", outcome="won")


def page(report=None, decisions=(), *, title="house", previous=None, following=None) -> Page:
    return Page(render_day(report or day_report(), decisions, title=title, previous=previous, following=following))


PAGES = {
    "day": lambda: page(day_report(drifted=True, quality=(FAULT,), performance=PERFORMANCE), [RETRAIN]),
    "quiet day": page,
    "unjudged day": lambda: page(unjudged_report()),
    "index": lambda: Page(render_index(*story(), [promotion(dt.datetime.now(dt.UTC), 1, None, 1)], title="house")),
    "year": lambda: Page(render_index(*story(130, 100), [], title="house")),
    "first of a month": lambda: Page(render_index(*story(28, 20), [], title="house")),
    "no day": lambda: Page(render_index([], [], [], title="house")),
    "loop": lambda: Page(render_loop(loop_days(), title="house")),
    "no loop": lambda: Page(render_loop([], title="house")),
}


@pytest.fixture(scope="module", params=PAGES)
def any_page(request: pytest.FixtureRequest) -> Page:
    return PAGES[request.param]()


def test_every_page_opens_offline(any_page: Page) -> None:
    assert any_page.loads == []
    assert not {"script", "link", "iframe", "object", "embed", "base", "form"} & {tag for tag, _ in any_page.tags}
    assert [link for link in any_page.links if not re.fullmatch(r"(\d{4}-\d\d-\d\d|index)\.(html|json)", link)] == []
    for style in any_page.styles:
        assert "@import" not in style
        assert "url(" not in style


def test_every_page_is_legible_without_seeing_it(any_page: Page) -> None:
    levels = [int(tag[1]) for tag, _ in any_page.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(deeper <= above + 1 for above, deeper in pairwise(levels))
    assert any_page.all("html")[0]["lang"] == "en"
    for heading in any_page.all("th"):
        assert heading.get("scope") in {"row", "col"}
    for drawing in any_page.all("svg"):
        assert drawing.get("aria-hidden") == "true" or len(drawing.get("aria-label") or "") > 20
    for part in any_page.all("div") + any_page.all("section"):
        if "scroll" in (part.get("class") or ""):
            assert part.get("aria-label"), "whoever scrolls by keyboard is told what"


def test_drawings_take_the_colours_of_the_page(any_page: Page) -> None:
    """A colour of its own would vanish in one of the themes, and so would a class that the page does not know."""
    sheet = any_page.styles[0]
    for drawing in any_page.drawings:
        for element in drawing.iter():
            assert not {"fill", "stroke", "style"} & set(element.keys())
            for kind in (element.get("class") or "").split():
                assert f".{kind} " in sheet or kind in {"label", "tick"}, kind
    for variable in set(re.findall(r"var\((--[a-z0-9-]+)\)", sheet)):
        assert sheet.count(f"{variable}:") == 3, "light, dark and print"


def test_nothing_is_clipped(any_page: Page) -> None:
    for drawing in any_page.drawings:
        width, height = float(drawing.get("width") or 0), float(drawing.get("height") or 0)
        for element in drawing.iter():
            numbers = [float(number) for number in re.findall(r"-?\d+\.?\d*", element.get("d") or "")]
            across = numbers[::2] + [float(element.get(name) or 0) for name in ("x", "x1", "x2", "cx")]
            down = numbers[1::2] + [float(element.get(name) or 0) for name in ("y", "y1", "y2", "cy")]
            if element.tag.endswith("rect"):
                across.append(float(element.get("x") or 0) + float(element.get("width") or 0))
                down.append(float(element.get("y") or 0) + float(element.get("height") or 0))
            if element.tag.endswith("text"):
                length = 6.2 * len("".join([element.text or "", *(hint.tail or "" for hint in element)]))
                along = {"start": (0, 1), "middle": (-0.5, 0.5), "end": (-1, 0)}[element.get("text-anchor") or "start"]
                across += [across[0] + part * length for part in along]
            assert 0 <= min(across) <= max(across) <= width
            assert 0 <= min(down) <= max(down) <= height


def test_verdict_comes_first_and_then_what_was_done() -> None:
    report = day_report(drifted=True)
    text = page(report, [RETRAIN]).words
    assert text.index(report.verdict) < text.index("What was done about it") < text.index("446 windows have labels.")
    assert text.index("446 windows have labels.") < text.index("The worst features") < text.index("What moved")
    assert "2026-01-06 03:20 UTC" in text
    assert "handled 2026-01-06 03:23 UTC" in text
    assert "What came of it: won" in text


def test_an_event_that_was_lost_says_so() -> None:
    waiting = dataclasses.replace(RETRAIN, handled_at=None, outcome="")
    assert "not handled yet" in page(decisions=[waiting]).words
    lost = dataclasses.replace(waiting, emitted_at=None)
    text = page(decisions=[lost]).words
    assert "not sent yet; the next run sends it" in text
    assert "What came of it" not in text
    told = decision(FIRST, "alert", event="har.quality.alarmed", handled_at=None)
    assert "not handled yet" not in page(decisions=[told]).words, "nobody has to handle an alert"
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
    drawings = page(report).drawings
    assert len(drawings) == 5
    for drawing, shown in zip(drawings, report.distributions, strict=True):
        assert shown.name in (drawing.get("aria-label") or "")
        assert [path.get("class") for path in drawing.iter() if path.tag.endswith("path")] == ["then", "now"]


def test_a_shift_is_where_it_is_and_areas_are_shares() -> None:
    def outline(moved: float, kind: str) -> list[tuple[float, float]]:
        [drawing] = page(day_report(distributions=(distribution("f", moved),))).drawings
        [path] = [element for element in drawing.iter() if element.get("class") == kind]
        return [tuple(map(float, point.split())) for point in re.findall(r"[\d.]+ [\d.]+", path.get("d") or "")]

    def area(points: list[tuple[float, float]]) -> float:
        return sum((140 - y) * (right - x) for (x, y), (right, _) in pairwise(points))

    def peak(points: list[tuple[float, float]]) -> float:
        return min(points, key=lambda point: point[1])[0]

    assert area(outline(1.0, "now")) == pytest.approx(area(outline(1.0, "then")), rel=0.01)
    assert peak(outline(-1.5, "now")) < peak(outline(0.0, "now")) < peak(outline(1.5, "now"))
    assert outline(0.0, "now") == outline(0.0, "then")


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
def test_odd_distributions_have_pictures(given: Distribution) -> None:
    shown = page(day_report(distributions=(given,)))
    [drawing] = shown.drawings
    test_nothing_is_clipped(shown)
    marks = [float(text.get("x") or 0) for text in drawing.iter() if text.tag.endswith("text")]
    assert marks
    assert all(right - left > 30 for left, right in pairwise(marks))


def test_a_day_that_was_not_judged_says_why() -> None:
    text = page(unjudged_report()).words
    assert "Not judged: 1 subject with 30 windows, 2 are needed." in text
    assert "1 subject had enough windows, 41 in all, and that is too few" in text
    assert "What moved" not in text
    scored = page(day_report(judged=False, score=3.0, verdict="Not judged."))
    assert "for what they are worth" in scored.words
    assert scored.words.index("Score of the day –") > 0, "a score of such a day is no verdict"


def test_slices_quality_and_performance() -> None:
    stuck = QualityAlarm("stuck", "s09", 0.25, 0.01, "s09: a quarter of the samples repeats.")
    text = page(day_report(quality=(FAULT, stuck), performance=PERFORMANCE)).words
    for expected in ("9.4/h", "4.0/h", "25.0 %", "1.0 %", FAULT.sentence, stuck.sentence):
        assert expected in text
    for expected in ("73.1 %", "92.0 %", "77.4 %", "412 labelled windows", "7 subjects", "Accuracy dropped"):
        assert expected in text
    who = text[text.index("Who moved") :]
    assert who.index(" everyone ") < who.index(" subject ")
    assert " left placement " in who
    plain = page().words
    assert "Faults of the data" not in plain
    assert "labels have come" not in plain


def test_long_days_fold_away_what_is_not_worst() -> None:
    slices = tuple(SliceScore("subject", f"p{number:03}", 1, 99, 0.5, False, ()) for number in range(150))
    shown = page(day_report(slices=slices))
    assert "130 more parts" in shown.words
    assert "p149" in shown.words


def test_neighbouring_days_are_linked() -> None:
    shown = page(previous=dt.date(2026, 1, 2), following=dt.date(2026, 1, 9))
    assert shown.links == ["index.html", "2026-01-02.html", "2026-01-09.html", "2026-01-05.json"]
    assert page().links == ["index.html", "2026-01-05.json"]


def test_names_from_files_do_no_harm() -> None:
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
    day = dataclasses.replace(loop_days()[0], events=(EVIL,), phase=EVIL)
    after = dataclasses.replace(day, date=day.date + dt.timedelta(days=1), phase=f"more {EVIL}")
    for shown, times in (
        (page(report, [row], title=EVIL), 14),
        (Page(render_index([report], [row], [move], title=EVIL)), 8),
        (Page(render_loop([day, after], title=EVIL)), 8),
    ):
        assert not {"script", "img"} & {tag for tag, _ in shown.tags}
        assert shown.loads == []
        assert shown.words.count(EVIL) >= times, "shown as it is"


def test_equal_input_gives_equal_bytes_and_another_day_does_not() -> None:
    assert page().source == page().source
    assert page().source != page(day_report(seed=1)).source


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"), (0.0004, "0"), (0.0432, "0.043"), (0.996, "1.0"), (1.26, "1.3"), (9.96, "10"), (12.4, "12"),
        (999.0, "1\N{NARROW NO-BREAK SPACE}000"), (-1.84, "−1.8"), (None, "–"), (float("nan"), "–"),
    ],
)  # fmt: skip
def test_numbers_have_two_digits(value: float | None, text: str) -> None:
    assert words.digits(value) == text


def test_no_score_below_the_alarm_level_reads_as_if_it_had_reached_it() -> None:
    assert [words.score(value) for value in (0.9951, 0.99999, 1.0, 0.984, 0.001, None)] == [
        "0.99", "0.99", "1.0", "0.98", "0", "–",
    ]  # fmt: skip
