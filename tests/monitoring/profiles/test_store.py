"""Profiles in the lake: by subject and placement, online ones from the requests, none twice, old ones deleted."""

from __future__ import annotations

import datetime as dt
import shutil

import numpy as np
import polars as pl
import pytest
from deltalake import write_deltalake
from journal_support import FEATURES, Log, prediction

from har.errors import MonitoringError
from har.lake import Lake
from har.monitoring import Profiler, Profiles
from har.monitoring.profiles import Bins, profile_online
from har.plausibility import NO_SIGNAL
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
    days = Profiles(lake).of_day(DAY)
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
    (day,) = Profiles(lake).of_day(DAY)
    assert (day.profile.windows, day.profile.mean("quality.coverage")) == (0, 0.01)
    assert Profiles(lake).done(3, 90) == {(DAY, "s01")}
    assert Profiles(lake).done(4, 90) == set()


def test_profiling_again_replaces_and_spares_the_online_rows(lake: Lake, own: Settings, log: Log) -> None:
    log.write(*(prediction(number) for number in range(4)))
    log.collect(lake)
    assert profile_online(lake, MODELS, keep_days=90) == 2
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
    days = Profiles(lake).of_day(DAY)
    assert [(day.subject, day.online) for day in days] == [("s00", True), ("s01", False)]
    assert days[1].profile.mean("b.mean") == 2.0
    assert Profiles(lake).of_day(DAY, model_version=4) == []


@pytest.fixture
def log(settings: Settings) -> Log:
    return Log(settings)


def test_online_windows_are_profiled_once_however_often_it_runs(lake: Lake, log: Log) -> None:
    assert profile_online(lake, MODELS, keep_days=90) == 0
    log.write(prediction(0, windows=2), prediction(2), prediction(1, fallback="rule", features=None))
    log.collect(lake)
    assert profile_online(lake, MODELS, keep_days=90) == 1
    assert profile_online(lake, MODELS, keep_days=90) == 0
    (day,) = Profiles(lake).of_day(DAY)
    assert (day.subject, day.online, day.profile.windows) == ("s00", True, 3)
    assert day.profile.names == (*CHOSEN, "confidence", "quality.no_signal")
    # The windows' features count up: 0 … 4 and 5 … 9, then 2 … 6.
    assert day.profile.mean("b.mean") == pytest.approx((1 + 6 + 3) / 3)
    assert day.profile.mean("d.mean") == pytest.approx((3 + 8 + 5) / 3)
    assert day.profile.activities == {"PEN": 2, "ROW": 1}
    log.write(prediction(4), prediction(6, model_version=8))
    log.collect(lake)
    # Version 8 is not of this registry.
    assert profile_online(lake, MODELS, keep_days=90) == 1
    (day,) = Profiles(lake).of_day(DAY)
    assert day.profile.windows == 4
    assert profile_online(lake, {8: (NAMES, CHOSEN)}, keep_days=90) == 1
    assert sorted(one.profile.windows for one in Profiles(lake).of_day(DAY)) == [1, 4]
    assert profile_online(lake, {**MODELS, 8: (NAMES, CHOSEN)}, keep_days=90) == 0


def test_a_log_of_another_models_features_is_refused(lake: Lake, log: Log) -> None:
    log.write(prediction(0))
    log.collect(lake)
    with pytest.raises(MonitoringError, match=f"4 features.*but got {FEATURES}"):
        profile_online(lake, {3: (NAMES[:4], CHOSEN)}, keep_days=90)


@pytest.fixture
def old(lake: Lake, own: Settings) -> dict[dt.date, int]:
    """Windows per day of a subject on each fifth day of three months, all profiled."""
    days = {dt.date(2024, 1, 3) + dt.timedelta(days=number): 10 + number for number in range(0, 85, 5)}
    for date in days:
        record(lake, date, "s01", "a", "left")
    keep(lake, own, *(seen(date, "s01", "a", count) for date, count in days.items()))
    return days


def test_profiles_older_than_keep_days_are_deleted_and_the_others_stay(lake: Lake, old: dict[dt.date, int]) -> None:
    profiles = Profiles(lake)
    # The newest day is 23 March: with 20 days, those before 3 March are old.
    assert profiles.oldest_kept(20) == dt.date(2024, 3, 3)
    gone = [date for date in old if date < dt.date(2024, 3, 3)]
    assert profiles.remove_old(20) == len(gone) == 12
    assert profiles.remove_old(20) == 0
    for date, windows in old.items():
        assert [one.profile.windows for one in profiles.of_day(date)] == ([] if date in gone else [windows])


def test_days_too_old_for_a_profile_are_not_scored_again_for_one(lake: Lake, own: Settings) -> None:
    early, late = dt.date(2024, 1, 3), dt.date(2024, 3, 1)
    for date in (early, late):
        lake.samples.add(samples(lake, date), ["session", "time"])
    keep(lake, own, seen(late, "s01", "a", 3))
    assert Profiles(lake).done(3, 20) == {(early, "s01"), (late, "s01")}
    assert Profiles(lake).done(3, 90) == {(late, "s01")}
    assert Profiles(lake).done(4, 20) == {(early, "s01")}


def samples(lake: Lake, date: dt.date) -> pl.DataFrame:
    """One sample of the subject s01."""
    row = {"date": date, "subject": "s01", "session": "a", "segment": 0, "time": dt.datetime(2024, 1, 1, tzinfo=dt.UTC)}
    missing = [pl.lit(None, dtype).alias(name) for name, dtype in lake.samples.schema.items() if name not in row]
    frame = pl.DataFrame([row], {name: lake.samples.schema[name] for name in row})
    return frame.with_columns(missing).select(lake.samples.schema.names())


def test_online_days_too_old_for_a_profile_are_not_profiled_again(lake: Lake, own: Settings, log: Log) -> None:
    log.write(prediction(0))
    log.collect(lake)
    assert profile_online(lake, MODELS, keep_days=90) == 1
    newer = DAY + dt.timedelta(days=100)
    record(lake, newer, "s01", "a", "left")
    keep(lake, own, seen(newer, "s01", "a", 3))
    assert Profiles(lake).remove_old(90) == 1
    assert profile_online(lake, MODELS, keep_days=90) == 0
    assert profile_online(lake, MODELS, keep_days=101) == 1


def test_killed_while_deleting_the_next_run_goes_on(
    lake: Lake, old: dict[dt.date, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("har.monitoring.profiles._profiles._BATCH", 5)
    replace, left = type(lake.profiles).replace, [1]

    def dying(self, *args, **named):
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        return replace(self, *args, **named)

    with monkeypatch.context() as patch:
        patch.setattr(type(lake.profiles), "replace", dying)
        with pytest.raises(KeyboardInterrupt):
            Profiles(lake).remove_old(20)
    assert len(lake.profiles.read()) == len(old) - 5
    assert Profiles(lake).remove_old(20) == 7


def test_nothing_is_old_in_a_young_lake(lake: Lake, own: Settings) -> None:
    assert Profiles(lake).remove_old(20) == 0
    assert Profiles(lake).oldest_kept(20) is None
    record(lake, DAY, "s01", "a")
    keep(lake, own, seen(DAY, "s01", "a", 3))
    assert Profiles(lake).remove_old(20) == 0
    assert len(lake.profiles.read()) == 1


def test_a_lake_with_months_of_an_older_release_is_read_written_and_cleared_of_them(lake: Lake, own: Settings) -> None:
    record(lake, DAY, "s01", "a", "left")
    keep(lake, own, seen(DAY, "s01", "a", 3))
    rows = lake.profiles.read()
    shutil.rmtree(lake.profiles.path)
    month = rows.with_columns(pl.lit(6, pl.Int32).alias("days"), pl.lit(63, pl.Int32).alias("month_days"))
    write_deltalake(str(lake.profiles.path), month, partition_by=["date", "subject"])
    assert lake.profiles.read().equals(rows)
    newer = DAY + dt.timedelta(days=30)
    record(lake, newer, "s02", "b", "left")
    keep(lake, own, seen(newer, "s02", "b", 5))
    assert Profiles(lake).remove_old(20) == 1
    assert lake.profiles.read().select("date", "subject", "windows").rows() == [(newer, "s02", 5)]


def test_online_windows_without_a_signal_are_counted_and_not_profiled(lake: Lake, log: Log) -> None:
    off = {"activity": ["PEN", NO_SIGNAL], "confidence": [0.75, 0.0], "abstained": [False, True]}
    log.write(prediction(0, windows=2, **off), prediction(2, activity=[NO_SIGNAL], confidence=[0.0], abstained=[True]))
    assert log.collect(lake).predictions == 3
    assert profile_online(lake, MODELS, keep_days=90) == 1
    assert profile_online(lake, MODELS, keep_days=90) == 0
    (day,) = Profiles(lake).of_day(DAY)
    assert (day.profile.windows, day.profile.activities) == (1, {"PEN": 1})
    assert day.profile.mean("quality.no_signal") == pytest.approx(2 / 3)
    assert lake.profiles.read()["windows"].to_list() == [3]


def test_scoring_counts_the_windows_with_a_signal_by_activity(lake: Lake, own: Settings) -> None:
    record(lake, DAY, "s01", "a")
    windows = pl.concat([seen(DAY, "s01", "a", 3), seen(DAY, "s01", "a", 2, value=5.0)])
    answers = ["PEN", "ROW", "ROW", NO_SIGNAL, "PEN"]
    windows = windows.with_columns(pl.Series("activity", answers))
    bins = Bins(CHOSEN, np.array([[1.0, 2.0], [2.0, 4.0]]))
    Profiler(lake, own, NAMES, 3, bins)([(DAY, "s01")], windows)
    (day,) = Profiles(lake).of_day(DAY)
    assert day.by_activity is not None
    assert (day.by_activity.activities, day.by_activity.edges_id) == (("PEN", "ROW"), bins.id)
    assert day.by_activity.counts[:, 0].tolist() == [[1, 0, 1], [2, 0, 0]]
    assert day.by_activity.sums.tolist() == [[5.0, 7.0], [0.0, 2.0]]


def test_without_bins_or_with_those_of_other_features_nothing_is_counted(lake: Lake, own: Settings) -> None:
    record(lake, DAY, "s01", "a")
    keep(lake, own, seen(DAY, "s01", "a", 3))
    other = DAY + dt.timedelta(days=1)
    record(lake, other, "s01", "a")
    bins = Bins(("b.mean", "e.mean"), np.zeros((2, 2)))
    Profiler(lake, own, NAMES, 3, bins)([(other, "s01")], seen(other, "s01", "a", 3))
    assert [day.by_activity for date in (DAY, other) for day in Profiles(lake).of_day(date)] == [None, None]
