from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from import_support import START_MS, Look, put, rows_of
from tests_support import HAR_TOML

from har.errors import SettingsError, UnknownActivityError
from har.importing import write
from har.jobs.ingest import ingest_files
from har.lake import Lake
from har.recordings import inbox_files
from har.recordings.layouts import find_layout
from har.settings import Settings, load_settings


def _ingest(settings: Settings, lake: Lake) -> pl.DataFrame:
    files, strays = inbox_files(settings.path("inbox"))
    assert not strays
    for date in {file.date for file in files}:
        report = ingest_files(lake, settings, [file for file in files if file.date == date])
        assert not report.quarantined
    return lake.samples.read()


def test_ingest_accepts_every_imported_file(
    tmp_path: Path, settings: Settings, lake: Lake, signal: np.ndarray, look: Look
) -> None:
    put(tmp_path, rows_of(signal))
    result = look()
    assert (len(result.staged), result.refused, dict(result.faults)) == (1, [], {})
    assert result.hours == pytest.approx(899 * 0.02 / 3600)
    assert result.staged[0].quality.measured_rate_hz == pytest.approx(50)
    assert not settings.path("inbox").exists()
    assert (write(result, settings.path("inbox")).new, settings.path("inbox").exists()) == (1, True)
    (path,) = settings.path("inbox").rglob("*.parquet")
    assert path.relative_to(settings.path("inbox")).as_posix() == "2024-05-06/s01_a.parquet"
    samples = _ingest(settings, lake).sort("time")
    np.testing.assert_allclose(samples["accel_x"], signal[:, 0] * 9.80665, rtol=1e-6)
    np.testing.assert_allclose(samples["gyro_z"], signal[:, 5], rtol=1e-6)
    assert samples["activity"].unique().to_list() == ["PEN"]
    assert samples["time"][0] == dt.datetime.fromtimestamp(START_MS / 1000, dt.UTC)


def test_a_second_import_writes_nothing_and_keeps_files_with_other_content(
    tmp_path: Path, settings: Settings, signal: np.ndarray, look: Look
) -> None:
    put(tmp_path, rows_of(signal))
    inbox = settings.path("inbox")
    write(look(), inbox)
    (path,) = inbox.rglob("*.parquet")
    before = path.stat().st_mtime_ns
    again = write(look(), inbox)
    assert (again.new, again.present, again.conflicts) == (0, 1, [])
    assert path.stat().st_mtime_ns == before
    put(tmp_path, rows_of(signal[:500]))
    content = path.read_bytes()
    changed = write(look(), inbox)
    assert (changed.new, changed.present, len(changed.conflicts)) == (0, 0, 1)
    assert path.read_bytes() == content


@pytest.mark.parametrize("unit", ["iso", "s", "ms", "us", "ns"])
def test_files_have_the_projects_units_and_columns(
    tmp_path: Path, project: Path, signal: np.ndarray, look: Look, unit: str
) -> None:
    toml = HAR_TOML.replace('"iso"', f'"{unit}"').replace('"time"', '"when"').replace('"g"', '"mg"')
    toml = toml.replace("= 16.0", "= 16000.0").replace('"rad/s"', '"deg/s"').replace("= 34.9", "= 2000.0")
    (project / "har.toml").write_text(toml.replace('"activity"', '"doing"'))
    own = load_settings(project)
    put(tmp_path, rows_of(signal))
    options = {"time-unit": "ms"}
    result = look(using=own, options=options, units={"accelerometer": "g", "gyroscope": "rad/s"})
    table = pl.read_parquet(result.staged[0].file.path)
    assert table.columns == ["when", "accel_x", "accel_y", "accel_z", "gyro_x", "gyro_y", "gyro_z", "doing"]
    np.testing.assert_allclose(table["accel_y"], signal[:, 1] * 1000, rtol=1e-6)
    np.testing.assert_allclose(table["gyro_x"], np.degrees(signal[:, 3]), rtol=1e-6)
    per_second = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
    if unit == "iso":
        assert table["when"][1] == dt.datetime.fromtimestamp(START_MS / 1000 + 0.02, dt.UTC)
    else:
        assert table["when"][1] == pytest.approx((START_MS / 1000 + 0.02) * per_second[unit], rel=1e-15)


def test_labels_are_mapped_and_unknown_ones_refused(tmp_path: Path, signal: np.ndarray, look: Look) -> None:
    half = len(signal) // 2
    rows = rows_of(signal)
    mixed = [row.replace("PEN", "pen" if number < half else "Rowing") for number, row in enumerate(rows)]
    mixed[:100] = [row.replace("pen", "") for row in mixed[:100]]
    put(tmp_path, mixed)
    result = look()
    assert result.labels.unknown == {"Rowing": half}
    assert result.faults["samples without a label"] == 100 + half
    with pytest.raises(UnknownActivityError, match="--map 'Rowing=ROW'"):
        result.labels.require_known()
    mapped = look(names={"Rowing": "ROW"})
    mapped.labels.require_known()
    table = pl.read_parquet(mapped.staged[0].file.path)
    assert table["activity"].value_counts(sort=True).rows() == [("ROW", half), ("PEN", half - 100), (None, 100)]
    left_out = look(names={"Rowing": ""})
    left_out.labels.require_known()
    assert pl.read_parquet(left_out.staged[0].file.path)["activity"].null_count() == 100 + half
    with pytest.raises(SettingsError, match="'RWO'"):
        look(names={"Rowing": "RWO"})


def test_a_wrong_unit_is_refused_with_the_right_option(tmp_path: Path, signal: np.ndarray, look: Look) -> None:
    still = np.tile([0, 0, 9.80665, 0, 0, 0], (900, 1)) + np.random.default_rng(0).normal(0, 0.01, (900, 6))
    put(tmp_path, rows_of(still))
    result = look()
    assert result.staged == []
    assert "--unit accelerometer=m/s^2" in result.refused[0].error.remedy
    assert result.refused[0].source.endswith("s01_a.csv")
    corrected = look(units={"accelerometer": "m/s^2"})
    assert corrected.refused == []
    assert pl.read_parquet(corrected.staged[0].file.path)["accel_z"].mean() == pytest.approx(1, abs=0.01)


def test_a_bad_file_is_refused_and_the_others_are_imported(tmp_path: Path, signal: np.ndarray, look: Look) -> None:
    put(tmp_path, rows_of(signal))
    data = tmp_path / "data"
    (data / "s02_a.csv").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:66dc\nsize 261154\n")
    (data / "._s01_a.csv").write_bytes(b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X")
    (data / "s03_a.csv").write_bytes(b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X")
    (data / "s04_a.csv").write_bytes(b"")
    (data / "s05_a.csv").write_text("a,b\n1,2\n")
    mixed = np.concatenate([np.arange(0, 9_000, 20), np.arange(9_000, 54_000, 100)])
    put(tmp_path, rows_of(signal[: len(mixed)], stamps=START_MS + mixed), "s06_a.csv")
    put(tmp_path, [*rows_of(signal), *rows_of(signal[:50])], "s07_a.csv")
    result = look()
    assert [one.file.subject for one in result.staged] == ["s01", "s07"]
    reasons = {Path(one.source).name: str(one.error) for one in result.refused}
    for name, words in {
        "s02_a.csv": "git lfs pull",
        "s03_a.csv": "AppleDouble",
        "s04_a.csv": "empty file",
        "s05_a.csv": "a column 'ax'",
        "s06_a.csv": "10 Hz for",
    }.items():
        assert words in reasons.pop(name)
    assert reasons == {}
    assert result.faults["AppleDouble files, skipped"] == 1
    assert result.faults["duplicate rows, dropped"] == 50


def test_faults_of_rows_are_counted(tmp_path: Path, settings: Settings, signal: np.ndarray, look: Look) -> None:
    signal = signal.copy()
    signal[:, :3] = np.clip(signal[:, :3] * 3, -2, 2)
    signal[400:402] = signal[399]
    rows = rows_of(signal)
    rows[10] += ";"
    rows[20] = "577,,;"
    rows[30] = rows[30].replace(rows[30].split(",")[0], "0")
    rows[40] = rows[40].replace(rows[40].split(",")[2], "nan")
    rows[50:60] = [row.removesuffix("PEN") for row in rows[50:60]]
    del rows[100:200]
    put(tmp_path, rows)
    result = look()
    assert result.refused == []
    clip = [name for name in result.faults if name.startswith("samples clipped at")]
    assert any("2 g" in name for name in clip)
    rest = {name: count for name, count in result.faults.items() if name not in clip}
    assert rest.pop("samples of a stuck sensor") > 100
    assert rest == {
        "rows with an extra separator at the end": 2,
        "rows cut short": 1,
        "rows with a zero stamp": 1,
        "rows with a value that is not a number": 1,
        "samples without a label": 10,
        "gaps longer than 0.5 s": 1,
        "samples to interpolate": 3,
        "samples that repeat the previous values": 2,
    }
    assert result.staged[0].quality.samples_kept == 900 - 100 - 3


def test_counted_samples_get_dates_in_order(tmp_path: Path, project: Path, signal: np.ndarray, look: Look) -> None:
    (project / "har.toml").write_text(HAR_TOML.replace('"UTC"', '"Europe/Vienna"'))
    vienna = load_settings(project)
    for name in ("s01_a.csv", "s01_b.csv", "s02_a.csv"):
        put(tmp_path, rows_of(signal), name)
    options = {"time-unit": "samples", "rate": "50"}
    result = look(using=vienna, options=options, first_day=dt.date(2024, 7, 1))
    starts = {one.file.path.name: pl.read_parquet(one.file.path)["time"][0] for one in result.staged}
    utc = dt.datetime(2024, 7, 1, 6, tzinfo=dt.UTC)
    assert starts == {
        "s01_a.parquet": utc,
        "s01_b.parquet": utc + dt.timedelta(minutes=2),
        "s02_a.parquet": utc,
    }
    assert {one.clock for one in result.staged} == {"counted"}


@pytest.mark.parametrize(
    ("hours", "sessions"),
    [
        ([0, 13, 72, 73], ["2024-05-06 a", "2024-05-09 a-2"]),
        ([0, 20], ["2024-05-06 a"]),
        ([0, 20, 40], ["2024-05-06 a", "2024-05-07 a-2", "2024-05-08 a-3"]),
    ],
)
def test_a_recording_of_days_is_split_at_long_pauses_and_midnights(
    tmp_path: Path, signal: np.ndarray, look: Look, hours: list[int], sessions: list[str]
) -> None:
    stamps = np.concatenate([START_MS + hour * 3_600_000 + np.arange(300) * 20 for hour in hours])
    put(tmp_path, rows_of(np.vstack([signal[:300]] * len(hours)), stamps=stamps))
    result = look()
    assert result.refused == []
    assert [f"{one.file.date} {one.file.session}" for one in result.staged] == sessions
    assert sum(one.quality.samples_kept for one in result.staged) == 300 * len(hours)


def test_subject_and_session_from_columns_of_parquet_and_csv(
    tmp_path: Path, settings: Settings, signal: np.ndarray, look: Look
) -> None:
    schema = ["accel_x", "accel_y", "accel_z", "gyro_x", "gyro_y", "gyro_z"]
    start = dt.datetime(2024, 5, 6, 9, tzinfo=dt.UTC)
    step = dt.timedelta(milliseconds=20)
    table = pl.DataFrame(signal, schema).with_columns(
        pl.datetime_range(start, start + 899 * step, step, eager=True).alias("time"),
        pl.lit("ROW").alias("activity"),
        pl.Series("who", ["p_1", "p_2"]).gather(np.arange(900) % 2),
        pl.lit("left wrist").alias("where"),
    )
    (tmp_path / "data").mkdir()
    table.write_parquet(tmp_path / "data" / "all.parquet")
    result = look("parquet", options={"subject": "who", "placement": "where"})
    assert [(one.file.subject, one.file.session, one.placement) for one in result.staged] == [
        ("p-1", "all", "left wrist"),
        ("p-2", "all", "left wrist"),
    ]
    written = pl.read_parquet(result.staged[0].file.path)
    np.testing.assert_allclose(written["accel_x"], signal[::2, 0], rtol=1e-6)
    assert written["placement"].unique().to_list() == ["left wrist"]


def test_invalid_options_are_refused(tmp_path: Path, signal: np.ndarray, look: Look) -> None:
    put(tmp_path, rows_of(signal))
    for options, word in (
        ({"colour": "red"}, "colour"),
        ({"time-unit": "minutes"}, "minutes"),
        ({"accelerometer": "ax,ay"}, "three columns"),
        ({"pattern": "{person}.csv"}, "{person}"),
        ({"rate": "fast"}, "fast"),
    ):
        with pytest.raises(SettingsError, match=word):
            look(options=options)
    with pytest.raises(SettingsError, match="m/s"):
        look(units={"accelerometer": "furlong"})
    with pytest.raises(SettingsError, match="Did you mean 'motionsense'"):
        find_layout("motion-sense")
    with pytest.raises(SettingsError, match="files of the layout motionsense"):
        look("motionsense")


@pytest.mark.parametrize(
    ("spoil", "note"),
    [
        ([1, 1, 1, 0, 0, 0], "gyro_x, gyro_y, gyro_z do not change: the sensor was off"),
        ([1, 1, 1, 1, 0, 1], "gyro_y is 0 throughout while other axes move"),
        ([1, 0, 1, 1, 1, 1], "accel_y is 0 throughout while other axes move"),
        ([1, 1, 1, 12, 12, 12], "the angular rate looks like deg/s"),
    ],
    ids=["gyroscope off", "dead gyroscope axis", "dead accelerometer axis", "unit"],
)
def test_a_sensor_that_is_off_dead_or_in_another_unit_has_a_line(
    tmp_path: Path, signal: np.ndarray, change: Callable[..., Settings], look: Look, spoil: list[float], note: str
) -> None:
    wide = change(sensors={"gyroscope": {"full_scale": 400.0}})
    put(tmp_path, rows_of(signal * spoil))
    faults = look(using=wide).faults
    assert [count for name, count in faults.items() if note in name] == [1], faults


@pytest.mark.parametrize("name", ["2024-05-06", "2024-05-06/s01_a.parquet"])
def test_nothing_is_written_through_a_link_in_the_inbox(
    tmp_path: Path, settings: Settings, signal: np.ndarray, look: Look, name: str
) -> None:
    put(tmp_path, rows_of(signal))
    outside = tmp_path / "outside"
    outside.mkdir()
    link = settings.path("inbox") / name
    link.parent.mkdir(parents=True)
    link.symlink_to(outside if name == "2024-05-06" else outside / "mine.parquet")
    done = write(look(), settings.path("inbox"))
    assert (done.new, done.present) == (0, 0)
    assert "a symbolic link" in str(done.conflicts[0].error)
    assert list(outside.iterdir()) == []


def test_values_beyond_full_scale_name_the_other_unit(tmp_path: Path, signal: np.ndarray, look: Look) -> None:
    fast = signal.copy()
    fast[:, 3:] = np.degrees(fast[:, 3:])
    put(tmp_path, rows_of(fast))
    (refused,) = look().refused
    assert "--unit gyroscope=deg/s" in refused.error.remedy
    assert "delete" not in refused.error.remedy.lower()
    assert refused.error.where.endswith("s01_a.csv")
    assert look(units={"gyroscope": "deg/s"}).refused == []
