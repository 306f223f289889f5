"""What is usual for a subject: the same in the lake and in the hot store, and nothing of the day itself."""

from __future__ import annotations

import datetime as dt
import math

import numpy as np
import polars as pl
import pytest
from hot_support import state
from stream_lake_support import FIRST, put_days

from har.jobs.baseline import baseline as job
from har.lake import Lake
from har.project import Project
from har.settings import Settings
from har.streaming.baselines import BASELINE_DAYS, BaselineReport, Day, as_of, baseline, newest, update
from har.streaming.baselines._features import moments
from har.streaming.state import open_hot
from har.streaming.state._state import now_us

ACTIVITIES = ("PEN", "ABD")


def _features(lake: Lake, day: int, subject: str = "S01") -> dict[str, float]:
    rows = lake.baselines.read().filter(
        (pl.col("date") == FIRST + dt.timedelta(days=day)) & (pl.col("subject") == subject)
    )
    return {one["name"]: one["value"] for one in rows["features"][0]}


def test_features_of_days_are_those_of_all_their_measurements() -> None:
    rng = np.random.default_rng(3)
    parts = [rng.normal(0, 1 + part, (1000 * (part + 1), 3)).astype(np.float32) + 4 for part in range(4)]
    days = [
        Day({"PEN": 10.0, "uncertain": 2.0}, 100 * (part + 1), 80.0 * (part + 1), *moments(values))
        for part, values in enumerate(parts)
    ]

    found = baseline(days, ACTIVITIES)

    magnitude = np.linalg.norm(np.concatenate(parts).astype(np.float64), axis=1)
    assert found.pop("accel.mean") == pytest.approx(magnitude.mean(), rel=1e-12)
    assert found.pop("accel.log_var") == pytest.approx(math.log(magnitude.var()), rel=1e-12)
    assert found == pytest.approx(
        {"minutes_per_day": 12, "share.PEN": 10 / 12, "share.ABD": 0, "share.uncertain": 2 / 12, "confidence": 0.8}
    )
    assert baseline(days[::-1], ACTIVITIES)["share.PEN"] == found["share.PEN"]


def test_without_measurements_there_are_no_features() -> None:
    assert baseline([], ACTIVITIES) == {}
    assert baseline([Day()], ACTIVITIES) == {}


def test_a_row_is_of_the_last_week(lake: Lake, settings: Settings) -> None:
    put_days(lake, *((day, "S01", 30 if day % 2 else 60, "PEN" if day < 3 else "ABD") for day in range(10)))

    report = update(lake, settings)

    assert (report.days, report.rows, report.subjects) == (10, 10, 0)
    assert _features(lake, 2)["share.PEN"] == 1
    assert _features(lake, 2)["minutes_per_day"] == pytest.approx((122 + 62 + 122) / 60 / 3, abs=1e-3)
    assert _features(lake, 8)["share.PEN"] == pytest.approx(122 / (4 * 122 + 3 * 62), abs=1e-3), "days 2 to 8"
    assert _features(lake, 9)["share.PEN"] == 0
    assert _features(lake, 9)["confidence"] == pytest.approx(0.625)
    assert _features(lake, 9)["accel.mean"] == pytest.approx(9.84, abs=0.05)
    assert set(lake.baselines.read()["days"]) == set(range(1, BASELINE_DAYS + 1))


def test_only_what_changed_is_computed_again(lake: Lake, settings: Settings) -> None:
    put_days(lake, *((day, subject, 30, "PEN") for day in range(10) for subject in ("S01", "S02")))
    update(lake, settings)
    before = lake.baselines.read().sort("date", "subject")

    assert update(lake, settings) == BaselineReport()
    put_days(lake, (1, "S01", 60, "ABD"))
    report = update(lake, settings)

    assert (report.days, report.rows) == (1, BASELINE_DAYS), "the day and the six whose week it is part of"
    after = lake.baselines.read().sort("date", "subject")
    unchanged = (pl.col("subject") == "S02") | ~pl.col("date").is_between(
        FIRST + dt.timedelta(days=1), FIRST + dt.timedelta(days=7)
    )
    assert after.filter(unchanged).equals(before.filter(unchanged))
    assert _features(lake, 7)["share.ABD"] == pytest.approx(122 / (122 + 6 * 62), abs=1e-3)

    lake.predictions.replace(lake.predictions.read().clear(), [(FIRST + dt.timedelta(days=9), "S02")])
    update(lake, settings)
    assert len(lake.baselines.read()) == 19


def test_in_steps_or_at_once_the_features_are_the_same(lake: Lake, settings: Settings) -> None:
    for first in range(0, 9, 3):
        put_days(lake, *((day, "S01", 20 + day, "PEN") for day in range(first, first + 3)))
        update(lake, settings)
    stepwise = lake.baselines.read().drop("made_at", "predictions_at").sort("date")
    lake.baselines.replace(lake.baselines.read().clear(), lake.baselines.partitions())

    update(lake, settings)

    assert lake.baselines.read().drop("made_at", "predictions_at").sort("date").equals(stepwise)


def test_an_event_sees_days_before_its_own_only(lake: Lake, settings: Settings) -> None:
    put_days(lake, *((day, "S01", 30, activity) for day, activity in enumerate(("PEN", "PEN", "ABD"))))
    update(lake, settings)
    events = pl.DataFrame(
        {
            "event": ["c", "a", "d", "b", "x"],
            "subject": ["S01", "S01", "S01", "S01", "S02"],
            "date": [FIRST + dt.timedelta(days=days) for days in (3, 0, 90, 2, 3)],
        }
    )

    found = as_of(lake, events)

    assert found["event"].to_list() == ["c", "a", "d", "b", "x"]
    third = FIRST + dt.timedelta(days=2)
    assert found["baseline_date"].to_list() == [third, None, third, FIRST + dt.timedelta(days=1), None]
    assert found["share.ABD"].to_list() == pytest.approx([1 / 3, None, 1 / 3, 0, None], abs=1e-9, nan_ok=True)


def test_the_hot_store_has_what_the_lake_knew_today(lake: Lake, settings: Settings) -> None:
    today = (dt.datetime.now(dt.UTC).date() - FIRST).days
    days = range(today - 8, today + 1)  # today has begun, and is no part of what is known
    put_days(lake, *((day, "S01", 30, "PEN" if day < today else "ABD") for day in days))
    put_days(lake, *((day, "S02", 30 + day % 3, "ABD") for day in days))
    hot = open_hot(settings)
    hot.write([state("S01", seen_us=now_us()), state("S02", seen_us=now_us())], {})
    hot.close()

    assert job(Project(settings)).subjects == 2

    hot = open_hot(settings)
    online = {found.subject: dict(found.baseline) for found in hot.subjects()}
    hot.close()
    offline = newest(lake, FIRST + dt.timedelta(days=today))
    assert online == offline
    assert online["S01"] == {**_features(lake, today - 1)}
    assert online["S01"]["share.ABD"] == 0


def test_a_hot_store_that_is_away_leaves_the_lake_its_rows(
    lake: Lake, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    put_days(lake, (0, "S01", 30, "PEN"))
    settings.path("stream").mkdir(parents=True)
    (settings.path("stream") / "hot.sqlite").write_bytes(b"no database" * 500)

    assert job(Project(settings)).subjects == 0

    assert len(lake.baselines.read()) == 1
    assert "har stream rebuild" in " ".join(capsys.readouterr().err.split())
