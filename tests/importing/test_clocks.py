"""Stamps of all kinds: wrong units are refused with the right one, counts from an unknown start get dates."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from import_support import START_MS, Look, put, rows_of
from tests_support import HAR_TOML

from har.errors import RecordingTimeError, SettingsError
from har.importing import write
from har.settings import Settings, load_settings

PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}


def _stamps(count: int, unit: str, start_s: float) -> np.ndarray:
    steps = np.arange(count) * PER_SECOND[unit] / 50
    if unit == "s":
        return np.round(start_s + steps, 3)
    return np.round(start_s * PER_SECOND[unit]).astype(np.int64) + np.round(steps).astype(np.int64)


@pytest.mark.parametrize("start_s", [START_MS / 1000, 0.0, 40_000.5], ids=["since 1970", "from 0", "since boot"])
@pytest.mark.parametrize("declared", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("true", ["s", "ms", "us", "ns"])
def test_a_wrong_unit_of_stamps_is_refused_with_the_right_one(
    tmp_path: Path, signal: np.ndarray, look: Look, true: str, declared: str, start_s: float
) -> None:
    put(tmp_path, rows_of(signal[:300], stamps=_stamps(300, true, start_s)))
    result = look(options={"time-unit": declared})
    if declared == true:
        assert result.refused == []
        assert result.staged[0].quality.samples_kept == 300
        assert result.staged[0].quality.measured_rate_hz == pytest.approx(50, rel=1e-3)
        return
    assert result.staged == []
    error = result.refused[0].error
    assert isinstance(error, RecordingTimeError)
    assert f"-o time-unit={true}" in error.remedy


def test_times_from_zero_get_dates_in_order_and_keep_the_first_row(
    tmp_path: Path, settings: Settings, signal: np.ndarray, look: Look
) -> None:
    for name in ("s01_a.csv", "s01_b.csv"):
        put(tmp_path, rows_of(signal, stamps=_stamps(900, "s", 0)), name)
    result = look(options={"time-unit": "s"})
    tables = [pl.read_parquet(one.file.path) for one in result.staged]
    assert [len(table) for table in tables] == [900, 900]
    assert {one.clock for one in result.staged} == {"device"}
    first, second = ((table["time"].min(), table["time"].max()) for table in tables)
    assert first[0] == dt.datetime(2024, 1, 1, 8, tzinfo=dt.UTC)
    assert first[1] < second[0]
    np.testing.assert_allclose(tables[0]["accel_x"][0], signal[0, 0], rtol=1e-6)


def test_assigned_dates_never_fall_on_other_recordings_of_the_subject(
    tmp_path: Path, settings: Settings, signal: np.ndarray, look: Look
) -> None:
    inbox = settings.path("inbox")
    options = {"time-unit": "s"}
    path = put(tmp_path, rows_of(signal, stamps=_stamps(900, "s", 0)))
    assert write(look(options=options), inbox).new == 1
    assert write(look(options=options), inbox).present == 1  # the same again
    path.rename(path.with_name("s01_later.csv"))
    put(tmp_path, rows_of(signal, stamps=_stamps(900, "s", 0)), "s02_a.csv")
    result = look(options=options)
    assert [one.file.subject for one in result.staged] == ["s02"]
    assert "--first-day 2024-01-02" in result.refused[0].error.remedy
    later = look(options=options, first_day=dt.date(2024, 1, 2))
    assert write(later, inbox).new == 2


@pytest.mark.parametrize(
    ("stamp", "words"),
    [("1970-01-01", "stamps of 1970-01-01"), ("1985-10-26", "stamps of 1985"), ("2199-05-06", "in the future")],
)
def test_dates_of_a_clock_that_was_not_set_are_refused_or_assigned(
    tmp_path: Path, signal: np.ndarray, look: Look, stamp: str, words: str
) -> None:
    stamps = np.array([f"{stamp}T08:00:{row / 50:06.3f}" for row in range(300)])
    put(tmp_path, rows_of(signal[:300], stamps=stamps))
    result = look(options={"time-unit": "iso"})
    assert result.staged == []
    assert words in result.refused[0].error.got
    assert "-o clock=device" in result.refused[0].error.remedy
    (staged,) = look(options={"time-unit": "iso", "clock": "device"}).staged
    assert staged.file.date == dt.date(2024, 1, 1)


def test_rows_from_before_the_clock_was_set_are_counted_in_the_refusal(
    tmp_path: Path, signal: np.ndarray, look: Look
) -> None:
    stamps = START_MS + np.arange(900) * 20
    stamps[:30] = np.arange(1, 31) * 20
    put(tmp_path, rows_of(signal, stamps=stamps))
    assert "30 of 900 rows" in look().refused[0].error.remedy


def test_samples_that_share_their_stamps_are_not_thrown_away(tmp_path: Path, signal: np.ndarray, look: Look) -> None:
    stamps = START_MS + np.arange(900) // 5 * 100
    put(tmp_path, rows_of(signal, stamps=stamps))
    result = look()
    kept = sum(one.quality.samples_kept for one in result.staged)
    assert result.refused or kept == 900
    if result.refused:
        assert "720 of 900 samples" in result.refused[0].error.got


ACTILIFE = """\
------------ Data File Created By ActiGraph GT3X+ ActiLife v6.13.4 Firmware v1.9.2 date format dd/MM/yyyy at 50 Hz -----
Serial Number: XYZ2E00000000
Start Time 08:00:00
Start Date 06/05/2024
Epoch Period (hh:mm:ss) 00:00:00
Download Time 10:00:00
Download Date 07/05/2024
Current Memory Address: 0
Current Battery Voltage: 3.85     Mode = 12
--------------------------------------------------
"""


def _device(tmp_path: Path, signal: np.ndarray, stamps: list[str], *, form: str = ",", above: str = "") -> Path:
    lines = []
    for stamp, row in zip(stamps, signal, strict=True):
        texts = [f"{value:.6f}" for value in row]
        lines.append(form.join([stamp, *(texts if form == "," else [text.replace(".", ",") for text in texts])]))
    path = tmp_path / "data" / "s01_a.csv"
    path.parent.mkdir(parents=True)
    path.write_text(above + "\n".join(lines) + "\n")
    return path


def _moments(count: int, form: str) -> list[str]:
    start = dt.datetime(2024, 5, 6, 8)
    moments = [start + dt.timedelta(milliseconds=20 * row) for row in range(count)]
    return [one.strftime(form).replace("{ms}", f"{one.microsecond // 1000:03d}") for one in moments]


NAMES = "ax,ay,az,gx,gy,gz"


@pytest.mark.parametrize(
    ("form", "above", "separator", "options"),
    [
        (
            "%d/%m/%Y %H:%M:%S.{ms}",
            f"{ACTILIFE}Timestamp,{NAMES}\n",
            ",",
            {"skip": "10", "time": "Timestamp", "time-format": "%d/%m/%Y %H:%M:%S%.f"},
        ),
        (
            "%m/%d/%Y %I:%M:%S.{ms} %p",
            f"{ACTILIFE}Timestamp,{NAMES}\n",
            ",",
            {"skip": "10", "time": "Timestamp", "time-format": "%m/%d/%Y %I:%M:%S%.f %p"},
        ),
        (
            "%d.%m.%Y,%H:%M:%S.{ms}",
            f"Date,Time,{NAMES}\n",
            ",",
            {"time": "Date,Time", "time-format": "%d.%m.%Y %H:%M:%S%.f"},
        ),
        ("%Y-%m-%d,%H:%M:%S.{ms}", f"Date,Time,{NAMES}\n", ",", {"time": "Date,Time", "time-unit": "iso"}),
        (
            "%Y-%m-%d %H:%M:%S:{ms}",
            "GENEActiv\n" * 100,
            ",",
            {"skip": "100", "header": f"t,{NAMES}", "time-format": "%Y-%m-%d %H:%M:%S:%3f"},
        ),
        ("%Y-%m-%d %H:%M:%S.{ms}", "", ",", {"header": f"t,{NAMES}", "time-unit": "iso"}),
        ("%d/%m/%y %H:%M:%S.{ms}", f"t,{NAMES}\n", ",", {"time-format": "%d/%m/%y %H:%M:%S%.f"}),
        (
            "%d.%m.%Y %H:%M:%S,{ms}",
            f"sep=;\nZeit;{NAMES.replace(',', ';')}\n",
            ";",
            {"time": "Zeit", "decimal": "comma", "time-format": "%d.%m.%Y %H:%M:%S,%3f"},
        ),
        ("%Y-%m-%dT%H:%M:%S.{ms}", f"\n\nt\t{NAMES.replace(',', chr(9))}\n", "\t", {"decimal": "comma"}),
    ],
    ids=[
        "ActiLife",
        "ActiLife US",
        "two columns",
        "two ISO columns",
        "GENEActiv",
        "Axivity",
        "two digits",
        "sep=;",
        "tabs",
    ],
)
def test_files_of_common_devices_are_read_with_options(
    tmp_path: Path,
    signal: np.ndarray,
    look: Look,
    form: str,
    above: str,
    separator: str,
    options: dict[str, str],
) -> None:
    _device(tmp_path, signal[:300], _moments(300, form), form=separator, above=above)
    given = {"time-unit": "iso", "activity": "none", **options}
    result = look(options=given)
    assert result.refused == []
    table = pl.read_parquet(result.staged[0].file.path)
    assert table["time"][1] == dt.datetime(2024, 5, 6, 8, 0, 0, 20_000, tzinfo=dt.UTC)
    np.testing.assert_allclose(table["accel_z"], signal[:300, 2], atol=1e-5)
    assert len(table) == 300


def test_what_the_options_must_say_stands_in_the_refusal(tmp_path: Path, signal: np.ndarray, look: Look) -> None:
    path = _device(tmp_path, signal[:300], _moments(300, "%d/%m/%Y %H:%M:%S.{ms}"), above=f"t,{NAMES}\n")
    remedy = look(options={"time-unit": "iso"}).refused[0].error.remedy
    assert "time-format=%d/%m/%Y %H:%M:%S%.f" in remedy
    assert "time-format=%m/%d/%Y %H:%M:%S%.f" in remedy
    path.write_text(path.read_text().replace("06/05/2024", "26/05/2024"))
    remedy = look(options={"time-unit": "iso"}).refused[0].error.remedy
    assert "%d/%m/%Y" in remedy
    assert "%m/%d" not in remedy
    path.write_text(ACTILIFE + path.read_text())
    assert "-o skip=" in look(options={"time-unit": "iso"}).refused[0].error.remedy
    path.write_text(f"t;{NAMES.replace(',', ';')}\n" + "1,5;0,1;0,2;0,9;0,1;0,1;0,1\n" * 50)
    assert "-o decimal=comma" in look(options={"time-unit": "s"}).refused[0].error.remedy


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16", "utf-8-sig", "utf-16-le"])
def test_other_encodings_are_read_if_they_are_named(
    tmp_path: Path, signal: np.ndarray, look: Look, encoding: str
) -> None:
    path = put(tmp_path, rows_of(signal[:300]))
    path.write_bytes(path.read_text().replace("ax,ay,az", "x m/s²,y m/s²,z m/s²").encode(encoding))
    options = {"accelerometer": "x m/s²,y m/s²,z m/s²"}
    if encoding in ("cp1252", "utf-16-le"):
        result = look(options=options)
        assert result.staged == []
        assert f"-o encoding={encoding}" in result.refused[0].error.remedy
        options["encoding"] = encoding
    assert look(options=options).staged[0].quality.samples_kept == 300


def test_wrong_options_of_the_text_are_refused(tmp_path: Path, signal: np.ndarray, look: Look) -> None:
    put(tmp_path, rows_of(signal))
    for options, word in (
        ({"skip": "ten"}, "skip"),
        ({"delimiter": "pipe"}, "delimiter"),
        ({"decimal": "comma"}, "decimal"),
        ({"decimal": "dot"}, "decimal"),
        ({"encoding": "base64"}, "encoding"),
        ({"header": "t,t,ax"}, "header"),
        ({"time-format": "%d/%m/%Y"}, "time-format"),
        ({"clock": "sundial"}, "clock"),
    ):
        with pytest.raises(SettingsError, match=f"option {word}"):
            look(options=options)


def test_stamps_in_blocks_are_those_of_the_whole_file(
    tmp_path: Path, signal: np.ndarray, look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = rows_of(signal)
    rows[100] = rows[100].replace("PEN", '"PE\nN"')  # a line feed within quotes
    rows[200] = ""
    path = put(tmp_path, rows)
    whole = look(names={"PE\nN": ""})
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    monkeypatch.setattr("har.recordings.layouts._tables.format.BLOCK_BYTES", 777)
    monkeypatch.setattr("har.recordings.layouts._tables.format._decoded.__defaults__", (777,))
    parts = look(names={"PE\nN": ""})
    assert whole.refused == parts.refused == []
    assert pl.read_parquet(parts.staged[0].file.path).equals(pl.read_parquet(whole.staged[0].file.path))
    assert len(pl.read_parquet(parts.staged[0].file.path)) == 899


def test_times_of_day_without_a_date_get_one_and_may_pass_midnight(
    tmp_path: Path, signal: np.ndarray, look: Look
) -> None:
    start = dt.datetime(2024, 5, 6, 23, 59, 57)
    moments = [f"{start + dt.timedelta(milliseconds=20 * row):%H:%M:%S.%f}" for row in range(300)]
    _device(tmp_path, signal[:300], moments, above=f"t,{NAMES}\n")
    remedy = look(options={"time-unit": "iso"}).refused[0].error.remedy
    assert "-o 'time-format=%H:%M:%S%.f'" in remedy
    (staged,) = look(options={"time-unit": "iso", "time-format": "%H:%M:%S%.f"}).staged
    assert staged.clock == "device"
    table = pl.read_parquet(staged.file.path)
    assert (table["time"][-1] - table["time"][0]).total_seconds() == pytest.approx(5.98)


def test_counts_with_a_decimal_comma_are_read(tmp_path: Path, signal: np.ndarray, look: Look) -> None:
    moments = [f"{row / 50:.3f}".replace(".", ",") for row in range(300)]
    _device(tmp_path, signal[:300], moments, form=";", above=f"t;{NAMES.replace(',', ';')}\n")
    result = look(options={"time-unit": "s", "decimal": "comma"})
    assert result.refused == []
    assert result.staged[0].quality.measured_rate_hz == pytest.approx(50)


def test_columns_that_share_a_name_are_refused(tmp_path: Path, signal: np.ndarray, look: Look) -> None:
    moments = [str(START_MS + 20 * row) for row in range(300)]
    path = _device(tmp_path, signal[:300], moments, above="t,x,y,z,x,y,z\n")
    options = {"accelerometer": "x,y,z", "gyroscope": "a,b,c"}
    error = look(options=options).refused[0].error
    assert "2 columns of that name" in error.got or "a column 'a'" in error.expected
    assert look(options={"skip": "1", "header": f"t,{NAMES}"}).staged[0].quality.samples_kept == 300
    assert path.exists()


def test_what_a_zones_change_of_the_clock_did_is_counted_and_stays_with_the_file(
    tmp_path: Path, project: Path, signal: np.ndarray, look: Look
) -> None:
    (project / "har.toml").write_text(HAR_TOML.replace('"UTC"', '"Europe/Vienna"'))
    begin = dt.datetime(2024, 10, 27, 2, 30)  # twice in Vienna
    stamps = np.array([(begin + dt.timedelta(milliseconds=20 * row)).isoformat() for row in range(len(signal))])
    put(tmp_path, rows_of(signal, stamps=stamps))
    result = look(using=load_settings(project), options={"time-unit": "iso"})
    (staged,) = result.staged
    (words,) = [words for words in result.faults if words.startswith("stamps in the hour that Europe/Vienna repeats")]
    assert result.faults[words] == len(signal)
    assert f"{len(signal)} {words}" in staged.quality.notes
    assert pl.read_parquet(staged.file.path)["time"][0] == dt.datetime(2024, 10, 27, 0, 30, tzinfo=dt.UTC)
