"""Upkeep of the tables: it is due after so many commits, what versions need stays, and readers never notice."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from har.errors import LakeError
from har.lake import Lake, maintain

DAY = dt.date(2024, 1, 1)
WHO = [(DAY, "s01")]

READ_ON = """
import sys
from pathlib import Path
from har.lake import Lake

lake = Lake(Path(sys.argv[1]), ("x",))
print("reading", flush=True)
seen = set()
while not Path(sys.argv[2]).exists() or len(seen) < 2:
    version = lake.samples.version()
    frame = lake.samples.scan(version)
    rows = lake.samples.collect(frame, version)
    assert len(rows) == 3 and rows["segment"].n_unique() == 1, rows
    seen.add(version)
print(len(seen))
"""


def write(lake: Lake, number: int) -> None:
    columns = {"date": [DAY] * 3, "subject": ["s01"] * 3, "segment": [number] * 3}
    rows = pl.DataFrame(columns).with_columns(
        *(pl.lit(None, dtype).alias(name) for name, dtype in lake.samples.schema.items() if name not in columns)
    )
    lake.samples.replace(rows, WHO)


def data_files(lake: Lake) -> int:
    return sum(1 for _ in lake.samples.path.rglob("part-*.parquet"))


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake", ("x",))


def test_it_is_due_after_so_many_commits(lake: Lake) -> None:
    for number in range(4):
        write(lake, number)
    assert maintain(lake, every=5, keep_days=7, kept=lambda: pytest.fail("nothing is due")) == []
    write(lake, 4)
    (done,) = maintain(lake, every=5, keep_days=7, kept=dict)
    assert (done.table, done.removed) == ("samples", 0)
    assert list(lake.samples.path.glob("_delta_log/*.checkpoint.parquet"))
    assert maintain(lake, every=5, keep_days=7, kept=dict) == []
    assert lake.samples.read()["segment"].to_list() == [4] * 3


def test_what_a_model_was_trained_on_stays(lake: Lake) -> None:
    for number in range(6):
        write(lake, number)
    before = lake.samples.version()
    # Negative retention cannot be set; none makes everything old.
    (done,) = maintain(lake, every=1, keep_days=0, kept=lambda: {"samples": {2, 99}})
    assert done.removed == 4
    assert data_files(lake) == 2
    assert Lake(lake.folder, ("x",)).samples.read(version=2)["segment"].to_list() == [2] * 3
    assert lake.samples.read()["segment"].to_list() == [5] * 3
    with pytest.raises(LakeError, match="no such file"):
        lake.samples.read(version=before - 1)
    assert lake.samples.damaged(content=True) == {}
    assert lake.samples.lost() == set()
    write(lake, 6)
    assert lake.samples.read()["segment"].to_list() == [6] * 3


def test_a_reader_beside_it_never_misses_a_file(lake: Lake, tmp_path: Path) -> None:
    write(lake, 0)
    stop = tmp_path / "stop"
    reader = subprocess.Popen(
        [sys.executable, "-c", READ_ON, str(lake.folder), str(stop)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert reader.stdout is not None
        assert reader.stdout.readline() == "reading\n"
        for number in range(12):
            write(lake, number)
            maintain(lake, every=1, keep_days=1, kept=dict)
        stop.touch()
        output, _ = reader.communicate(timeout=60)
    finally:
        reader.kill()
    assert reader.returncode == 0
    assert int(output) >= 2


def test_an_extract_follows_the_table_and_survives_damage(lake: Lake) -> None:
    def scores(*numbers: int) -> pl.DataFrame:
        known = {"date": [DAY] * len(numbers), "subject": "s01", "windows": list(numbers)}
        missing = [name for name in lake.scores.schema if name not in known]
        return pl.DataFrame(known).with_columns(
            *(pl.lit(None, lake.scores.schema[name]).alias(name) for name in missing)
        )

    lake.scores.replace(scores(1, 2), WHO)
    assert lake.scores.extract()["windows"].to_list() == [1, 2]
    file = lake.folder / ".scores.extract"
    kept = file.read_bytes()
    lake.scores.replace(scores(3), WHO)
    assert lake.scores.extract()["windows"].to_list() == [3]
    # Of an earlier version, damaged, or of something else: what the log says counts.
    for content in (kept, kept[:-5], bytes(100), b""):
        file.write_bytes(content)
        assert Lake(lake.folder, ("x",)).scores.extract()["windows"].to_list() == [3]
