"""Whatever a file holds: it is read, or refused with a RecordingError; nothing else escapes."""

from __future__ import annotations

import datetime as dt
import decimal
import io
from itertools import product
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests_support import HAR_TOML

from har.errors import RecordingError
from har.recordings import InboxFile, read_recording
from har.recordings._parquet import opened_parquet
from har.settings import load_settings

HEADER = "time,accel_x,accel_y,accel_z,gyro_x,gyro_y,gyro_z,activity"
CHANNELS = HEADER.split(",")[1:7]
START = dt.datetime(2024, 1, 1, 8)
ROWS = 12


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("any")
    (root / "har.toml").write_text(HAR_TOML)
    (root / "2024-01-01").mkdir()
    return root


def try_to_read(place: Path, content: bytes, suffix: str, **recordings: str) -> RecordingError | None:
    path = place / "2024-01-01" / f"s01_a{suffix}"
    path.write_bytes(content)
    using = load_settings(place)
    using = using.model_copy(update={"recordings": using.recordings.model_copy(update=recordings)})
    try:
        recording = read_recording(InboxFile(path, dt.date(2024, 1, 1), "s01", "a"), using)
    except RecordingError as error:
        assert error.remedy
        assert error.where.startswith("2024-01-01/s01_a")
        return error
    quality = recording.quality
    assert quality.samples_read == quality.samples_kept + quality.dropped
    return None


def rows() -> list[list[str]]:
    stamps = [(START + dt.timedelta(milliseconds=20 * row)).isoformat(timespec="milliseconds") for row in range(ROWS)]
    return [[stamp, *("0.01", "0.02", "1.0"), *("0.1", "0.2", "0.3"), "PEN"] for stamp in stamps]


ODD = st.one_of(
    st.sampled_from(
        [
            "", " ", '"', '""', "'", ";", "\t", "|", "\x00", "\r", "\n", "\r\n", "\ufeff", "\u2028", "\x1c", "\x85",
            "\xa0", "nan", "null", "None", "true", "1e999", "1e-400", "-0", "1_0", "0x1", "+1", ".5", "5.", "1,5",
            "9" * 400, "٣", "³", "½", "2024-01-01", "1969-12-31T23:59:59", "9999-12-31T23:59:59",
            "0001-01-01T00:00:00", "2024-01-01T08:00:60",
        ]
    ),
    st.text(max_size=6),
    st.floats().map(repr),
)  # fmt: skip


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.integers(0, ROWS), st.integers(0, 7), ODD), max_size=4),
    st.sampled_from([",", ";", "\t"]),
    st.sampled_from(["\n", "\r\n", "\r", "\r\r\n", "\n\n"]),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "latin-1", "cp1252"]),
    st.sampled_from(["iso", "s", "ms", "ns"]),
    st.binary(max_size=4),
)
def test_any_text(place: Path, changes, separator: str, end: str, encoding: str, unit: str, last: bytes) -> None:
    table = [HEADER.split(","), *rows()]
    for row, column, text in changes:
        table[row][column] = text
    text = end.join(separator.join(fields) for fields in table) + end
    try_to_read(place, text.encode(encoding, errors="replace") + last, ".csv", time_unit=unit)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=300), st.sampled_from([".csv", ".parquet"]), st.booleans())
def test_any_bytes(place: Path, content: bytes, suffix: str, begun: bool) -> None:
    start = (HEADER + "\n").encode() if suffix == ".csv" else b"PAR1"
    try_to_read(place, start + content if begun else content, suffix)


def parquet(**columns: pa.Array) -> bytes:
    stamps = pa.array([START + dt.timedelta(milliseconds=20 * row) for row in range(ROWS)], pa.timestamp("us"))
    table: dict[str, object] = {"time": stamps, **{name: pa.array([0.5] * ROWS) for name in CHANNELS}}
    table["accel_z"] = pa.array([1.0] * ROWS)
    sink = io.BytesIO()
    pq.write_table(pa.table({**table, "activity": pa.array(["PEN"] * ROWS), **columns}), sink)
    return sink.getvalue()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 4000), st.binary(min_size=1, max_size=6), st.booleans())
def test_any_damage_of_a_parquet_file(place: Path, at: int, damage: bytes, cut: bool) -> None:
    whole = parquet()
    at %= len(whole)
    content = whole[:at] if cut else whole[:at] + damage + whole[at + len(damage) :]
    try_to_read(place, content, ".parquet")


def test_no_damaged_byte_ends_the_process(place: Path) -> None:
    """Some decoders try to allocate what a damaged page asks for, and abort: the same file would end every run."""
    sink = io.BytesIO()
    pq.write_table(pa.table({"activity": pa.array(["PEN", None] * (ROWS // 2))}), sink)
    whole = sink.getvalue()
    path = place / "damaged.parquet"
    read = 0
    for at, value in product(range(len(whole)), (1, 0x1B)):
        path.write_bytes(whole[:at] + bytes([value]) + whole[at + 1 :])
        try:
            with opened_parquet(path, "damaged.parquet") as file:
                read += sum(map(len, file.blocks(file.header)))
        except RecordingError:
            continue
    assert read > ROWS


def dictionary(values: pa.Array) -> pa.Array:
    return values.dictionary_encode()


def stamps_of(kind: pa.DataType, step: int) -> pa.Array:
    return pa.array([1_704_096_000 * step + row * step // 50 for row in range(ROWS)], pa.int64()).cast(kind)


GOOD_STAMPS = {
    "timestamp ns": stamps_of(pa.timestamp("ns"), 10**9),
    "timestamp us UTC": stamps_of(pa.timestamp("us", "UTC"), 10**6),
    "timestamp us +02:00": stamps_of(pa.timestamp("us", "+02:00"), 10**6),
    "timestamp ms Tokyo": stamps_of(pa.timestamp("ms", "Asia/Tokyo"), 10**3),
    "dictionary of text": dictionary(pa.array([f"2024-01-01T08:00:00.{20 * row:03}" for row in range(ROWS)])),
    "large text": pa.array([f"2024-01-01T08:00:00.{20 * row:03}" for row in range(ROWS)], pa.large_string()),
}
COUNTS = {
    "int64": stamps_of(pa.int64(), 10**3),
    "uint64": stamps_of(pa.uint64(), 10**3),
    "float64": stamps_of(pa.float64(), 10**3),
    "decimal": pa.array([decimal.Decimal(1_704_096_000_000 + 20 * row) for row in range(ROWS)], pa.decimal128(20, 3)),
    "text": pa.array([str(1_704_096_000_000 + 20 * row) for row in range(ROWS)]),
}
VALUES = {
    "float16": pa.array(np.full(ROWS, 0.5, np.float16)),
    "float32": pa.array([0.5] * ROWS, pa.float32()),
    "int8": pa.array([1] * ROWS, pa.int8()),
    "uint64": pa.array([1] * ROWS, pa.uint64()),
    "decimal": pa.array([decimal.Decimal("0.5")] * ROWS, pa.decimal128(10, 4)),
    "dictionary of numbers": dictionary(pa.array([0.5, 0.25] * (ROWS // 2))),
}
LABELS = {
    "dictionary": dictionary(pa.array(["PEN", None] * (ROWS // 2))),
    "large text": pa.array(["PEN"] * ROWS, pa.large_string()),
    "nothing": pa.nulls(ROWS),
    "bytes": pa.array([b"PEN"] * ROWS),
}


@pytest.mark.parametrize("kind", GOOD_STAMPS)
def test_types_of_stamps_that_are_read(place: Path, kind: str) -> None:
    assert try_to_read(place, parquet(time=GOOD_STAMPS[kind]), ".parquet") is None


@pytest.mark.parametrize("kind", COUNTS)
def test_types_of_counts_that_are_read(place: Path, kind: str) -> None:
    assert try_to_read(place, parquet(time=COUNTS[kind]), ".parquet", time_unit="ms") is None
    assert "time_unit" in str(try_to_read(place, parquet(time=COUNTS[kind]), ".parquet"))


@pytest.mark.parametrize("kind", VALUES)
def test_types_of_values_that_are_read(place: Path, kind: str) -> None:
    assert try_to_read(place, parquet(accel_x=VALUES[kind]), ".parquet") is None


@pytest.mark.parametrize("kind", LABELS)
def test_types_of_labels_that_are_read(place: Path, kind: str) -> None:
    assert try_to_read(place, parquet(activity=LABELS[kind]), ".parquet") is None


NO_NUMBERS = {
    "text": pa.array(["0.5"] * ROWS),
    "boolean": pa.array([True] * ROWS),
    "list": pa.array([[0.5]] * ROWS),
    "fixed list": pa.array([[0.5, 0.5]] * ROWS, pa.list_(pa.float32(), 2)),
    "struct": pa.array([{"x": 0.5}] * ROWS),
    "date": pa.array([dt.date(2024, 1, 1)] * ROWS),
    "time of day": pa.array([dt.time(8)] * ROWS),
    "duration": pa.array([dt.timedelta(seconds=1)] * ROWS),
    "bytes": pa.array([b"\xff\xfe"] * ROWS),
    "nothing": pa.nulls(ROWS),
    "dictionary of text": dictionary(pa.array(["a"] * ROWS)),
    "map": pa.array([[("a", 1.0)]] * ROWS, pa.map_(pa.string(), pa.float64())),
}


@pytest.mark.parametrize("column", ["time", "gyro_y", "activity", "placement"])
@pytest.mark.parametrize("kind", NO_NUMBERS)
def test_types_that_are_refused(place: Path, column: str, kind: str) -> None:
    error = try_to_read(place, parquet(**{column: NO_NUMBERS[kind]}), ".parquet")
    if column in {"time", "gyro_y"}:
        assert error is not None
        assert column in str(error) or column == "time"


EXTREMES = [2**63 - 1, -(2**63) + 1, 0, 1, -1, 253_402_300_800_000_000, 10**18]


@pytest.mark.parametrize("count", EXTREMES)
@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_extreme_stamps_are_refused(place: Path, unit: str, count: int) -> None:
    for stamps in (pa.array([count] * ROWS, pa.int64()), pa.array([float(count)] * ROWS)):
        assert try_to_read(place, parquet(time=stamps), ".parquet", time_unit=unit) is not None
    if unit != "s":  # which Parquet does not have
        for zone in (None, "UTC", "Europe/Vienna"):
            stamps = pa.array([count] * ROWS, pa.int64()).cast(pa.timestamp(unit, zone))
            assert try_to_read(place, parquet(time=stamps), ".parquet") is not None


def test_columns_that_are_not_needed(place: Path) -> None:
    """In Parquet they may hold anything; text is UTF-8 as a whole."""
    table = [[*HEADER.split(","), "note"], *([*fields, '"B\xfccken ""tief"""'] for fields in rows())]
    text = "\n".join(",".join(fields) for fields in table)
    assert try_to_read(place, text.encode(), ".csv") is None
    error = try_to_read(place, text.encode("latin-1"), ".csv")
    assert error is not None
    assert (error.line, error.remedy) == (2, "Save the file as UTF-8.")
    assert try_to_read(place, parquet(note=pa.array([[1, 2]] * ROWS)), ".parquet") is None
