"""The page about a day's activities: who did what for how long."""

from __future__ import annotations

import datetime as dt
import re
from itertools import zip_longest

import polars as pl
from page_support import Page

from har.pages import render_activity
from har.plausibility import NO_SIGNAL
from har.settings import Settings

DATE = dt.date(2026, 1, 5)


def page(
    settings: Settings,
    rows: list[tuple[str, str, float]],
    versions: tuple[int, ...] = (1,),
    unlike: tuple[float, ...] = (),
    smoothed: bool = False,
) -> Page:
    summary = pl.DataFrame(
        [
            (DATE, subject, activity, minutes, 40, far)
            for (subject, activity, minutes), far in zip_longest(rows, unlike, fillvalue=0.0)
        ],
        schema=["date", "subject", "activity", "minutes", "windows", "unknown_minutes"],
        orient="row",
    )
    predictions = pl.DataFrame(
        {"model_version": list(versions), "confidence": [0.9] * len(versions), "activity": "PEN"}
    ).vstack(
        pl.DataFrame(
            {"model_version": versions[0], "confidence": 0.0, "activity": [name for _, name, _ in rows]},
            schema={"model_version": pl.Int64, "confidence": pl.Float64, "activity": pl.String},
        ).filter(pl.col("activity") == NO_SIGNAL)
    )
    predictions = predictions.with_columns(
        pl.lit("PEN" if smoothed else None, pl.String).alias("smoothed"), pl.lit(bool(unlike)).alias("unknown")
    )
    return Page(render_activity(summary, settings, DATE, predictions))


def test_says_first_how_much_and_mostly_what(settings: Settings) -> None:
    text = page(settings, [("s01", "PEN", 1.83), ("s01", "ROW", 90.5), ("s02", "ROW", 30.0)], (1, 2)).words
    assert "2 h 2 min recorded from 2 subjects; the longest activity is ROW (2 h)." in text
    assert "model versions 1, 2; mean confidence 90.0 %" in text
    assert text.index("recorded from") < text.index("Time per subject and activity")


def test_one_subject_is_singular(settings: Settings) -> None:
    shown = page(settings, [("s01", "PEN", 1.83)])
    assert "1 min 50 s recorded from 1 subject;" in shown.words
    assert "1 window; model version 1;" in shown.words
    assert "All subjects" not in shown.words


def test_each_subject_has_a_row_with_times_and_total(settings: Settings) -> None:
    text = page(settings, [("s01", "PEN", 1.5), ("s01", "uncertain", 0.5), ("s02", "PEN", 62.0)]).words
    head, first, second, total = (
        text.index(part) for part in ("Subject Total PEN", "s01 2 min", "s02 1 h", "All subjects")
    )
    assert head < first < second < total
    assert "s01 2 min 1 min 30 s 30 s" in text
    assert "All subjects 1 h 4 min 1 h 4 min 30 s" in text


def test_on_a_phone_every_time_stands_beside_its_activity(settings: Settings) -> None:
    """There the header of the table is hidden, because the columns of long names do not fit beside each other."""
    shown = page(settings, [("s01", "PEN", 1.5), ("s02", "ROW", 62.0)])
    names = [attributes.get("data-activity") for tag, attributes in shown.tags if tag == "td"]
    assert names == ["Total", *settings.activities.all, "uncertain"] * 3


def test_bars_are_shares_of_the_longest_subject(settings: Settings) -> None:
    shown = page(settings, [("s01", "PEN", 10.0), ("s01", "ROW", 30.0), ("s02", "PEN", 10.0)])
    widths = [found[1] for style in shown.styles[1:] if (found := re.search(r"width: ([\d.]+)%", style))]
    assert widths == ["25.000", "75.000", "25.000"]


def test_activities_of_another_model_come_after_the_settings(settings: Settings) -> None:
    text = page(settings, [("s01", "SOMETHING_ELSE", 1.0)]).words
    assert text.index("ROW") < text.index("SOMETHING_ ELSE") < text.index("uncertain", text.index("Subject"))


def test_time_without_a_signal_is_apart_and_in_no_total(settings: Settings) -> None:
    rows = [("s01", "PEN", 6.0), ("s01", NO_SIGNAL, 4.0), ("s02", "PEN", 1.0), ("s02", "uncertain", 1.0)]
    text = page(settings, rows).words
    assert "8 min recorded from 2 subjects" in text
    assert "For a further 4 min a sensor gave no signal." in text
    assert "in 1 window a sensor was off, stuck or at its limit" in text
    assert "mean confidence 90.0 %" in text
    assert "s01 6 min 6 min 4 min" in text
    assert "All subjects 8 min 7 min 1 min 4 min" in text


def test_a_day_of_a_sensor_that_was_off_has_no_activity(settings: Settings) -> None:
    text = page(settings, [("s01", NO_SIGNAL, 4.0)]).words
    assert "No activity on this day: for 4 min a sensor gave no signal." in text


def test_time_unlike_the_training_data_is_told_and_stays_in_the_total(settings: Settings) -> None:
    rows = [("s01", "PEN", 4.0), ("s01", "ROW", 2.0), ("s02", "PEN", 3.0)]
    text = page(settings, rows, unlike=(1.0, 0.5)).words
    assert "9 min recorded from 2 subjects" in text
    assert "1 window far from all that the model learned from" in text
    assert "1 min 30 s" in text
    assert "Unlike training" not in page(settings, rows).words


def test_it_says_that_activities_are_smoothed(settings: Settings) -> None:
    assert "smoothed over time" in page(settings, [("s01", "PEN", 4.0)], smoothed=True).words
    assert "smoothed" not in page(settings, [("s01", "PEN", 4.0)]).words
