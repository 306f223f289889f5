"""The history of days, and the chart of the loop."""

from __future__ import annotations

import datetime as dt
from itertools import pairwise

import pytest
from monitoring_support import (
    FIRST,
    day_report,
    decision,
    history,
    loop_days,
    promotion,
    story,
    unjudged_report,
)
from page_support import Chart, Page

from har.monitoring.drift import DayReport, FeatureScore
from har.pages import LoopDay, loop_table, render_loop
from har.pages._timeline import Columns

MOVES = [
    promotion(dt.datetime(2026, 1, 4, 9, tzinfo=dt.UTC), 1, None, 1),
    promotion(dt.datetime(2026, 1, 17, 3, 22, tzinfo=dt.UTC), 2, 1, 2),
]


def chart(page: Page) -> Chart:
    [only] = page.charts
    return only


def lanes(page: Page, days: int, first: dt.date = FIRST) -> dict[str, list[str]]:
    """The dates that each lane of the chart marks, on a page about so many days without gaps."""
    return {
        label: [(first + dt.timedelta(days=column)).isoformat() for column in columns]
        for label, columns in chart(page).lanes(days).items()
    }


def hot(page: Page, days: int) -> set[tuple[str, str]]:
    """The features and dates of the heat map that have a dot, the sign of the alarm level."""
    return {
        (chart(page).row(y), (FIRST + dt.timedelta(days=chart(page).column(x, days))).isoformat())
        for x, y in chart(page).marks("dots")
    }


@pytest.fixture(scope="module")
def page() -> Page:
    return Page(history(*story(), MOVES, title="house"))


def test_history_marks_what_happened_and_when(page: Page) -> None:
    assert lanes(page, 17) == {
        "Drift alarm": ["2026-01-15", "2026-01-16"],
        "Drift confirmed": ["2026-01-16"],
        "Retraining": ["2026-01-16"],
        "Promoted": ["2026-01-17"],
    }
    shown = chart(page)
    assert {"Model version", "Score of the day", "alarm level 1"} <= set(shown.labels)
    assert [shown.column(x, 17) for x, _ in shown.marks("score-of-the-day-alarms")] == [10, 11]
    assert len(shown.marks("score-of-the-day-points")) == 15
    band = {text: shown.column(x, 17) for text, x, _, style in shown.texts if "on-accent" in style}
    assert band == {"1": 6, "2": 14}, "each version is named in the middle of its days"
    assert "alarms on 2026-01-15, 2026-01-16." in shown.description


def test_heat_map_has_the_features_that_were_ever_worst(page: Page) -> None:
    rows = [name for name in chart(page).labels if "." in name and not name[0].isdigit()]
    assert len(rows) == 25
    assert rows[:4] == ["accel_x.mean", "accel_y.mean", "accel_x~accel_z.corr", "accel_y~accel_z.corr"]
    assert hot(page, 17) == {(name, date) for name in rows[:4] for date in ("2026-01-15", "2026-01-16")}
    cells = chart(page).cells()
    assert len(cells) == 25 * 17
    assert sum(colour in {"h3", "h4", "h5"} for colour in cells) == 8, "the colour says the same as the dot"
    scale = [values.get("class") for values in page.all("i") if (values.get("class") or "").startswith("h")]
    assert scale == ["h0", "h1", "h2", "h3 dot", "h4 dot", "h5 dot"]


def test_days_are_listed_newest_first_with_what_was_done(page: Page) -> None:
    home, *links = page.links
    assert home == "../index.html"
    days = [link.removesuffix(".html") for link in links]
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
    again = Page(history([*reports[::-1], reports[-1]], decisions[::-1], MOVES[::-1], title="house"))
    assert again.source == page.source


def test_nothing_yet_says_so() -> None:
    text = Page(history([], [], [], title="house")).words
    assert "No day has been monitored yet" in text


def test_unjudged_days_have_no_score() -> None:
    days = [day_report(), unjudged_report(date=FIRST + dt.timedelta(days=1))]
    page = Page(history(days, [], [], title="house"))
    assert lanes(page, 2) == {"Not judged": ["2026-01-06"]}
    assert len(chart(page).marks("score-of-the-day-points")) == 1
    assert "1 judged" in page.words
    only = Page(history(days[1:], [], [], title="house"))
    assert "Worst features" not in chart(only).labels
    assert only.links == ["../index.html", "2026-01-06.html"]


def test_several_subjects_can_alarm_a_day_whose_score_is_low() -> None:
    page = Page(history([day_report(alarmed=True, score=0.8)], [], [], title="house"))
    assert lanes(page, 1) == {"Drift alarm": ["2026-01-05"]}
    assert len(chart(page).marks("score-of-the-day-alarms")) == 1
    assert chart(page).marks("score-of-the-day-points") == []


def test_a_hot_cell_of_the_confidence_is_said_to_be_no_alarm() -> None:
    unsure = FeatureScore("confidence", "confidence", {"hellinger": 0.6, "psi": 1.0}, -2.0, 3.0, 2.5, True)
    note = "confidence is listed with the features, but raises no alarm"
    unsure_day = Page(history([day_report(features=(unsure,))], [], [], title="house"))
    assert hot(unsure_day, 1) == {("confidence", "2026-01-05")}
    assert chart(unsure_day).cells() == ["h4"]
    assert note in unsure_day.words
    plain = day_report(features=day_report().features[:1])
    assert note not in Page(history([plain], [], [], title="house")).words


def test_a_rollback_is_marked_once_whoever_did_it() -> None:
    def days(*versions: int) -> list[DayReport]:
        return [day_report(date=FIRST + dt.timedelta(days=n), model_version=v) for n, v in enumerate(versions)]

    decided = [decision(FIRST + dt.timedelta(days=2), "rollback", event="har.probation.failed")]
    by_monitoring = Page(history(days(1, 2, 2, 1), decided, [], title="house"))
    assert lanes(by_monitoring, 4) == {"Promoted": ["2026-01-06"], "Rolled back": ["2026-01-07"]}
    by_hand = Page(history(days(1, 2, 2, 1), [], [], title="house"))
    assert lanes(by_hand, 4) == {"Promoted": ["2026-01-06"], "Rolled back": ["2026-01-08"]}


@pytest.mark.parametrize(
    ("days", "unit", "columns"),
    [(1, "day", 1), (12, "day", 12), (62, "day", 62), (400, "week", 58), (900, "month", 30)],
)
def test_any_number_of_days_fits(days: int, unit: str, columns: int) -> None:
    found = Columns.of([FIRST + dt.timedelta(days=number) for number in range(days)])
    assert (found.unit, len(found)) == (unit, columns)
    for width in (13, 46):
        labelled, texts = found.ticks(width)
        assert labelled[-1] == columns - 1, "the newest one has its label"
        assert all(width * (right - left) >= 52 for left, right in pairwise(labelled))
        years = [text.partition("\n")[2] for text in texts]
        assert years[0] == "2026" or len(texts) == 1
        assert [year for year in years if year] == sorted(set(filter(None, years))), "each year once"


def test_columns_are_days_weeks_from_monday_or_months() -> None:
    dates = [FIRST + dt.timedelta(days=number) for number in range(900)]
    weeks = Columns.of(dates[:100])
    assert weeks.unit == "week"
    assert all(group[0].weekday() == 0 for group in weeks.groups)
    assert sum(map(len, weeks.groups)) == 100
    months = Columns.of(dates[::-1])
    assert all(len({(date.year, date.month) for date in group}) == 1 for group in months.groups)
    assert weeks.gaps == months.gaps == ()


def test_a_long_history_aggregates_and_goes_on_by_year() -> None:
    reports, decisions = story(130, 100)
    page = Page(history(reports, decisions, MOVES, title="house"))
    assert "One column is a week and shows its worst day." in page.words
    assert "70 earlier days: 2026" in page.words
    assert len([link for link in page.links if link.startswith("2026-")]) == 60
    assert page.links[-1] == "2026.html"
    weeks = len(Columns.of([report.date for report in reports]))
    shown = chart(page)
    assert len(shown.cells()) == 25 * weeks
    dots = [(shown.row(y), shown.column(x, weeks)) for x, y in shown.marks("dots")]
    assert [column for row, column in dots if row == "accel_x.mean"] == [100 // 7], "the week of the two turned days"
    assert shown.lanes(weeks)["Drift alarm"] == [100 // 7]


def test_a_clock_that_jumped_does_not_stretch_the_axis() -> None:
    dates = [dt.date(1970, 1, 1), *(FIRST + dt.timedelta(days=number) for number in range(5)), dt.date(2099, 1, 1)]
    columns = Columns.of(dates)
    assert (columns.unit, len(columns), columns.gaps) == ("day", 7, (1, 6))
    page = Page(history([day_report(date=date) for date in dates], [], [], title="house"))
    assert {"1970", "2026", "2099"} <= {text for text, _, _, _ in chart(page).texts}
    assert "a lighter one days without a report" in page.words


def test_a_huge_score_keeps_its_place() -> None:
    worst = FeatureScore("accel_x.mean", "input", {"hellinger": 0.99, "psi": 20.0}, 5.0, 1.0, 4321.0, True)
    page = Page(history([day_report(features=(worst,), score=4321.0, alarmed=True)], [], [], title="house"))
    assert chart(page).cells() == ["h5"]
    assert "Score of the last day 4 300 " in page.words
    [(_, top)] = chart(page).marks("score-of-the-day-alarms")
    axis = {text: y - 4 for text, _, y, _ in chart(page).texts}
    assert top < axis["1000"] < axis["alarm level 1"], "a logarithmic axis, on which the alarm level still shows"
    heights = sorted(y for text, _, y, _ in chart(page).texts if text in chart(page).labels)
    assert all(below - above >= 12 for above, below in pairwise(heights)), "labels do not touch"


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
    shown = chart(page)
    assert "turned from 01-15" in {text for text, _, _, _ in shown.texts}
    assert {"Accuracy", "Drift score", "Model version", "alarm level 1", "100 %", "70 %"} <= set(shown.labels)
    assert lanes(page, 17) == {"Keep watching": ["2026-01-15"], "Retrain": ["2026-01-16"]}, "no lane for versions"
    assert [shown.column(x, 17) for x, _ in shown.marks("drift-score-alarms")] == [10, 11]
    heights = [y for _, y in shown.marks("accuracy-points")]
    assert len(heights) == 17
    assert heights[0] < heights[12] < heights[10], "92 % is above 89 %, and that above 73 %"
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
