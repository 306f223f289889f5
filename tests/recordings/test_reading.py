"""Valid files: types, units, time zones and unchanged values."""

from __future__ import annotations

import datetime as dt
import math
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from har.errors import MalformedRowError, NotARecordingError
from har.recordings import sample_contract
from har.schema import canonical_schema
from har.settings import STANDARD_GRAVITY

CHANNELS = ("accel_x", "accel_y", "accel_z", "gyro_x", "gyro_y", "gyro_z")


def columns(lines: list[str]) -> np.ndarray:
    return np.array([[float(field) for field in line.split(",")[1:7]] for line in lines[1:]])


def test_a_regular_file_is_converted_to_si_units_only(read, lines) -> None:
    content = lines(500)
    recording = read(content)
    frame = recording.frame
    assert frame.schema == canonical_schema(CHANNELS)
    expected = columns(content) * ([STANDARD_GRAVITY] * 3 + [1.0] * 3)
    assert (frame.select(CHANNELS).to_numpy() == expected.astype(np.float32)).all()
    begin = dt.datetime(2024, 1, 1, 8, tzinfo=dt.UTC)
    assert frame["time"].to_list() == [begin + dt.timedelta(milliseconds=20 * row) for row in range(500)]
    assert frame.select("date", "subject", "session", "segment", "activity", "flags").unique().rows() == [
        (dt.date(2024, 1, 1), "s01", "morning", 0, "PEN", 0)
    ]
    quality = recording.quality
    assert (quality.samples_read, quality.samples_kept, quality.resampled) == (500, 500, False)
    assert quality.coverage == 1
    assert quality.measured_rate_hz == pytest.approx(50)
    assert quality.longest_gap_s == pytest.approx(0.02)


def placed(content: list[str], placements: list[str], device: str = "watch 7") -> list[str]:
    """The file with two more columns."""
    rows = [f"{line},{placement},{device}" for line, placement in zip(content[1:], placements, strict=True)]
    return [f"{content[0]},placement,device", *rows]


def test_placement_and_device_hold_for_the_whole_file(read, lines) -> None:
    content = lines(100)
    recording = read(content)
    assert (recording.placement, recording.device) == ("", "")
    recording = read(placed(content, [""] * 50 + [" left wrist "] * 50))
    assert (recording.placement, recording.device) == ("left wrist", "watch 7")
    assert recording.frame.equals(read(content).frame)
    recording = read(placed(content, [""] * 100, device=""))
    assert (recording.placement, recording.device) == ("", "")


def test_placement_and_device_default_to_har_toml(read, lines, change) -> None:
    known = change(recordings={"placement": "left wrist", "device": "watch 7"})
    content = lines(100)
    for silent in (content, placed(content, [" "] * 100, device="")):
        recording = read(silent, using=known)
        assert (recording.placement, recording.device) == ("left wrist", "watch 7")
    recording = read(placed(content, ["right ankle"] * 100, device=""), using=known)
    assert (recording.placement, recording.device) == ("right ankle", "watch 7")


def test_a_file_with_two_placements_is_refused_at_the_row_that_differs(read, lines) -> None:
    with pytest.raises(MalformedRowError, match=r"line 62, column 'placement'.*'left wrist'.*'right wrist'") as caught:
        read(placed(lines(100), ["left wrist"] * 60 + ["right wrist"] * 40))
    assert caught.value.line == 62


def test_placement_and_device_from_parquet(read, lines) -> None:
    frame = pl.read_csv("\n".join(placed(lines(100), ["left ankle"] * 100)).encode())
    recording = read(frame.with_columns(pl.col("placement").cast(pl.Categorical)), suffix=".parquet")
    assert (recording.placement, recording.device) == ("left ankle", "watch 7")


@pytest.mark.parametrize("unit", ["g", "mg", "m/s^2"])
@pytest.mark.parametrize("rate_unit", ["rad/s", "deg/s"])
def test_every_unit_gives_the_same_samples(read, lines, change, unit: str, rate_unit: str) -> None:
    content = lines(100)
    accel = {"g": 1.0, "mg": 1000.0, "m/s^2": STANDARD_GRAVITY}[unit]
    gyro = {"rad/s": 1.0, "deg/s": 180 / math.pi}[rate_unit]
    scaled = [content[0]]
    for line, row in zip(content[1:], columns(content) * ([accel] * 3 + [gyro] * 3), strict=True):
        stamp, label = line.split(",")[0], line.split(",")[-1]
        scaled.append(",".join([stamp, *map(repr, row.tolist()), label]))
    using = change(
        sensors={
            "accelerometer": {"unit": unit, "full_scale": 16 * accel},
            "gyroscope": {"unit": rate_unit, "full_scale": 34.9 * gyro},
        }
    )
    got = read(scaled, using).frame.select(CHANNELS).to_numpy()
    np.testing.assert_allclose(got, read(content).frame.select(CHANNELS).to_numpy(), rtol=3e-7)


@pytest.mark.parametrize("suffix", ["iso", "s", "ms", "us", "ns"])
def test_epoch_counts(read, lines, change, suffix: str) -> None:
    content = lines(60)
    begin_ms = 1704096000000
    per_ms = {"s": 1e-3, "ms": 1, "us": 1000, "ns": 1_000_000}
    if suffix != "iso":
        content = [
            content[0],
            *(
                f"{(begin_ms + 20 * row) * per_ms[suffix]},{line.split(',', 1)[1]}"
                for row, line in enumerate(content[1:])
            ),
        ]
    using = change(recordings={"time_unit": suffix})
    assert read(content, using).frame.equals(read(lines(60)).frame)


def test_csv_dialects_read_the_same(read, lines) -> None:
    expected = read(lines(60)).frame
    content = lines(60)
    assert read("\r\n".join(content)).frame.equals(expected)
    assert read("\ufeff" + "\n".join(content)).frame.equals(expected)
    for separator in (";", "\t", "|"):
        other = [line.replace(",", separator) for line in content]
        assert read(other).frame.equals(expected)
        for said in (f"sep={separator}", f'"sep={separator}"', f"SEP={separator}"):
            assert read([said, *other]).frame.equals(expected)
            assert read(f"\ufeff{said}\r\n" + "\r\n".join(other)).frame.equals(expected)
    assert read("\r\r\n".join(content)).frame.equals(expected)
    assert read([line.replace(",", " , ") for line in content]).frame.equals(expected)
    assert read([*content, "", ""]).frame.equals(expected)
    assert read([",".join(f'"{field}"' for field in line.split(",")) for line in content]).frame.equals(expected)
    extra = [f"{content[0]},note", *(f'{line},"worn on the left, loose"' for line in content[1:])]
    assert read(extra).frame.equals(expected)
    shuffled = [",".join([*line.split(",")[::-1], "x"]) for line in content]
    assert read(shuffled).frame.equals(expected)


def test_line_numbers_count_the_line_sep(read, lines) -> None:
    content = ["sep=,", *lines(20)]
    content[10] = content[10].replace("PEN", "yoga")
    with pytest.raises(ValueError, match="'yoga'") as caught:
        read(content)
    assert caught.value.line == 11
    content[10] = content[10].replace("yoga", "PEN,PEN")
    with pytest.raises(MalformedRowError) as caught:
        read(content)
    assert caught.value.line == 11
    with pytest.raises(NotARecordingError, match="comma, semicolon"):
        read(["sep=:", *lines(20)])
    with pytest.raises(NotARecordingError, match="header below the line sep="):
        read("sep=;\n")


def test_line_numbers_count_quoted_line_breaks(read, lines) -> None:
    content = [f"{lines(20)[0]},note", *(f'{line},"two\nlines"' for line in lines(20)[1:])]
    content[10] = content[10].replace("PEN", "yoga")
    with pytest.raises(ValueError, match="'yoga'") as caught:
        read(content)
    assert caught.value.line == 21  # the tenth row ends there


def _wall(lines, start: str, count: int = 60) -> list[str]:
    return lines(count, start=start, zone="")


def test_naive_stamps_are_read_in_the_projects_zone(read, lines, change) -> None:
    vienna = change(project={"timezone": "Europe/Vienna"})
    assert read(_wall(lines, "2024-01-01T08:00:00"), vienna).frame["time"][0].hour == 7
    assert read(_wall(lines, "2024-01-01T08:00:00")).frame["time"][0].hour == 8
    offset = lines(60, zone="+02:00")
    assert read(offset, vienna).frame["time"][0].hour == 6


def _parquet_times(stamps: list[dt.datetime]) -> pl.DataFrame:
    rng = np.random.default_rng(1)
    values = {channel: rng.normal(channel == "accel_z", 0.01, len(stamps)) for channel in CHANNELS}
    return pl.DataFrame({"time": stamps, **values})


def test_every_type_of_parquet_stamps(read, change) -> None:
    naive = [dt.datetime(2024, 1, 1, 8) + dt.timedelta(milliseconds=20 * row) for row in range(60)]
    frame = _parquet_times(naive)
    expected = read(frame, suffix=".parquet").frame
    for kind in (pl.Datetime("ms"), pl.Datetime("ns"), pl.Datetime("us")):
        assert read(frame.with_columns(pl.col("time").cast(kind)), suffix=".parquet").frame.equals(expected)
    zoned = frame.with_columns(pl.col("time").dt.replace_time_zone("UTC").dt.convert_time_zone("Asia/Tokyo"))
    assert read(zoned, suffix=".parquet").frame.equals(expected)
    epoch = frame.with_columns(pl.col("time").dt.epoch("ms"))
    assert read(epoch, change(recordings={"time_unit": "ms"}), suffix=".parquet").frame.equals(expected)
    text = frame.with_columns(pl.col("time").dt.to_string("%Y-%m-%d %H:%M:%S%.3f"))
    assert read(text, suffix=".parquet").frame.equals(expected)


def test_parquet_may_hold_categories_and_small_floats(read) -> None:
    naive = [dt.datetime(2024, 1, 1, 8) + dt.timedelta(milliseconds=20 * row) for row in range(60)]
    frame = _parquet_times(naive).with_columns(
        pl.Series("activity", ["PEN", None] * 30).cast(pl.Categorical), pl.col(CHANNELS).cast(pl.Float32)
    )
    assert read(frame, suffix=".parquet").frame["activity"].to_list() == ["PEN", None] * 30


VIENNA_2024 = dt.date(2024, 10, 27)  # at 03:00 the wall clock falls back to 02:00


@pytest.fixture
def autumn(tmp_path, change):
    """Reads a Vienna recording of the day on which daylight saving ends, with one sample per second."""
    from har.recordings import InboxFile, read_recording

    using = change(
        project={"timezone": "Europe/Vienna"},
        recordings={"max_gap_s": 2.0},
        sensors={"rate_hz": 1},
        windows={"length_s": 10.0},
    )

    def read_seconds(stamps: list[dt.datetime], date: dt.date = VIENNA_2024, *, whole: bool = False) -> Any:
        path = tmp_path / date.isoformat() / "s01_night.parquet"
        path.parent.mkdir(exist_ok=True)
        _parquet_times(stamps).write_parquet(path)
        recording = read_recording(InboxFile(path, date, "s01", "night"), using)
        return recording if whole else recording.frame["time"].to_list()

    return read_seconds


def _seconds(hour: int, minute: int, count: int) -> list[dt.datetime]:
    start = dt.datetime.combine(VIENNA_2024, dt.time(hour, minute))
    return [start + dt.timedelta(seconds=second) for second in range(count)]


def test_a_night_over_the_end_of_daylight_saving_has_no_gap(autumn) -> None:
    night = _seconds(1, 50, 70 * 60) + _seconds(2, 0, 70 * 60)
    times = autumn(night)
    assert times[0] == dt.datetime(2024, 10, 26, 23, 50, tzinfo=dt.UTC)
    assert set(np.diff(times)) == {dt.timedelta(seconds=1)}
    assert len(times) == 140 * 60


def test_the_repeated_hour_is_resolved_by_the_rest_of_the_recording(autumn) -> None:
    assert autumn(_seconds(1, 50, 1200))[-1] == dt.datetime(2024, 10, 27, 0, 9, 59, tzinfo=dt.UTC)
    assert autumn(_seconds(2, 50, 1200))[0] == dt.datetime(2024, 10, 27, 1, 50, tzinfo=dt.UTC)


def test_a_recording_within_the_repeated_hour_is_read_as_the_first_pass_and_says_so(autumn) -> None:
    recording = autumn(_seconds(2, 10, 600), whole=True)
    assert recording.frame["time"][0] == dt.datetime(2024, 10, 27, 0, 10, tzinfo=dt.UTC)
    assert next(note for note in recording.quality.notes if "Europe/Vienna repeats" in note).startswith("600 stamps")


def test_a_clock_that_was_not_put_forward_keeps_its_offset_and_says_so(autumn) -> None:
    date = dt.date(2024, 3, 31)
    skipped = [dt.datetime(2024, 3, 31, 1, 59, 50) + dt.timedelta(seconds=second) for second in range(30)]
    recording = autumn(skipped, date, whole=True)
    assert recording.frame["time"].to_list() == [one.replace(tzinfo=dt.UTC) - dt.timedelta(hours=1) for one in skipped]
    assert next(note for note in recording.quality.notes if "Europe/Vienna skips" in note).startswith("20 stamps")


def test_the_schema_refuses_bad_samples(read, lines, settings) -> None:
    from pandera.errors import SchemaError

    frame = read(lines(300)).frame
    contract = sample_contract(settings)
    contract.validate(frame)
    contract.validate(pl.concat([frame, frame.with_columns(subject=pl.lit("s02"))]))
    breaches = {
        "finite": frame.with_columns(gyro_x=pl.lit(math.inf, pl.Float32)),
        "range": frame.with_columns(gyro_x=pl.lit(60, pl.Float32)),
        "activity": frame.with_columns(activity=pl.lit("yoga")),
        "flags": frame.with_columns(flags=pl.lit(8, pl.Int8)),
        "segment": frame.with_columns(segment=pl.lit(-1, pl.Int32)),
        "monotone": pl.concat([frame, frame]),
        "gravity": frame.with_columns(pl.col(CHANNELS[:3]) / 9.8),
    }
    for name, broken in breaches.items():
        with pytest.raises(SchemaError) as caught:
            contract.validate(broken)
        assert caught.value.check.name == name
    for broken in (frame.drop("flags"), frame.with_columns(pl.col("gyro_x").cast(pl.Float64))):
        with pytest.raises(SchemaError):
            contract.validate(broken)


def test_the_schema_refuses_one_session_in_another_unit(read, lines, settings) -> None:
    from pandera.errors import SchemaError

    frame = read(lines(300)).frame
    other = frame.with_columns(pl.col(CHANNELS[:3]) / 9.8, session=pl.lit("evening"))
    with pytest.raises(SchemaError, match=r"9\.81"):
        sample_contract(settings).validate(pl.concat([frame, frame.with_columns(subject=pl.lit("s02")), other]))


@given(st.floats(0.75, 1.25), st.integers(0, 2))
def test_a_poorly_calibrated_sensor_is_no_unit_error(gain: float, axis: int) -> None:
    from har.recordings._contract import resting_magnitude

    count = 300
    rng = np.random.default_rng(0)
    values = rng.normal(0, 0.1, (count, 3))
    values[:, axis] += STANDARD_GRAVITY * gain
    start = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
    frame = pl.DataFrame(values, ["x", "y", "z"]).with_columns(
        pl.lit(start.date()).alias("date"),
        pl.lit("s01").alias("subject"),
        pl.lit("a").alias("session"),
        pl.lit(0).alias("segment"),
        pl.lit(0, pl.Int8).alias("flags"),
        pl.Series("time", [start + dt.timedelta(milliseconds=20 * row) for row in range(count)]),
    )
    (session,) = resting_magnitude(frame.lazy(), ("x", "y", "z")).rows(named=True)
    assert session["at_rest"]
    assert session["plausible"]
    assert session["magnitude"] == pytest.approx(STANDARD_GRAVITY * gain, rel=0.01)
