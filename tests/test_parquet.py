"""What a Parquet file decodes to is bounded before anything is decoded; files of all usual writers pass."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from har import parquet
from har.errors import NotARecordingError, RecordingError
from har.parquet import check_parquet
from har.recordings._parquet import read_parquet
from har.settings import Settings

COLUMNS = ("subject", "time", "x", "y")
Write = Callable[[pa.Table, Path], None]


def samples(rows: int, *, noise: bool = True) -> pa.Table:
    """Samples of one subject; without noise, each column but `time` is one value again and again."""
    values = np.random.default_rng(0).normal(size=(2, rows)) if noise else np.zeros((2, rows))
    stamps = 1_704_067_200_000_000 + 20_000 * np.arange(rows)
    columns = {"subject": pa.array(["s01"] * rows), "time": pa.array(stamps).cast(pa.timestamp("us", tz="UTC"))}
    return pa.table({**columns, **dict(zip("xy", values.astype(np.float32), strict=True))})


def write(table: pa.Table, path: Path, **options: Any) -> Path:
    pq.write_table(table, path, **{"compression": "zstd", **options})
    return path


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"compression": "none"},
        {"compression": "snappy", "data_page_version": "2.0"},
        {"use_dictionary": False},
        {"row_group_size": 1000},
        {"data_page_size": 500},
        {"use_dictionary": False, "column_encoding": {"time": "DELTA_BINARY_PACKED", "x": "BYTE_STREAM_SPLIT"}},
        {"write_page_index": True, "write_page_checksum": True},
    ],
)
def test_files_of_pyarrow_pass(tmp_path: Path, options: dict[str, Any]) -> None:
    path = write(samples(5000), tmp_path / "a.parquet", **options)
    check_parquet(path, COLUMNS, where="a")
    check_parquet(path, [*COLUMNS, "absent"], where="a", row_groups_at_once=0)


@pytest.mark.parametrize("options", [{}, {"compression": "uncompressed"}, {"row_group_size": 100}])
def test_files_of_polars_pass(tmp_path: Path, options: dict[str, Any]) -> None:
    frame = pl.DataFrame(
        {
            "subject": ["a", None, "ü"] * 100,
            "time": pl.Series(range(300)).cast(pl.Datetime("ns")),
            "x": pl.Series([1.5, None, float("nan")] * 100, dtype=pl.Float64),
            "nested": [[1, 2], [], [3]] * 100,
            "date": [dt.date(2024, 1, 1)] * 300,
            "flag": [True, False, None] * 100,
        }
    )
    frame.write_parquet(tmp_path / "a.parquet", **options)
    check_parquet(tmp_path / "a.parquet", frame.columns, where="a")
    frame.clear().write_parquet(tmp_path / "b.parquet")
    check_parquet(tmp_path / "b.parquet", frame.columns, where="b")


def test_a_row_group_too_large_is_refused_by_its_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "GROUP_BYTES", 100_000)
    path = write(samples(2500), tmp_path / "a.parquet", row_group_size=2000)
    check_parquet(path, ["x"], where="day.parquet")
    with pytest.raises(NotARecordingError, match=r"day\.parquet, row group 0: .*2,000 rows.* smaller row groups"):
        check_parquet(path, COLUMNS, where="day.parquet")
    check_parquet(path, COLUMNS, where="day.parquet", row_groups_at_once=0)


@pytest.mark.parametrize("group", [8_000_000, 100_000])
def test_a_bomb_is_refused(tmp_path: Path, group: int) -> None:
    rows = 8_000_000
    zeros = pa.table({name: pa.array(np.zeros(rows, np.float64)) for name in ("x", "y", "z", "u", "v")})
    path = write(zeros, tmp_path / "bomb.parquet", row_group_size=group)
    assert path.stat().st_size < 300_000
    words = "row group 0: expected at most 256 MiB" if group == rows else "64 bytes decoded from one of the file"
    with pytest.raises(NotARecordingError, match=words):
        check_parquet(path, zeros.column_names, where="bomb")
    with pytest.raises(NotARecordingError, match="64 bytes decoded from one of the file"):
        check_parquet(path, zeros.column_names, where="bomb", row_groups_at_once=0)


def varint(value: int) -> bytes:
    """A number as page headers hold it."""
    left, found = 2 * value, bytearray()
    while left > 127:
        found.append(left & 127 | 128)
        left >>= 7
    return bytes([*found, left])


@pytest.mark.parametrize(
    ("true", "false", "words"),
    [(40_008, 120_000, "at most"), (10_000, 16_000, "more than the 10000 values")],
    ids=["size", "values"],
)
def test_a_page_header_that_lies_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, true: int, false: int, words: str
) -> None:
    monkeypatch.setattr(parquet, "GROUP_BYTES", 100_000)
    monkeypatch.setattr(parquet, "RATIO", 1)
    path = write(samples(10_000).select(["x"]), tmp_path / "a.parquet", use_dictionary=False, compression="none")
    check_parquet(path, ["x"], where="a")
    content = path.read_bytes()
    assert len(varint(true)) == len(varint(false))
    assert varint(true) in content[:60]
    path.write_bytes(content[:60].replace(varint(true), varint(false), 1) + content[60:])
    with pytest.raises(NotARecordingError, match=words):
        check_parquet(path, ["x"], where="a")


def test_text_whose_size_only_decoding_shows_is_refused(tmp_path: Path) -> None:
    options = {"use_dictionary": False, "column_encoding": {"subject": "DELTA_BYTE_ARRAY"}}
    path = write(samples(100).select(["subject", "x"]), tmp_path / "a.parquet", **options)
    check_parquet(path, ["x"], where="a")
    with pytest.raises(NotARecordingError, match="column 'subject': expected text in plain or dictionary encoding"):
        check_parquet(path, COLUMNS, where="a")


@pytest.mark.parametrize(
    "footer",
    [
        b"\x19\xfc\xff\xff\xff\xff\x07",  # a list of two thousand million items
        b"\x1c" * 5000,  # structures within structures
        b"\x19\x19" * 5000,  # lists within lists
        b"\x15" + b"\xff" * 5000,  # a number without end
        b"",
        b"\x00",
        b"\x49\x1c\x00\x00",  # a row group without anything
    ],
)
def test_a_footer_that_is_none_is_refused_at_once(tmp_path: Path, footer: bytes) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(b"PAR1" + footer + len(footer).to_bytes(4, "little") + b"PAR1")
    if footer == b"\x00":  # a footer without row groups holds nothing
        return check_parquet(path, COLUMNS, where="a")
    with pytest.raises(NotARecordingError, match="a: expected a Parquet file"):
        check_parquet(path, COLUMNS, where="a")
    return None


@pytest.mark.parametrize("length", [0, 3, 11, 12, 40])
def test_a_file_that_is_cut_short_is_refused(tmp_path: Path, length: int) -> None:
    path = write(samples(100), tmp_path / "a.parquet")
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(NotARecordingError, match="cut short"):
        check_parquet(path, COLUMNS, where="a")


def test_damage_is_refused_or_harmless(tmp_path: Path) -> None:
    path = write(samples(3000), tmp_path / "a.parquet", row_group_size=1000)
    sound = path.read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for at in [*rng.integers(len(sound), size=100), *(len(sound) - 1 - rng.integers(1500, size=300))]:
        damaged = bytearray(sound)
        damaged[at] ^= 1 << rng.integers(8)
        path.write_bytes(damaged)
        try:
            check_parquet(path, COLUMNS, where="a")
        except NotARecordingError:
            refused += 1
    assert refused > 50


def test_the_inbox_refuses_a_bomb(tmp_path: Path, settings: Settings) -> None:
    rows = 6_000_000
    zeros = pa.array(np.zeros(rows, np.float64))
    table = pa.table({settings.recordings.time_column: zeros, **dict.fromkeys(settings.sensors.channels, zeros)})
    path = write(table, tmp_path / "bomb.parquet")
    with pytest.raises(RecordingError, match=r"bomb\.parquet: expected at most 64 bytes decoded from one of the file"):
        read_parquet(path, "bomb.parquet", settings)
