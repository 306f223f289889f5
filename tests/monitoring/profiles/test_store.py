"""Profiles in the lake: by subject and placement, online ones from the requests, old ones by the month, none twice."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from journal_support import FEATURES, Log, prediction

from har.errors import MonitoringError
from har.lake import Lake
from har.monitoring import (
    Profiler,
    merge_old,
    profile_of,
    profile_online,
    profiled_by,
    subject_days,
)
from har.settings import Settings

NAMES = ("a.mean", "b.mean", "c.mean", "d.mean", "e.mean")
CHOSEN = ("b.mean", "d.mean")
MODELS = {3: (NAMES, CHOSEN)}
DAY = dt.date(2024, 1, 1)


@pytest.fixture
def own(settings: Settings) -> Settings:
    """Settings that profile two of the model's five features."""
    monitoring = settings.monitoring.model_copy(update={"features": CHOSEN, "keep_days": 20})
    return settings.model_copy(update={"monitoring": monitoring})


def record(lake: Lake, date: dt.date, subject: str, session: str, placement: str | None = "", **quality: float) -> None:
    row = {
        "date": date,
        "subject": subject,
        "session": session,
        "samples": 50 * 3600,
        "samples_read": 50 * 3600 + 10,
        "duplicates": 10,
        "duplicate_stamps": 0,
        "coverage": 1.0,
        "gaps": 0,
        "saturated": 0,
        "stuck": 0,
        "placement": placement,
        "device": "watch" if placement else placement,
        **quality,
    }
    frame = pl.DataFrame([row], {name: lake.recordings.schema[name] for name in row})
    missing = [pl.lit(None, dtype).alias(name) for name, dtype in lake.recordings.schema.items() if name not in row]
    lake.recordings.add(frame.with_columns(missing).select(lake.recordings.schema.names()), ["session"])


def seen(date: dt.date, subject: str, session: str, count: int, value: float = 0.0) -> pl.DataFrame:
    """Predictions with the two features: `value` and `value` + 1."""
    start = dt.datetime.combine(date, dt.time(9), dt.UTC)
    features = np.tile(np.array([value, value + 1], np.float32), (count, 1))
    return pl.DataFrame(
        {
            "date": [date] * count,
            "subject": [subject] * count,
            "session": [session] * count,
            "start": [start + dt.timedelta(seconds=2 * number) for number in range(count)],
            "activity": ["PEN"] * count,
            "confidence": np.full(count, 0.75, np.float32),
            "features": features,
        },
        schema_overrides={"date": pl.Date, "subject": pl.String, "session": pl.String, "activity": pl.String},
    )


def keep(lake: Lake, settings: Settings, *parts: pl.DataFrame, version: int = 3) -> None:
    """Profile some subject-days, as scoring does."""
    windows = pl.concat(parts)
    Profiler(lake, settings, NAMES, version)(windows.select("date", "subject").unique().rows(), windows)


def test_a_subject_with_two_watches_has_two_profiles(lake: Lake, own: Settings) -> None:
    record(lake, DAY, "s01", "l1", "left", coverage=0.5, gaps=10)
    record(lake, DAY, "s01", "l2", "left", stuck=18_000)
    record(lake, DAY, "s01", "r", "right", saturated=1800)
    record(lake, DAY, "s02", "x", None)
    parts = [seen(DAY, "s01", "l1", 4), seen(DAY, "s01", "l2", 3, 5.0), seen(DAY, "s01", "r", 2, 9.0)]
    keep(lake, own, *parts, seen(DAY, "s02", "x", 1))
    days = subject_days(lake, DAY)
    assert [(day.subject, day.placement, day.device, day.profile.windows) for day in days] == [
        ("s01", "left", "watch", 7),
        ("s01", "right", "watch", 2),
        ("s02", "", "", 1),
    ]
    left, right = days[0].profile, days[1].profile
    assert left.names[:2] == CHOSEN
    assert left.mean("b.mean") == pytest.approx(15 / 7)
    assert left.mean("d.mean") == pytest.approx(22 / 7)
    assert left.activities == {"PEN": 7}
    assert left.mean("confidence") == 0.75
    # Half of two hours is covered by the samples of one: ten gaps in two hours, none in the other recording.
    assert left.mean("quality.gaps_per_h") == pytest.approx(2.5)
    assert left.mean("quality.coverage") == 0.75
    assert left.mean("quality.stuck") == pytest.approx(0.05)
    assert right.mean("quality.saturated") == pytest.approx(0.01)
    assert not any(day.online for day in days)


def test_a_day_without_windows_still_tells_of_its_data(lake: Lake, own: Settings) -> None:
    record(lake, DAY, "s01", "a", "left", coverage=0.01)
    Profiler(lake, own, NAMES, 3)([(DAY, "s01")], seen(DAY, "s01", "a", 0))
    (day,) = subject_days(lake, DAY)
    assert (day.profile.windows, day.profile.mean("quality.coverage")) == (0, 0.01)
    assert profiled_by(lake, 3) == {(DAY, "s01")}
    assert profiled_by(lake, 4) == set()


def test_profiling_again_replaces_and_spares_the_online_rows(lake: Lake, own: Settings, log: Log) -> None:
    log.write(*(prediction(number) for number in range(4)))
    log.collect(lake)
    assert profile_online(lake, MODELS) == 2
    record(lake, DAY, "s01", "a", "left")
    for value in (1.0, 2.0):
        keep(lake, own, seen(DAY, "s01", "a", 5, value))
    rows = lake.profiles.read().sort("subject", "online")
    assert rows.select("subject", "online", "windows").rows() == [
        ("s00", True, 2),
        ("s01", False, 5),
        ("s01", True, 2),
    ]
    # Of the subject whose file came too, the nightly job's windows count.
    days = subject_days(lake, DAY)
    assert [(day.subject, day.online) for day in days] == [("s00", True), ("s01", False)]
    assert days[1].profile.mean("b.mean") == 2.0
    assert subject_days(lake, DAY, model_version=4) == []


@pytest.fixture
def log(settings: Settings) -> Log:
    return Log(settings)


def test_online_windows_are_profiled_once_however_often_it_runs(lake: Lake, log: Log) -> None:
    assert profile_online(lake, MODELS) == 0
    log.write(prediction(0, windows=2), prediction(2), prediction(1, fallback="rule", features=None))
    log.collect(lake)
    assert profile_online(lake, MODELS) == 1
    assert profile_online(lake, MODELS) == 0
    (day,) = subject_days(lake, DAY)
    assert (day.subject, day.online, day.profile.windows) == ("s00", True, 3)
    assert day.profile.names == (*CHOSEN, "confidence")
    # The windows' features count up: 0 … 4 and 5 … 9, then 2 … 6.
    assert day.profile.mean("b.mean") == pytest.approx((1 + 6 + 3) / 3)
    assert day.profile.mean("d.mean") == pytest.approx((3 + 8 + 5) / 3)
    assert day.profile.activities == {"PEN": 2, "ROW": 1}
    log.write(prediction(4), prediction(6, model_version=8))
    log.collect(lake)
    # Version 8 is not of this registry.
    assert profile_online(lake, MODELS) == 1
    (day,) = subject_days(lake, DAY)
    assert day.profile.windows == 4
    assert profile_online(lake, {8: (NAMES, CHOSEN)}) == 1
    assert sorted(one.profile.windows for one in subject_days(lake, DAY)) == [1, 4]
    assert profile_online(lake, {**MODELS, 8: (NAMES, CHOSEN)}) == 0


def test_a_log_of_another_models_features_is_refused(lake: Lake, log: Log) -> None:
    log.write(prediction(0))
    log.collect(lake)
    with pytest.raises(MonitoringError, match=f"4 features.*but got {FEATURES}"):
        profile_online(lake, {3: (NAMES[:4], CHOSEN)})


def months(lake: Lake, settings: Settings) -> None:
    """Two subjects on each fifth day of three months; the second from February on."""
    first = dt.date(2024, 1, 3)
    parts = []
    for number in range(0, 85, 5):
        date = first + dt.timedelta(days=number)
        for subject in ("s01", "s02")[: 1 + (date.month > 1)]:
            record(lake, date, subject, "a", "left")
            parts.append(seen(date, subject, "a", 10 + number, float(number)))
    keep(lake, settings, *parts)


def test_old_months_become_one_row_and_lose_nothing(lake: Lake, own: Settings) -> None:
    months(lake, own)
    whole = (dt.date(2024, 1, 1), dt.date(2024, 3, 31))
    before = profile_of(lake, *whole)
    january = profile_of(lake, dt.date(2024, 1, 1), dt.date(2024, 1, 31))
    rows = lake.profiles.read()
    # The newest day is 23 March: the days before 3 March are old, and with them January and February.
    assert merge_old(lake, own) == (6 - 1) + 2 * (6 - 1)
    after = lake.profiles.read().sort("date", "subject")
    merged = after.filter(pl.col("days") > 1)
    assert merged.select("date", "subject", "days", "windows").rows() == [
        (dt.date(2024, 1, 1), "s01", 6, 6 * 10 + 75),
        (dt.date(2024, 2, 1), "s01", 6, 6 * 10 + 255),
        (dt.date(2024, 2, 1), "s02", 6, 6 * 10 + 255),
    ]
    assert after["windows"].sum() == rows["windows"].sum()
    assert merge_old(lake, own) == 0
    again = profile_of(lake, *whole)
    assert (again.windows, again.activities) == (before.windows, before.activities)
    assert again.mean("b.mean") == pytest.approx(before.mean("b.mean"))
    assert profile_of(lake, dt.date(2024, 1, 1), dt.date(2024, 1, 31)).windows == january.windows
    assert profile_of(lake, *whole, subjects=["s02"]).windows < before.windows
    with pytest.raises(MonitoringError, match="whole months"):
        profile_of(lake, dt.date(2024, 1, 10), dt.date(2024, 3, 31))
    with pytest.raises(MonitoringError, match="har score"):
        profile_of(lake, dt.date(2025, 1, 1), dt.date(2025, 3, 31))


def test_a_day_in_a_months_profile_is_not_counted_again(lake: Lake, own: Settings) -> None:
    months(lake, own)
    merge_old(lake, own)
    old = dt.date(2024, 1, 8)
    before = lake.profiles.read().drop("profile").sort("date", "subject")
    keep(lake, own, seen(old, "s01", "a", 99), version=4)
    assert lake.profiles.read().drop("profile").sort("date", "subject").equals(before)
    assert subject_days(lake, old) == []
    assert (old, "s01") in profiled_by(lake, 4)
    # A day of that month that came late is none of those: it is kept, and merged with the next run.
    late = dt.date(2024, 1, 1)
    record(lake, late, "s01", "a", "left")
    keep(lake, own, seen(late, "s01", "a", 7))
    assert [day.profile.windows for day in subject_days(lake, late)] == [7]
    assert merge_old(lake, own) == 1
    (january,) = lake.profiles.read(partitions=[(late, "s01")]).iter_rows(named=True)
    assert (january["days"], january["windows"]) == (7, 6 * 10 + 75 + 7)


def test_killed_between_months_the_next_run_goes_on(lake: Lake, own: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    months(lake, own)
    windows = lake.profiles.read()["windows"].sum()
    replace, left = type(lake.profiles).replace, [1]

    def dying(self, *args, **named):
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        return replace(self, *args, **named)

    with monkeypatch.context() as patch:
        patch.setattr(type(lake.profiles), "replace", dying)
        with pytest.raises(KeyboardInterrupt):
            merge_old(lake, own)
    assert lake.profiles.read()["windows"].sum() == windows
    assert lake.profiles.read().filter(pl.col("days") > 1)["date"].to_list() == [dt.date(2024, 1, 1)]
    assert merge_old(lake, own) == 10
    assert lake.profiles.read()["windows"].sum() == windows


def test_nothing_is_old_in_a_young_lake(lake: Lake, own: Settings, tmp_path: Path) -> None:
    assert merge_old(lake, own) == 0
    record(lake, DAY, "s01", "a")
    keep(lake, own, seen(DAY, "s01", "a", 3))
    assert merge_old(lake, own) == 0
    assert lake.profiles.read()["days"].to_list() == [1]
