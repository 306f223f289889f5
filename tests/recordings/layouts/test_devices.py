"""Files of research accelerometers come back as written: values, times, units, names; damage is counted or refused."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import pytest
from devices_support import START, cwa_header, write_actilife, write_bin, write_cwa, write_gt3x

from har.errors import MissingColumnError, NotARecordingError, RecordingError, SettingsError
from har.recordings.layouts import RawRecording, Source, find_layout
from har.recordings.layouts._devices import decode as decoding
from har.recordings.layouts._devices import gt3x, recordings
from har.settings import Settings

WRITERS = {"axivity": (write_cwa, "a.cwa"), "geneactiv": (write_bin, "a.bin"), "actigraph": (write_gt3x, "a.gt3x")}
STEPS_G = {"axivity": 8 / 256, "geneactiv": 1 / 256, "actigraph": 1 / 256}
"""An AX3 stores ten bits and a shift: beyond 4 g, in steps of 8 counts."""


@pytest.fixture
def without_gyroscope(settings: Settings) -> Settings:
    """The project's settings with an accelerometer only."""
    content = settings.model_dump()
    content["sensors"]["gyroscope"] = None
    return Settings(**content, root=settings.root)


@pytest.fixture
def values(signal: np.ndarray) -> np.ndarray:
    """Accelerations in g, float64 (6000, 3): a minute at 100 Hz, with clipping at ±8 g."""
    repeated = np.tile(signal[:, :3], (7, 1))[:6000]
    repeated[1000:1020, 0] = 7.99
    return repeated


def _read(layout: str, path: Path, settings: Settings, **options: str) -> list[RawRecording]:
    return list(find_layout(layout).read(path, Source(path.parent, options, settings)))


def _microseconds(*wall: int) -> int:
    return round(dt.datetime(*wall, tzinfo=dt.UTC).timestamp() * 1e6)  # type: ignore[misc]


@pytest.mark.parametrize("layout", WRITERS)
def test_samples_come_back_as_written(
    layout: str, tmp_path: Path, values: np.ndarray, without_gyroscope: Settings
) -> None:
    write, name = WRITERS[layout]
    (found,) = _read(layout, write(tmp_path / name, values), without_gyroscope, timezone="UTC")
    assert found.accelerometer is not None and found.gyroscope is None
    assert (found.clock, found.accelerometer.unit, len(found.times_us)) == ("utc", "g", len(values))
    np.testing.assert_allclose(found.accelerometer.values, values, atol=STEPS_G[layout])
    begin = round(START.replace(tzinfo=dt.UTC).timestamp() * 1e6)
    np.testing.assert_allclose(found.times_us, begin + np.arange(len(values)) * 10_000, atol=40)  # 1/32,768 s
    assert found.faults == {"files whose clock is read as UTC+00:00": 1}


def test_the_ax6_has_a_gyroscope_in_degrees_per_second(tmp_path: Path, settings: Settings, signal: np.ndarray) -> None:
    turns = np.degrees(signal[:800, 3:])
    path = write_cwa(tmp_path / "a.cwa", signal[:800, :3], gyro_deg_s=turns, rate_hz=50)
    (found,) = _read("axivity", path, settings)
    assert found.gyroscope is not None and found.gyroscope.unit == "deg/s"
    np.testing.assert_allclose(found.gyroscope.values, turns, atol=2000 / 32768)
    assert found.device == "Axivity AX6 39434"


@pytest.mark.parametrize("true_hz", [98.8, 101.3])
def test_blocks_of_a_device_with_another_rate_join(
    true_hz: float, tmp_path: Path, values: np.ndarray, without_gyroscope: Settings
) -> None:
    path = write_cwa(tmp_path / "a.cwa", values, true_hz=true_hz)
    (found,) = _read("axivity", path, without_gyroscope)
    intervals = np.diff(found.times_us)
    assert intervals.max() - intervals.min() < 3
    assert 1e6 / intervals.mean() == pytest.approx(true_hz, rel=1e-4)


def test_a_pause_between_blocks_stays_and_is_counted(
    tmp_path: Path, values: np.ndarray, without_gyroscope: Settings
) -> None:
    path = write_cwa(tmp_path / "a.cwa", values, true_hz=98.8, pause_at=20, pause_s=90)
    (found,) = _read("axivity", path, without_gyroscope)
    assert found.faults[recordings.PAUSES] == 1
    assert found.faults[recordings.PAUSED] == 90
    pause = int(np.argmax(np.diff(found.times_us)))
    assert pause == 20 * 120 - 1
    assert np.diff(found.times_us)[pause] == pytest.approx(90.01e6, abs=20_000)
    assert np.delete(np.diff(found.times_us), pause).max() < 10_200  # the block before it has the usual interval


@pytest.mark.parametrize("wide", [False, True], ids=["12 bits", "16 bits"])
def test_idle_sleep_of_an_actigraph_is_a_pause(
    wide: bool, tmp_path: Path, values: np.ndarray, without_gyroscope: Settings
) -> None:
    path = write_gt3x(tmp_path / "a.gt3x", values, asleep=range(20, 45), wide=wide)
    (found,) = _read("actigraph", path, without_gyroscope)
    assert found.accelerometer is not None
    awake = np.r_[0:2000, 4500:6000]
    np.testing.assert_allclose(found.accelerometer.values, values[awake], atol=1 / 256)
    np.testing.assert_array_equal((found.times_us - found.times_us[0]) // 10_000, awake)
    assert (found.faults[recordings.PAUSES], found.faults[recordings.PAUSED]) == (1, 25)


def test_old_actigraphs_have_their_scale_in_the_archive_or_the_serial_number(
    tmp_path: Path, values: np.ndarray, without_gyroscope: Settings
) -> None:
    plain = write_gt3x(tmp_path / "a.gt3x", values, bare=True)
    scaled = write_gt3x(
        tmp_path / "b.gt3x", values, bare=True, info={"Acceleration Scale": "", "Serial Number": "NEO1"}
    )
    (one,), (other,) = (_read("actigraph", path, without_gyroscope) for path in (plain, scaled))
    assert one.accelerometer is not None and other.accelerometer is not None
    np.testing.assert_allclose(one.accelerometer.values, values, atol=1 / 256)
    np.testing.assert_allclose(other.accelerometer.values, values * 256 / 341, atol=1 / 256)


def test_names_come_from_the_file_the_path_or_options(
    tmp_path: Path, values: np.ndarray, without_gyroscope: Settings
) -> None:
    entered = {"Subject Name": "Ada", "Side": "Left", "Limb": "Wrist"}
    cases = [
        ("geneactiv", write_bin(tmp_path / "x_1.bin", values, subject="P07", place="Left Wrist"), "P07", "left wrist"),
        ("axivity", write_cwa(tmp_path / "x_1.cwa", values, note="_p=right+wrist&_sc=26"), "26", "right wrist"),
        ("axivity", write_cwa(tmp_path / "x_2.cwa", values, note="_p=1&_sc=27"), "27", "left wrist"),
        (
            "actigraph",
            write_gt3x(tmp_path / "x_1.gt3x", values, info=entered),
            "Ada",
            "left wrist",
        ),
        ("axivity", write_cwa(tmp_path / "anna_night.cwa", values), "anna", ""),
    ]
    for layout, path, subject, placement in cases:
        (found,) = _read(layout, path, without_gyroscope)
        assert (found.subject, found.placement) == (subject, placement), path.name
    (found,) = _read("axivity", tmp_path / "x_1.cwa", without_gyroscope, subject="B", placement="hip", device="mine")
    assert (found.subject, found.placement, found.device) == ("B", "hip", "mine")
    (found,) = _read("axivity", tmp_path / "x_1.cwa", without_gyroscope, pattern="{subject}_{session}.cwa")
    assert (found.subject, found.session) == ("x", "1")


@pytest.mark.parametrize(
    ("stated", "options", "zone", "hour"),
    [
        ("-05:00:00", {}, "UTC", 14),
        ("-05:00:00", {"timezone": "UTC"}, "UTC", 9),
        ("-05:00:00", {"timezone": "+02:00"}, "UTC", 7),
        ("", {}, "Europe/Berlin", 7),
        ("", {"timezone": "America/New_York"}, "Europe/Berlin", 13),
    ],
)
def test_the_clock_is_read_in_the_zone_of_the_option_the_file_or_the_project(
    stated: str, options: dict, zone: str, hour: int, tmp_path: Path, values: np.ndarray, without_gyroscope: Settings
) -> None:
    content = without_gyroscope.model_dump()
    content["project"]["timezone"] = zone
    path = write_gt3x(tmp_path / "a.gt3x", values, info={"TimeZone": stated})
    (found,) = _read("actigraph", path, Settings(**content, root=without_gyroscope.root), **options)
    assert int(found.times_us[0]) == _microseconds(2024, 5, 6, hour, 30)


def test_a_zone_that_does_not_exist_is_refused(tmp_path: Path, values: np.ndarray, without_gyroscope: Settings) -> None:
    path = write_cwa(tmp_path / "a.cwa", values)
    with pytest.raises(SettingsError, match=r"option timezone: expected an IANA name.*Europe/Bonn"):
        _read("axivity", path, without_gyroscope, timezone="Europe/Bonn")


def test_the_night_with_two_two_oclocks_has_no_hole(
    tmp_path: Path, signal: np.ndarray, without_gyroscope: Settings
) -> None:
    content = without_gyroscope.model_dump()
    content["project"]["timezone"] = "Europe/Berlin"
    # 26 to 27 October 2024: the device starts at 23:00 in summer time, and its clock runs on.
    values = np.tile(signal[:, :3], (100, 1))[: 4 * 3600 * 6]
    path = write_gt3x(
        tmp_path / "a.gt3x", values, start=dt.datetime(2024, 10, 26, 23), rate_hz=6, info={"TimeZone": ""}
    )
    before, after = _read("actigraph", path, Settings(**content, root=without_gyroscope.root))
    assert int(before.times_us[0]) == _microseconds(2024, 10, 26, 21)
    assert int(after.times_us[0]) == _microseconds(2024, 10, 26, 22)
    assert np.diff(np.concatenate([before.times_us, after.times_us])).max() < 200_000


def test_a_long_file_is_read_day_by_day_whatever_its_pieces(
    tmp_path: Path, signal: np.ndarray, without_gyroscope: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = np.tile(signal[:, :3], (800, 1))[: 2 * 86_400 * 4]
    begin = dt.datetime(2024, 5, 6, 23, 59, 30)
    path = write_gt3x(tmp_path / "a.gt3x", values, start=begin, rate_hz=4)
    whole = _read("actigraph", path, without_gyroscope)
    monkeypatch.setattr(gt3x, "PIECE_BYTES", 40_000)
    cut = _read("actigraph", path, without_gyroscope)
    assert [len(one.times_us) for one in whole] == [120, 86_400 * 4, 86_370 * 4]
    for one, other in zip(whole, cut, strict=True):
        np.testing.assert_array_equal(one.times_us, other.times_us)
        np.testing.assert_array_equal(one.accelerometer.values, other.accelerometer.values)  # type: ignore[union-attr]
    assert sum(one.faults["files whose clock is read as UTC+00:00"] for one in cut) == 1


@pytest.mark.parametrize("layout", ["axivity", "geneactiv"])
def test_pieces_join_without_a_seam(
    layout: str, tmp_path: Path, values: np.ndarray, without_gyroscope: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, name = WRITERS[layout]
    path = write(tmp_path / name, values)
    (whole,) = _read(layout, path, without_gyroscope)
    module = __import__(f"har.recordings.layouts.{layout}", fromlist=["PIECE_BYTES"])
    monkeypatch.setattr(module, "PIECE_BYTES", 4096)
    (cut,) = _read(layout, path, without_gyroscope)
    np.testing.assert_array_equal(whole.times_us, cut.times_us)
    np.testing.assert_array_equal(whole.accelerometer.values, cut.accelerometer.values)  # type: ignore[union-attr]


@pytest.mark.parametrize("layout", WRITERS)
def test_a_file_cut_short_gives_what_it_has_and_says_so(
    layout: str, tmp_path: Path, values: np.ndarray, without_gyroscope: Settings
) -> None:
    write, name = WRITERS[layout]
    path = write(tmp_path / name, values)
    path.write_bytes(path.read_bytes()[:-700])
    if layout == "actigraph":  # a zip archive has its list of files at the end
        with pytest.raises(NotARecordingError, match=r"a whole \.gt3x file, but got a damaged one.*copy or download"):
            _read(layout, path, without_gyroscope)
        return
    (found,) = _read(layout, path, without_gyroscope)
    assert found.faults[recordings.CUT] == 1
    assert len(values) - 400 <= len(found.times_us) < len(values)


def test_damaged_blocks_are_left_out_and_counted(
    tmp_path: Path, values: np.ndarray, without_gyroscope: Settings
) -> None:
    path = write_cwa(tmp_path / "a.cwa", values)
    content = bytearray(path.read_bytes())
    content[1024 + 512 * 7 + 100] ^= 0xFF  # the checksum of the eighth block
    path.write_bytes(content)
    (found,) = _read("axivity", path, without_gyroscope)
    assert found.faults[recordings.DAMAGED] == 1
    assert len(found.times_us) == len(values) - 120
    assert found.faults[recordings.PAUSES] == 1

    path = write_gt3x(tmp_path / "a.gt3x", values, damage=30)
    (found,) = _read("actigraph", path, without_gyroscope)
    assert found.faults[recordings.DAMAGED] == 1
    assert found.faults[recordings.PAUSED] == 1
    assert len(found.times_us) == len(values) - 100


@pytest.mark.parametrize("layout", WRITERS)
def test_whatever_the_bytes_a_file_is_read_or_refused(
    layout: str, tmp_path: Path, values: np.ndarray, without_gyroscope: Settings
) -> None:
    write, name = WRITERS[layout]
    path = write(tmp_path / name, values[:1200])
    sound = path.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(40):
        content = np.frombuffer(sound, np.uint8).copy()
        content[rng.integers(0, len(content), rng.integers(1, 200))] = rng.integers(0, 256)
        path.write_bytes(content[: rng.integers(1, len(content))].tobytes())
        try:
            for found in _read(layout, path, without_gyroscope):
                assert found.accelerometer is not None
                assert len(found.times_us) == len(found.accelerometer.values)
        except RecordingError as error:
            assert error.where.startswith(str(path))


def test_a_header_alone_and_a_foreign_file_are_refused(tmp_path: Path, without_gyroscope: Settings) -> None:
    (tmp_path / "a.cwa").write_bytes(cwa_header())
    with pytest.raises(RecordingError, match="a header without samples"):
        _read("axivity", tmp_path / "a.cwa", without_gyroscope)
    (tmp_path / "b.bin").write_bytes(bytes(range(256)) * 8)
    for layout in WRITERS:
        with pytest.raises(NotARecordingError) as caught:
            _read(layout, tmp_path / "b.bin", without_gyroscope)
        assert caught.value.where == str(tmp_path / "b.bin")


def test_a_project_with_a_gyroscope_says_what_to_do(tmp_path: Path, values: np.ndarray, settings: Settings) -> None:
    for layout, (write, name) in WRITERS.items():
        with pytest.raises(MissingColumnError, match=r"has no gyroscope.*\[sensors\.gyroscope\]"):
            _read(layout, write(tmp_path / name, values), settings)


def test_without_actfast_the_extra_is_named(
    tmp_path: Path, values: np.ndarray, without_gyroscope: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_cwa(tmp_path / "a.cwa", values)
    monkeypatch.setitem(__import__("sys").modules, "actfast", None)
    with pytest.raises(SettingsError, match="extra `devices`"):
        decoding.decode(path, "a.cwa")


@pytest.mark.parametrize("stamps", [False, True], ids=["counted", "stamped"])
@pytest.mark.parametrize("header", [False, True], ids=["bare", "header"])
def test_actilife_rows_get_times(
    stamps: bool, header: bool, tmp_path: Path, values: np.ndarray, without_gyroscope: Settings
) -> None:
    path = write_actilife(tmp_path / "s01_raw.csv", values[:3200], stamps=stamps, header=header)
    (found,) = _read("actilife", path, without_gyroscope)
    assert found.accelerometer is not None
    assert (found.subject, found.device, len(found.times_us)) == ("s01", "ActiGraph GT3X+ XYZ2E00000000", 3200)
    np.testing.assert_allclose(found.accelerometer.values, values[:3200], atol=1e-3)
    begin = round(START.replace(tzinfo=dt.UTC).timestamp() * 1e6)
    np.testing.assert_allclose(found.times_us, begin + np.arange(3200) * 31_250, atol=1_001)


def test_a_broken_row_of_actilife_leaves_a_gap(tmp_path: Path, values: np.ndarray, without_gyroscope: Settings) -> None:
    path = write_actilife(tmp_path / "s01_raw.csv", values[:640])
    lines = path.read_text().splitlines()
    lines[100] = "0.1,"
    path.write_text("\n".join(lines))
    (found,) = _read("actilife", path, without_gyroscope)
    assert found.faults["rows cut short"] == 1
    assert len(found.times_us) == 639
    assert np.diff(found.times_us).max() == 62_500


def test_epochs_and_tables_without_the_ten_lines_are_refused(
    tmp_path: Path, values: np.ndarray, without_gyroscope: Settings
) -> None:
    path = write_actilife(tmp_path / "s01_raw.csv", values[:64])
    text = path.read_text()
    path.write_text(text.replace("(hh:mm:ss) 00:00:00", "(hh:mm:ss) 00:01:00"))
    with pytest.raises(NotARecordingError, match="counts in epochs of 00:01:00"):
        _read("actilife", path, without_gyroscope)
    path.write_text("\n".join(text.splitlines()[10:]))
    with pytest.raises(NotARecordingError, match="har import csv -o time=Timestamp"):
        _read("actilife", path, without_gyroscope)
