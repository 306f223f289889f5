"""Faults of the data are told by name; real recordings and rounds of exercises with their pauses are no fault."""

from __future__ import annotations

import datetime as dt
import math

import numpy as np
import polars as pl
import pytest
from inbox_support import inbox_chunks

from har.jobs.ingest import ingest_files
from har.lake import Lake
from har.monitoring import Profiler, Profiles
from har.monitoring.profiles import Profile, SubjectDay, quality_alarms
from har.sample import replay, replay_round
from har.settings import Settings

AXES = ("accel_x", "accel_y", "accel_z", "gyro_x")
SOUND = {"coverage": [1.0, 0.9], "gaps_per_h": [0.0, 12.0], "saturated": [0.0, 0.01], "stuck": [0.0, 0.05]}
FLOOR = math.log(1e-4)


def day(
    log_var: float = 0.0, *, still: tuple[str, ...] = (), placement: str = "", **quality: list[float]
) -> SubjectDay:
    """A subject's day whose channels' variances are around `log_var`, and at the floor where they stand still."""
    values = np.random.default_rng(0).normal(log_var, 0.5, (200, len(AXES))).astype(np.float32)
    for axis in still:
        values[:, AXES.index(axis)] = FLOOR
    profile = Profile.of(
        values,
        [f"{axis}.log_var" for axis in AXES],
        confidence=np.ones(200, np.float32),
        activities={"PEN": 200},
        quality={name: np.array(column) for name, column in {**SOUND, **quality}.items()},
    )
    return SubjectDay("s01", placement, "", False, profile)


def test_a_sound_day_raises_none() -> None:
    assert quality_alarms([day()]) == ()
    assert quality_alarms([]) == ()


@pytest.mark.parametrize(
    ("kind", "counter", "values"),
    [
        ("coverage", "coverage", [0.3, 0.4]),
        ("gaps", "gaps_per_h", [400.0, 500.0]),
        ("saturation", "saturated", [0.2, 0.1]),
        ("stuck", "stuck", [0.5, 0.4]),
        ("no_signal", "no_signal", [0.5, 0.4]),
    ],
)
def test_each_fault_is_told_with_its_figure(kind: str, counter: str, values: list[float]) -> None:
    (alarm,) = quality_alarms([day(), day(placement="left", **{counter: values})])
    assert (alarm.kind, alarm.subject) == (kind, "s01")
    assert alarm.value == pytest.approx(np.mean(values))
    assert "s01 left" in alarm.sentence


def test_stuck_samples_explain_windows_without_a_signal() -> None:
    (alarm,) = quality_alarms([day(stuck=[0.5, 0.4], no_signal=[0.5, 0.4])])
    assert alarm.kind == "stuck"


def test_an_axis_that_stands_still_while_others_move() -> None:
    (alarm,) = quality_alarms([day(still=("accel_y",))])
    assert (alarm.kind, alarm.subject) == ("stuck", "s01")
    assert "accel_y" in alarm.sentence


def test_a_watch_at_rest_is_not_broken() -> None:
    assert quality_alarms([day(FLOOR, still=AXES)]) == ()


def alarms(lake: Lake, settings: Settings, *, stuck: str = "") -> list[str]:
    """Kinds of the alarms over all days of the inbox, without a model: variances are taken from the samples."""
    for chunk in inbox_chunks(settings)[0]:
        ingest_files(lake, settings, chunk)
    names = [f"{channel}.log_var" for channel in lake.channels]
    own = settings.model_copy(
        update={"monitoring": settings.monitoring.model_copy(update={"features": ("*.log_var",)})}
    )
    found = []
    partitions = lake.samples.partitions()
    profiler = Profiler(lake, own, names, 1)
    samples = lake.samples.read()
    if stuck:
        samples = samples.with_columns(pl.lit(1.0, pl.Float32).alias(stuck))
    windows = (
        samples.sort("date", "subject", "session", "time")
        .group_by_dynamic("time", every="4s", group_by=["date", "subject", "session"])
        .agg((pl.col(channel).cast(pl.Float64).var(ddof=0) + 1e-4).log() for channel in lake.channels)
    )
    profiler(
        partitions,
        windows.select(
            "date",
            "subject",
            "session",
            pl.lit("PEN").alias("activity"),
            pl.lit(0.9, pl.Float32).alias("confidence"),
            pl.concat_arr(lake.channels).cast(pl.Array(pl.Float32, len(names))).alias("features"),
        ),
    )

    for date in sorted({date for date, _ in partitions}):
        found += [alarm.kind for alarm in quality_alarms(Profiles(lake).of_day(date))]
    return found


@pytest.mark.release
def test_the_replayed_sample_has_no_faults(lake: Lake, settings: Settings) -> None:
    replay(settings.path("inbox"), settings)
    assert alarms(lake, settings) == []


def test_rounds_with_pauses_have_none_and_a_stuck_axis_is_one_for_everybody(lake: Lake, settings: Settings) -> None:
    replay_round(settings.path("inbox"), settings, dt.date(2024, 2, 1))
    assert alarms(lake, settings) == []
    assert alarms(lake, settings, stuck="accel_y") == ["stuck"] * 20
