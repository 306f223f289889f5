"""Adding rows by key, many times: none twice, none lost, and what was added is not read again for the next."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from har.lake import Table
from har.lake._keys import KeySet

SCHEMA = pl.Schema(
    {
        "date": pl.Date(),
        "subject": pl.String(),
        "id": pl.String(),
        "start": pl.Datetime("us", "UTC"),
        "note": pl.String(),
    }
)
DAY = dt.date(2024, 1, 1)
KEY = ["id", "start"]


def rows(*numbers: int) -> pl.DataFrame:
    """Rows whose times overlap those of every other call."""
    noon = dt.datetime(2024, 1, 1, 12, tzinfo=dt.UTC)
    values = [
        {"date": DAY, "subject": f"s{number % 2}", "id": f"r{number}", "start": noon + dt.timedelta(seconds=number % 7)}
        for number in numbers
    ]
    return pl.DataFrame(values, SCHEMA)


def ids(path: Path) -> list[str]:
    return sorted(Table(path, SCHEMA).read()["id"])


def test_what_was_added_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = Table(tmp_path / "t", SCHEMA)
    looked_at: list[int] = []
    scan = Table.scan

    def counting(self: Table, version: int | None = None, partitions: object = None) -> pl.LazyFrame:
        frame = scan(self, version, partitions)
        looked_at.append(frame.select(pl.len()).collect().item())
        return frame

    monkeypatch.setattr(Table, "scan", counting)
    for step in range(36):  # more than the files after which a partition is compacted
        assert table.add(rows(*range(10 * step, 10 * step + 10)), KEY) == 10
        table.compact([(DAY, "s0"), (DAY, "s1")])
        if step % 17 == 3:
            table.amend(rows(10 * step).with_columns(note=pl.lit("amended")), KEY)
    assert looked_at == [0] * 36
    assert table.add(rows(0, 359, 360), KEY) == 1
    assert looked_at[36:] == [0, 360]
    monkeypatch.undo()
    assert len(ids(tmp_path / "t")) == len(set(ids(tmp_path / "t"))) == 361


def test_another_writer_is_noticed(tmp_path: Path) -> None:
    one, two = Table(tmp_path / "t", SCHEMA), Table(tmp_path / "t", SCHEMA)
    assert one.add(rows(1, 2), KEY) == 2
    assert two.add(rows(2, 3), KEY) == 1
    assert one.add(rows(1, 2, 3, 4, 4), KEY) == 1
    assert two.add(rows(4, 5), KEY) == 1
    one.replace(rows(9), [(DAY, "s1")])
    assert one.add(rows(1, 3, 9), KEY) == 2
    assert ids(tmp_path / "t") == sorted(["r1", "r2", "r3", "r4", "r9"])


def test_at_random(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    tables = [Table(tmp_path / "t", SCHEMA) for _ in range(2)]
    known: set[int] = set()
    for _ in range(25):
        drawn = rng.integers(0, 120, 12).tolist()
        table = tables[int(rng.random() < 0.2)]
        assert table.add(rows(*drawn), KEY) == len(set(drawn) - known)
        known.update(drawn)
        if rng.random() < 0.2:
            table.compact([(DAY, "s0")])
    assert ids(tmp_path / "t") == sorted(f"r{number}" for number in known)


def test_a_set_of_keys() -> None:
    rng = np.random.default_rng(1)
    keys, known = KeySet(), np.empty(0, np.uint64)
    for size in (5, 0, 1000, 3, 3, 3, 700, 1):
        some = rng.integers(0, 2**63, size).astype(np.uint64)
        assert not keys.may_hold(some).any()
        keys.add(some)
        known = np.append(known, some)
        assert keys.may_hold(known).all()
        assert len(keys) == len(known)
    assert len(keys._runs) < 6
