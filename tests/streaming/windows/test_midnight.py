"""A stream that runs past midnight of the project's time zone is cut there, as a file is."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pytest
from windows_support import SECOND, messages, signal, stamps

from har.cutting import cut_day
from har.recordings import cut_at_midnight, inbox_files, read_recording
from har.settings import STANDARD_GRAVITY, Settings
from har.streaming.windows import Assembly

Windows = list[tuple[dt.date, int, bytes]]
ZONES = ["UTC", "Europe/Vienna", "America/Sao_Paulo", "Asia/Kathmandu"]


def both(settings: Settings, times: np.ndarray) -> tuple[Windows, Windows, list[tuple[dt.date, int, int]]]:
    """Windows by file and by messages; and the stretches' dates, segments and sizes."""
    values = signal(len(times)).astype(np.float64)
    first = dt.datetime.fromtimestamp(int(times[0]) / SECOND, settings.project.zone).date()
    path = settings.path("inbox") / first.isoformat() / "s01_walk.csv"
    path.parent.mkdir(parents=True)
    raw = values.copy()
    raw[:, :3] /= STANDARD_GRAVITY
    columns = dict(zip(settings.sensors.channels, raw.T, strict=True))
    stamp = pl.Series(times).cast(pl.Datetime("us"))
    pl.DataFrame({"time": stamp, **columns}).write_csv(path, datetime_format="%Y-%m-%dT%H:%M:%S%.6fZ")
    files, _ = inbox_files(settings.path("inbox"))
    by_file: Windows = []
    for part in cut_at_midnight(files[0], read_recording(files[0], settings), settings):
        windows, places = cut_day((part.date, "s01"), part.recording.frame, settings, settings.sensors.channels)
        starts = places["start"].to_physical().to_list()
        by_file += [(part.date, start, one.tobytes()) for start, one in zip(starts, windows.batch(), strict=True)]

    raw[:, :3] *= STANDARD_GRAVITY
    assembly = Assembly(settings)
    for number, envelope in enumerate(messages(times, raw.astype(np.float32), 50.0, [37] * 1000)):
        assembly.offer(number, envelope, 0)
    assembly.close_all()
    taken = assembly.take()
    by_message = [(one.date, one.start_us, one.values.tobytes()) for one in taken.windows]
    return by_file, by_message, [(one.date, one.segment, len(one.times)) for one in taken.stretches]


@pytest.mark.parametrize("zone", ZONES)
def test_in_every_time_zone(change: Callable[..., Settings], zone: str) -> None:
    settings = change(project={"timezone": zone})
    midnight = dt.datetime(2024, 3, 31, tzinfo=ZoneInfo(zone))  # also the day on which Vienna's clocks change
    begin = int(midnight.timestamp()) * SECOND - round(9.5 * SECOND)
    by_file, by_message, stretches = both(settings, stamps(1000, 50, begin))
    assert by_message == by_file
    assert len({date for date, _, _ in by_file}) == 2
    assert {(date.day, segment) for date, segment, _ in stretches} == {(30, 0), (31, 1)}


@pytest.mark.parametrize(("before", "after"), [(500, 30), (30, 500), (500, 50), (500, 49), (50, 500), (500, 0)])
def test_less_than_a_second_is_no_part_of_its_own(settings: Settings, before: int, after: int) -> None:
    midnight = int(dt.datetime(2024, 1, 2, tzinfo=dt.UTC).timestamp()) * SECOND
    times = stamps(before + after, 50, midnight - before * 20_000)
    by_file, by_message, stretches = both(settings, times)
    assert [one[1:] for one in by_message] == [one[1:] for one in by_file]
    if before >= 50:  # otherwise, a file is stored under the date of its folder
        assert [one[0] for one in by_message] == [one[0] for one in by_file]
    assert sum(size for _, _, size in stretches) == before + after


def test_a_gap_across_midnight(settings: Settings) -> None:
    midnight = int(dt.datetime(2024, 1, 2, tzinfo=dt.UTC).timestamp()) * SECOND
    times = np.concatenate([stamps(400, 50, midnight - 10 * SECOND), stamps(600, 50, midnight + 5 * SECOND)])
    by_file, by_message, _ = both(settings, times)
    assert by_message == by_file


def test_a_gap_right_after_midnight(settings: Settings) -> None:
    midnight = int(dt.datetime(2024, 1, 2, tzinfo=dt.UTC).timestamp()) * SECOND
    times = np.concatenate([stamps(420, 50, midnight - 8 * SECOND), stamps(600, 50, midnight + 5 * SECOND)])
    by_file, by_message, _ = both(settings, times)
    assert by_message == by_file
