"""Every bad input is refused with the right error class, the bad line, and a remedy."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from har.errors import (
    EmptyRecordingError,
    LakeError,
    MalformedRowError,
    MissingColumnError,
    NonFiniteError,
    NotARecordingError,
    RangeError,
    RecordingError,
    RecordingTimeError,
    UnitError,
    UnknownActivityError,
)
from har.recordings import InboxFile, read_recording
from har.settings import Settings

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 261154\n"
APPLE_DOUBLE = b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X        " + bytes(100) + b"ATTR\n"


def refused(read, content, kind: type[RecordingError], line: int, *words: str, **kwargs) -> RecordingError:
    with pytest.raises(RecordingError) as caught:
        read(content, **kwargs)
    error = caught.value
    assert type(error) is kind, error
    assert error.line == line, error
    for word in words:
        assert word in str(error)
    assert error.remedy
    assert error.where.startswith("2024-01-01/s01_morning")
    return error


def edit(lines: list[str], line: int, old: str, new: str) -> list[str]:
    """The lines with a change on one-based `line`."""
    assert old in lines[line - 1]
    return [*lines[: line - 1], lines[line - 1].replace(old, new, 1), *lines[line:]]


def field(lines: list[str], line: int, column: int, text: str) -> list[str]:
    fields = lines[line - 1].split(",")
    fields[column] = text
    return [*lines[: line - 1], ",".join(fields), *lines[line:]]


@pytest.mark.parametrize("content", [b"", b"\n", b"  \n"])
def test_empty_file(read, content: bytes) -> None:
    refused(read, content, EmptyRecordingError, 0)


@pytest.mark.parametrize("end", ["", "\n", "\n\n\n"])
def test_header_only(read, lines, end: str) -> None:
    refused(read, lines(0)[0] + end, EmptyRecordingError, 1, "header only")


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_git_lfs_pointer(read, suffix: str) -> None:
    refused(read, LFS, NotARecordingError, 1 if suffix == ".csv" else 0, "git lfs pull", suffix=suffix)


def test_apple_double_named_csv(read) -> None:
    refused(read, APPLE_DOUBLE, NotARecordingError, 0, "AppleDouble")


def test_binary_named_csv(read) -> None:
    refused(read, b"PK\x03\x04\x00\x00" + bytes(range(256)) * 10, NotARecordingError, 0, "binary")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_utf_16(read, lines, encoding: str) -> None:
    refused(read, "\n".join(lines()).encode(encoding), NotARecordingError, 0, "UTF-8")


@pytest.mark.parametrize("end", ["", "2024-01-01T08:01:00.000Z,0.1,"])
@pytest.mark.parametrize("zeros", [1, 512, 3_000_000])
def test_zeros_at_the_end_of_a_cards_file(read, lines, zeros: int, end: str) -> None:
    content = ("\n".join(lines(200)) + "\n" + end).encode() + bytes(zeros)
    last = 201 + bool(end)
    error = refused(
        read, content, NotARecordingError, last, f"the last {zeros:,} bytes, after line {last}", "Cut them off"
    )
    assert "binary" not in str(error)


def test_a_file_of_zeros(read) -> None:
    refused(read, bytes(4096), NotARecordingError, 0, "4,096 zero bytes and nothing else", "copy it again")


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (b"PK\x03\x04", ["Excel", "CSV"]), (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", ["Excel", "CSV"]),
        (b"PAR1", ["Rename it to .parquet"]), (b"\x1f\x8b\x08", ["gzip", "Unpack"]),
    ],
)  # fmt: skip
def test_other_formats_named_csv(read, head: bytes, words: list[str]) -> None:
    refused(read, head + bytes(range(256)) * 3, NotARecordingError, 0, *words)


def test_text_named_parquet(read, lines) -> None:
    refused(read, "\n".join(lines()).encode(), NotARecordingError, 0, "Rename it to .csv", suffix=".parquet")


def test_lines_that_end_in_cr_alone(read, lines) -> None:
    error = refused(read, "\r".join(lines()), NotARecordingError, 1, "CR alone")
    assert "quotes" not in str(error)
    assert read("\r".join(lines()).replace("\r", "\n")).quality.samples_kept == 60
    mixed = lines(20)
    mixed[7] = f"{mixed[7]}\r{mixed[8]}"
    refused(read, [*mixed[:8], *mixed[9:], "2024-01-01T08:00:01Z,x,0,0,0,0,0,PEN"], MalformedRowError, 22, "'x'")


@pytest.mark.parametrize(("zero", "point"), [("٠", "."), ("٠", "٫"), ("۰", "."), ("०", "."), ("０", "．")])
def test_digits_of_other_scripts_are_refused_with_the_line(read, lines, zero: str, point: str) -> None:
    digits = {ord(str(digit)): chr(ord(zero) + digit) for digit in range(10)} | {ord("."): point}
    content = lines()
    for line in range(5, 61):
        stamp, *values, label = content[line - 1].split(",")
        content[line - 1] = ",".join([stamp, *(value.translate(digits) for value in values), label])
    shown = content[4].split(",")[1]
    refused(read, content, MalformedRowError, 5, "'accel_x'", repr(shown), "digits 0 to 9")
    stamps = [lines()[0], *(f"{line.split(',')[0].translate(digits)},{line.split(',', 1)[1]}" for line in lines()[1:])]
    error = refused(read, stamps, RecordingTimeError, 2, stamps[1].split(",")[0])
    if point == ".":
        assert "digits 0 to 9" in error.remedy


@pytest.mark.parametrize("text", ["1_000", "1e", "0x1p3", "1d5", "--1", "1 000", "1\x1f", "\u00a01", "\u2212 1"])
def test_what_one_parser_takes_and_another_does_not_is_refused(read, lines, text: str) -> None:
    if text == "\u00a01":  # a blank of another kind is a blank
        assert read(field(lines(), 12, 3, text)).quality.samples_kept == 60
        return
    refused(read, field(lines(), 12, 3, text), MalformedRowError, 12, "'accel_z'", "a number")


def test_a_value_that_float64_cannot_hold(read, lines) -> None:
    refused(read, field(lines(), 12, 3, "1e999"), NonFiniteError, 12)


def test_stamps_of_another_form_name_the_import(read, lines) -> None:
    day_first = [
        lines()[0],
        *(f"01/01/2024 08:00:00.{20 * row:03},{line.split(',', 1)[1]}" for row, line in enumerate(lines()[1:50])),
    ]
    error = refused(read, day_first, RecordingTimeError, 2, "01/01/2024 08:00:00.000")
    assert "har import csv" in error.remedy
    assert "delete" not in error.remedy


def test_a_header_below_other_lines_is_named(read, lines) -> None:
    above = ["------ Data File -----", "Serial, 12", ""]
    refused(read, [*above, *lines()], MissingColumnError, 4, "line 4", "Delete the 3 lines above")


def test_columns_of_another_layout_name_the_import(read, lines) -> None:
    refused(
        read,
        edit(edit(lines(), 1, "time", "t"), 1, "accel_x,accel_y,accel_z,gyro_x,gyro_y,gyro_z", "a,b,c,d,e,f"),
        MissingColumnError,
        1,
        "har import csv",
    )
    blanks = [line.replace(",", " ") for line in lines()]
    refused(read, blanks, MissingColumnError, 1, "separate them by commas")


def test_another_encoding_names_the_line(read, lines) -> None:
    content = "\n".join(edit(lines(), 9, "PEN", "Bücken")).encode("latin-1")
    refused(read, content, NotARecordingError, 9, "UTF-8")


def test_truncated_last_row(read, lines) -> None:
    content = "\n".join(lines(60))[:-25]
    refused(read, content, MalformedRowError, 61, "8 fields", "delete that line and put the file back")


def test_a_row_cut_in_half(read, lines) -> None:
    refused(read, [*lines(10)[:6], "577,,", *lines(10)[6:]], MalformedRowError, 7, "got 3")


def test_a_row_that_lacks_only_its_activity_is_cut_short_too(read, lines) -> None:
    refused(read, edit(lines(), 20, ",PEN", ""), MalformedRowError, 20, "got 7")


def test_a_short_row_and_a_long_one_do_not_cancel_out(read, lines) -> None:
    content = edit(edit(lines(), 20, ",PEN", ""), 30, ",PEN", ",PEN,PEN")
    refused(read, content, MalformedRowError, 20)


def test_too_many_fields(read, lines) -> None:
    refused(read, edit(lines(), 30, ",PEN", ",PEN,7"), MalformedRowError, 30, "got 9", "extra fields")


def test_a_separator_at_the_end_of_a_line(read, lines) -> None:
    semicolons = [line.replace(",", ";") for line in lines()]
    refused(read, edit(semicolons, 4, ";PEN", ";PEN;"), MalformedRowError, 4, "';' at the end")


def test_a_foreign_separator_after_a_number(read, lines) -> None:
    bare = [line.rsplit(",", 1)[0] for line in lines()]
    bare[4] += ";"
    refused(read, bare, MalformedRowError, 5, "gyro_z", ";'")


def test_text_in_a_number_column(read, lines) -> None:
    refused(read, field(lines(), 12, 3, "fast"), MalformedRowError, 12, "'accel_z'", "'fast'", "a number")


def test_the_first_of_several_bad_lines_is_named(read, lines) -> None:
    refused(read, field(field(lines(), 40, 1, "x"), 12, 6, "y"), MalformedRowError, 12, "'y'")


def test_blank_lines_count(read, lines) -> None:
    content = field(lines(), 12, 3, "fast")
    refused(read, [*content[:5], "", "", *content[5:]], MalformedRowError, 14)
    sound = lines()
    sound = [*sound[:5], "", "", *field(sound, 12, 7, "PEM")[5:]]
    refused(read, sound, UnknownActivityError, 14)


def test_decimal_commas(read, lines) -> None:
    content = [line.replace(",", ";") for line in lines()]
    content = [content[0], *(line.replace(".", ",").replace(",", ".", 1) for line in content[1:])]
    refused(read, content, MalformedRowError, 2, "decimals with a point")


@pytest.mark.parametrize("text", ["nan", "NaN", "inf", "-inf", ""])
def test_values_that_are_no_finite_number(read, lines, text: str) -> None:
    error = refused(read, field(lines(), 33, 5, text), NonFiniteError, 33, "'gyro_y'")
    assert error.got.lower() == (text.lower() or "an empty value")


def test_a_row_of_separators_only_is_not_a_blank_line(read, lines) -> None:
    refused(read, [*lines(20), ",,,,,,,"], NonFiniteError, 22, "'accel_x'")


def test_missing_channel_is_named_with_what_is_there(read, lines) -> None:
    content = edit(lines(), 1, "accel_y", "Accel_Y")
    error = refused(read, content, MissingColumnError, 1, "'accel_y'", "accel_x", "gyro_z")
    assert "Did you mean 'Accel_Y'?" in error.remedy


def test_missing_time_column(read, lines) -> None:
    error = refused(read, edit(lines(), 1, "time", "timestamp"), MissingColumnError, 1, "'time'")
    assert "'timestamp'" in error.remedy
    assert "recordings.time_column" in error.remedy


def test_a_repeated_channel(read, lines) -> None:
    refused(read, edit(lines(), 1, "accel_y", "accel_x"), MissingColumnError, 1)
    content = [lines()[0] + ",accel_x", *(line + ",1" for line in lines()[1:])]
    refused(read, content, NotARecordingError, 1, "accel_x")


def test_unknown_activity(read, lines) -> None:
    error = refused(read, edit(lines(), 44, "PEN", "TRAPP"), UnknownActivityError, 44, "'TRAPP'", "PEN, ABD")
    assert "'TRAP'" in error.remedy


def test_an_activity_without_a_close_match(read, lines) -> None:
    error = refused(read, edit(lines(), 44, "PEN", "yoga"), UnknownActivityError, 44)
    assert "Did you mean" not in error.remedy


def test_time_going_back(read, lines) -> None:
    content = lines(60)
    jump = lines(30, start="2024-01-01T07:00:00")[1:]
    refused(read, content + jump, RecordingTimeError, 62, "line 61", "runs back by 3601.18 s")


def test_zero_stamps(read, lines, change) -> None:
    epoch = change(recordings={"time_unit": "ms"})
    content = [lines()[0]] + [
        line.replace(line.split(",")[0], str(1704096000000 + 20 * row), 1) for row, line in enumerate(lines()[1:])
    ]
    assert read(content, epoch).quality.samples_kept == 60
    refused(read, field(content, 17, 0, "0"), RecordingTimeError, 17, "zero stamp", using=epoch)


def test_unparsable_stamps(read, lines) -> None:
    refused(read, field(lines(), 21, 0, "2024-01-01 at noon"), RecordingTimeError, 21, "at noon")
    refused(read, field(lines(), 2, 0, "noon"), RecordingTimeError, 2, "ISO stamp")
    refused(read, field(lines(), 21, 0, ""), RecordingTimeError, 21, "empty")
    refused(read, field(lines(), 21, 0, "2024-02-30T08:00:00Z"), RecordingTimeError, 21)


def test_stamps_of_another_kind_name_the_setting(read, lines, change) -> None:
    epoch = [lines()[0], *(field([line], 1, 0, str(1704096000000 + 20 * i))[0] for i, line in enumerate(lines()[1:]))]
    refused(read, epoch, RecordingTimeError, 2, "recordings.time_unit")
    milliseconds = change(recordings={"time_unit": "ms"})
    refused(read, lines(), RecordingTimeError, 2, 'time_unit = "iso"', using=milliseconds)
    nanoseconds = [epoch[0], *(line.replace(",", "000000,", 1) for line in epoch[1:])]
    seconds = change(recordings={"time_unit": "s"})
    refused(read, nanoseconds, RecordingTimeError, 2, 'time_unit = "ns"', using=seconds)


@pytest.mark.parametrize("start", ["2023-12-31T00:00:01", "2024-01-02T23:00:00"])
def test_recordings_within_a_day_of_the_folders_date_are_accepted(read, lines, start: str) -> None:
    assert read(lines(start=start)).quality.samples_kept == 60


@pytest.mark.parametrize("start", ["2023-12-30T23:59:00", "2024-01-03T00:00:00", "2042-05-01T00:00:00"])
def test_a_recording_of_another_date(read, lines, start: str) -> None:
    refused(read, lines(start=start), RecordingTimeError, 2, "2024-01-01", start[:10])


def test_a_stray_stamp_far_ahead(read, lines) -> None:
    refused(read, field(lines(), 61, 0, "2024-03-01T08:00:00Z"), RecordingTimeError, 61, "within a day")


def _scaled(lines: list[str], factor: float) -> list[str]:
    scaled = [lines[0]]
    for line in lines[1:]:
        stamp, *values, label = line.split(",")
        scaled.append(",".join([stamp, *(f"{float(v) * factor:.6f}" for v in values[:3]), *values[3:], label]))
    return scaled


def _shaken(lines: list[str]) -> list[str]:
    """The same with an arm that is always moving."""
    shaken = [lines[0]]
    for row, line in enumerate(lines[1:]):
        fields = line.split(",")
        fields[3] = f"{1 + 0.8 * np.sin(row / 3):.6f}"
        shaken.append(",".join(fields))
    return shaken


@pytest.mark.parametrize("moving", [False, True])
@pytest.mark.parametrize(
    ("written", "declared", "full_scale"),
    [("m/s^2", "g", 16), ("g", "m/s^2", 157), ("mg", "g", 16), ("g", "mg", 16000)],
)
def test_wrong_unit_names_the_right_one(
    read, lines, change, written: str, declared: str, full_scale: float, moving: bool
) -> None:
    factor = {"g": 1, "m/s^2": 9.80665, "mg": 1000}[written]
    content = _scaled(_shaken(lines(300)) if moving else lines(300), factor)
    using = change(sensors={"accelerometer": {"unit": declared, "full_scale": full_scale}})
    error = refused(read, content, UnitError, 0, "9.81 m/s²", using=using)
    assert f'sensors.accelerometer.unit = "{written}"' in error.remedy
    assert ("in the median" if moving else "at rest") in error.expected


@pytest.mark.parametrize("moving", [False, True])
def test_the_right_unit_passes_at_rest_and_in_motion(read, lines, moving: bool) -> None:
    assert read(_shaken(lines(300)) if moving else lines(300)).quality.samples_kept == 300


def test_gravity_removed(read, lines) -> None:
    content = [lines(300)[0]]
    for line in lines(300)[1:]:
        fields = line.split(",")
        content.append(",".join([*fields[:3], f"{float(fields[3]) - 1:.6f}", *fields[4:]]))
    refused(read, content, UnitError, 0, "total acceleration")


def test_degrees_declared_as_radians(read, lines) -> None:
    content = field(field(lines(), 40, 5, "180.5"), 31, 4, "-120")
    error = refused(read, content, RangeError, 31, "'gyro_x'", "-120", "34.9 rad/s")
    assert "[sensors.gyroscope]" in error.remedy


def test_a_file_in_degrees_names_settings_that_read_it(read, lines, change) -> None:
    """The advice is followed, and works."""
    content = [lines(300)[0]]
    for row, line in enumerate(lines(300)[1:]):
        fields = line.split(",")
        content.append(",".join([*fields[:4], f"{300 * np.sin(row / 9):.3f}", *fields[5:]]))
    error = refused(read, content, RangeError, 4, "values are beyond it")
    assert "delete" not in error.remedy
    assert 'sensors.gyroscope.unit in har.toml to the unit of the files, such as "deg/s"' in error.remedy
    full_scale = float(error.remedy.split("full_scale = ")[1].split(")")[0])
    using = change(sensors={"gyroscope": {"unit": "deg/s", "full_scale": full_scale}})
    assert read(content, using).quality.samples_kept == 300


def test_the_advice_about_a_wrong_unit_works(read, lines, change) -> None:
    """With the unit alone, the full scale of 16 would be one of 16 m/s², and refuse every stronger movement."""
    content = _scaled(_shaken(lines(300)), 9.80665)
    content[40] = content[40].replace(content[40].split(",")[1], "50", 1)
    error = refused(read, content, UnitError, 0, "full_scale in that unit (16 g are 156.9 m/s^2)")
    full_scale = float(error.remedy.split(" are ")[1].split(" ")[0])
    using = change(sensors={"accelerometer": {"unit": "m/s^2", "full_scale": full_scale}})
    assert read(content, using).quality.samples_kept == 300


def test_a_value_that_float32_cannot_hold(read, lines) -> None:
    refused(read, field(lines(), 40, 5, "1e300"), RangeError, 40, "'gyro_y'", "1e+300")


def parquet(**changes: list[object]) -> pl.DataFrame:
    start = dt.datetime(2024, 1, 1, 8, tzinfo=dt.UTC)
    stamps = [start + dt.timedelta(milliseconds=20 * row) for row in range(60)]
    rng = np.random.default_rng(3)
    columns: dict[str, object] = {"time": stamps}
    for channel in ("accel_x", "accel_y", "accel_z", "gyro_x", "gyro_y", "gyro_z"):
        columns[channel] = rng.normal(channel == "accel_z", 0.01, 60)
    return pl.DataFrame({**columns, "activity": ["PEN"] * 60, **changes})


def test_errors_in_parquet_name_the_row(read) -> None:
    def with_value(column: str, row: int, value: object) -> pl.DataFrame:
        frame = parquet()
        values = frame[column].to_list()
        values[row - 1] = value
        return frame.with_columns(pl.Series(column, values))

    assert read(parquet(), suffix=".parquet").quality.samples_kept == 60
    refused(read, with_value("gyro_x", 12, None), NonFiniteError, 12, "row 12", "empty", suffix=".parquet")
    refused(read, with_value("gyro_x", 13, float("nan")), NonFiniteError, 13, suffix=".parquet")
    refused(read, with_value("time", 14, None), RecordingTimeError, 14, suffix=".parquet")
    refused(read, with_value("activity", 15, "yoga"), UnknownActivityError, 15, suffix=".parquet")
    refused(read, parquet().drop("gyro_z"), MissingColumnError, 1, "'gyro_z'", suffix=".parquet")
    refused(read, parquet().clear(), EmptyRecordingError, 0, suffix=".parquet")
    refused(read, parquet(gyro_x=["a"] * 60), MalformedRowError, 1, "'gyro_x'", suffix=".parquet")
    refused(read, parquet(time=list(range(60))), RecordingTimeError, 1, "time_unit", suffix=".parquet")


def test_corrupt_parquet_is_refused(read, tmp_path: Path) -> None:
    refused(read, b"", EmptyRecordingError, 0, suffix=".parquet")
    path = tmp_path / "whole.parquet"
    parquet().write_parquet(path)
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], whole[:-1], b"PAR1" + bytes(50) + b"PAR1", b"time,accel_x\n1,2\n"):
        refused(read, content, NotARecordingError, 0, "Parquet", suffix=".parquet")


def test_a_file_that_cannot_be_read_is_a_lake_error(tmp_path: Path, settings: Settings) -> None:
    file = InboxFile(tmp_path / "2024-01-01" / "s01_gone.csv", dt.date(2024, 1, 1), "s01", "gone")
    with pytest.raises(LakeError, match="s01_gone"):
        read_recording(file, settings)
