"""Stamps that are in another unit, no dates, or of another rate: refused with the likely cause, nothing is made up."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from har.errors import RecordingTimeError
from har.recordings import InboxFile, read_recording

START_S = 1_704_096_000  # 2024-01-01T08:00Z
TICKS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
NAMES = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}


def stamped(lines: list[str], stamps: list[str]) -> list[str]:
    return [lines[0], *(f"{stamp},{line.split(',', 1)[1]}" for stamp, line in zip(stamps, lines[1:], strict=True))]


@pytest.mark.parametrize("declared", TICKS)
@pytest.mark.parametrize("written", TICKS)
def test_another_unit_of_epoch_counts_is_named(read, lines, change, written: str, declared: str) -> None:
    content = stamped(lines(60), [f"{(START_S + 0.02 * row) * TICKS[written]:.3f}" for row in range(60)])
    using = change(recordings={"time_unit": declared})
    if written == declared:
        assert read(content, using).quality.samples_kept == 60
        return
    with pytest.raises(RecordingTimeError) as caught:
        read(content, using)
    assert f'recordings.time_unit = "{written}" in har.toml' in caught.value.remedy
    assert caught.value.line == 2


@pytest.mark.parametrize("folder", ["2024-01-01", "1970-01-01"])
@pytest.mark.parametrize(
    ("unit", "begin_s"), [("s", 0), ("s", 0.02), ("ms", 0), ("ns", 300_000), ("us", 5), ("s", 40_000_000)]
)
def test_stamps_from_a_start_are_no_dates(
    tmp_path: Path, lines, change, unit: str, begin_s: float, folder: str
) -> None:
    content = stamped(lines(60), [f"{round((begin_s + 0.02 * row) * TICKS[unit], 3):g}" for row in range(60)])
    path = tmp_path / folder / "s01_a.csv"
    path.parent.mkdir()
    path.write_text("\n".join(content))
    with pytest.raises(RecordingTimeError, match="no dates") as caught:
        read_recording(
            InboxFile(path, dt.date.fromisoformat(folder), "s01", "a"), change(recordings={"time_unit": unit})
        )
    assert "har import" in caught.value.remedy
    assert "delete" not in caught.value.remedy


def test_dates_of_1970_in_a_column_of_dates_are_no_dates_either(read) -> None:
    start = dt.datetime(1970, 1, 1, 0, 0, 1)
    frame = pl.DataFrame({"time": [start + dt.timedelta(milliseconds=20 * row) for row in range(60)]}).with_columns(
        *(pl.lit(float(name == "accel_z")).alias(name) for name in ("accel_x", "accel_y", "accel_z")),
        *(pl.lit(0.0).alias(name) for name in ("gyro_x", "gyro_y", "gyro_z")),
    )
    with pytest.raises(RecordingTimeError, match="no dates"):
        read(frame, suffix=".parquet")


@pytest.mark.parametrize(("faster", "said"), [(1000, "1,000 times too close"), (60, "sensors.rate_hz")])
def test_a_rate_that_no_sensor_has_is_refused(read, lines, faster: float, said: str) -> None:
    """Seconds taken for milliseconds: of 20,598 samples 21 would be left."""
    with pytest.raises(RecordingTimeError, match=said) as caught:
        read(lines(3000, step_ms=20 / faster))
    assert f"{50 * faster:,} per second: 3,000 rows in {60 / faster:.2g}" in caught.value.got


def test_stamps_that_are_too_far_apart_are_refused(read, lines) -> None:
    with pytest.raises(RecordingTimeError, match="1,000 times too far apart"):
        read(lines(60, step_ms=20_000))
    with pytest.raises(RecordingTimeError, match="stamps 1 s apart"):
        read(lines(60, step_ms=1000))


def test_a_file_that_would_be_mostly_made_up_is_refused(read, lines) -> None:
    slow = read(lines(200, step_ms=50))
    assert 0.35 < slow.quality.interpolated / len(slow.frame) < 0.45
    with pytest.raises(
        RecordingTimeError, match=r"at most 70% interpolated .*, but got 80%.*about 10 samples per"
    ) as caught:
        read(lines(200, step_ms=100))
    assert "lower sensors.rate_hz" in caught.value.remedy


def test_interpolated_samples_are_counted(read, lines) -> None:
    content = lines(500)
    recording = read([*content[:100], *content[103:300], *content[301:]])
    flagged = np.flatnonzero(recording.frame["flags"].to_numpy() & 4)
    assert len(flagged) == recording.quality.interpolated == 4
    assert (recording.quality.samples_read, recording.quality.samples_kept) == (496, 496)


@pytest.mark.parametrize("zone", ["", "Z", "+02:00", "-0330", "+05"])
@pytest.mark.parametrize("digits", [2, 3, 6, 7])
def test_stamps_are_the_same_times_in_every_form(read, lines, digits: int, zone: str) -> None:
    ahead = dt.datetime.fromisoformat(f"2024-01-01T00:00:00{zone or 'Z'}").utcoffset() or dt.timedelta()
    times = [dt.datetime(2024, 1, 1, 8) + dt.timedelta(milliseconds=20 * row) for row in range(60)]
    written = [f"{time:%Y-%m-%d %H:%M:%S}.{f'{time.microsecond:06d}0'[:digits]}{zone}" for time in times]
    for stamps in (written, [*written[:-1], f"{written[-1]} "]):
        found = read(stamped(lines(60), stamps)).frame["time"].to_list()
        assert [time.replace(tzinfo=None) + ahead for time in found] == times


@pytest.mark.parametrize(
    "wrong", ["2024-01-01T08:00:00.12x000Z", "2024-13-01T08:00:00.120000Z", "2024-01-01T08:00:00Z+1"]
)
def test_a_stamp_unlike_the_others_is_named(read, lines, wrong: str) -> None:
    content = lines(60)
    content[7] = f"{wrong},{content[7].split(',', 1)[1]}"
    with pytest.raises(RecordingTimeError) as caught:
        read(content)
    assert caught.value.line == 8
    assert wrong in str(caught.value)
