"""Minutes per activity from smoothed, uncertain and unknown windows, and from rows of older releases."""

from __future__ import annotations

import datetime as dt

import polars as pl

from har.plausibility import NO_SIGNAL
from har.predictions import UNCERTAIN, activity_minutes
from har.schema import PREDICTIONS

DAY = dt.date(2024, 1, 1)
NINE = dt.datetime(2024, 1, 1, 9, tzinfo=dt.UTC)


def rows(*answers: tuple[str, str | None, bool, bool | None]) -> pl.DataFrame:
    """Windows of 4 s every 2 s: activity, smoothed, abstained, unknown."""
    return pl.DataFrame(
        [
            {
                "date": DAY,
                "subject": "s01",
                "session": "a",
                "start": NINE + dt.timedelta(seconds=2 * number),
                "end": NINE + dt.timedelta(seconds=2 * number + 4),
                "activity": activity,
                "smoothed": smoothed,
                "confidence": 0.4 if abstained else 0.9,
                "abstained": abstained,
                "unknown": unknown,
                "model_version": 1,
            }
            for number, (activity, smoothed, abstained, unknown) in enumerate(answers)
        ],
        schema=PREDICTIONS,
    )


def minutes(frame: pl.DataFrame) -> dict[str, tuple[float, int, float]]:
    summary = activity_minutes(frame)
    return {row["activity"]: (row["minutes"], row["windows"], row["unknown_minutes"]) for row in summary.to_dicts()}


def test_a_window_counts_as_its_smoothed_activity() -> None:
    found = minutes(
        rows(*[("PEN", "PEN", False, False)] * 14, ("ROW", "PEN", False, False), ("ABD", "ABD", False, True))
    )
    assert found == {"PEN": (0.5, 15, 0.0), "ABD": (0.067, 1, 0.067)}


def test_smoothing_makes_nothing_certain_and_measures_nothing() -> None:
    found = minutes(rows(("PEN", "PEN", False, None), ("ROW", "PEN", True, None), (NO_SIGNAL, NO_SIGNAL, True, None)))
    assert found == {"PEN": (0.033, 1, 0.0), UNCERTAIN: (0.033, 1, 0.0), NO_SIGNAL: (0.067, 1, 0.0)}


def test_rows_of_older_releases_count_as_before() -> None:
    assert minutes(rows(("PEN", None, False, None), ("ROW", None, False, None))) == {
        "PEN": (0.033, 1, 0.0),
        "ROW": (0.067, 1, 0.0),
    }
