"""Delta tables: writes are atomic and repeatable, also under SIGKILL and with two writers."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from tests_support import run_and_kill

from har.errors import LakeBusyError, LakeError
from har.lake import Table

DAY = dt.date(2024, 1, 1)
NEXT = dt.date(2024, 1, 2)
SCHEMA = pl.Schema({"date": pl.Date, "subject": pl.String, "value": pl.Int64})


def rows(date: dt.date, subject: str, *values: int) -> pl.DataFrame:
    return pl.DataFrame({"date": date, "subject": subject, "value": list(values)}, schema=SCHEMA)


@pytest.fixture
def table(tmp_path: Path) -> Table:
    return Table(tmp_path / "lake" / "things", SCHEMA)


def test_empty_before_the_first_write(table: Table) -> None:
    assert table.version() == -1
    assert table.partitions() == []
    assert table.read().schema == SCHEMA
    assert table.read(version=-1).is_empty()


def test_replace_changes_only_the_given_partitions(table: Table) -> None:
    first = pl.concat([rows(DAY, "a", 1, 2), rows(DAY, "b", 3), rows(NEXT, "a", 4)])
    table.replace(first, [(DAY, "a"), (DAY, "b"), (NEXT, "a")])
    version = table.replace(rows(DAY, "a", 9), [(DAY, "a")])
    assert version == table.version()
    assert sorted(table.read()["value"]) == [3, 4, 9]
    assert sorted(table.read(version=version - 1)["value"]) == [1, 2, 3, 4]
    assert table.read(partitions=[(DAY, "a")])["value"].to_list() == [9]
    assert table.partitions() == [(DAY, "a"), (DAY, "b"), (NEXT, "a")]


def test_replace_is_idempotent(table: Table) -> None:
    for _ in range(3):
        table.replace(rows(DAY, "a", 1, 2), [(DAY, "a")])
    assert table.read()["value"].to_list() == [1, 2]


def test_a_partition_can_become_empty(table: Table) -> None:
    table.replace(pl.concat([rows(DAY, "a", 1), rows(DAY, "b", 2)]), [(DAY, "a"), (DAY, "b")])
    table.replace(rows(DAY, "a"), [(DAY, "a")])
    assert table.partitions() == [(DAY, "b")]


def test_rows_of_other_partitions_are_refused(table: Table) -> None:
    with pytest.raises(ValueError, match="not among the partitions"):
        table.replace(rows(NEXT, "a", 1), [(DAY, "a")])


def test_a_quote_in_a_subject_is_escaped(table: Table) -> None:
    table.replace(rows(DAY, "o'x", 1), [(DAY, "o'x")])
    table.replace(rows(DAY, "o'x", 2), [(DAY, "o'x")])
    assert table.read()["value"].to_list() == [2]


def test_unknown_version_is_named(table: Table) -> None:
    table.replace(rows(DAY, "a", 1), [(DAY, "a")])
    with pytest.raises(LakeError, match="version 7 of the table"):
        table.read(version=7)


def test_replace_keeps_the_rows_of_keep(tmp_path: Path) -> None:
    schema = pl.Schema({**SCHEMA, "origin": pl.String})
    table = Table(tmp_path / "things", schema)

    def part(subject: str, value: int, origin: str | None) -> pl.DataFrame:
        return pl.DataFrame({"date": [DAY], "subject": [subject], "value": [value], "origin": [origin]}, schema=schema)

    table.replace(pl.concat([part("a", 1, None), part("a", 2, "x"), part("b", 3, "x")]), [(DAY, "a"), (DAY, "b")])
    table.replace(part("a", 9, None), [(DAY, "a")], keep="origin")
    assert sorted(table.read()["value"]) == [2, 3, 9]
    table.replace(part("c", 4, None), [(DAY, "a"), (DAY, "c")], keep="origin")
    assert table.read().sort("value").rows() == [(DAY, "a", 2, "x"), (DAY, "b", 3, "x"), (DAY, "c", 4, None)]


def test_add_is_idempotent(table: Table) -> None:
    assert table.add(pl.concat([rows(DAY, "a", 1, 2, 2), rows(DAY, "b", 1)]), ["value"]) == 3
    version = table.version()
    assert table.add(pl.concat([rows(DAY, "b", 1), rows(DAY, "a", 2)]), ["value"]) == 0
    assert table.version() == version
    assert table.add(pl.concat([rows(DAY, "a", 2, 3), rows(NEXT, "a", 2)]), ["value"]) == 2
    assert sorted(table.read().select("date", "subject", "value").rows()) == [
        *((DAY, "a", value) for value in (1, 2, 3)),
        (DAY, "b", 1),
        (NEXT, "a", 2),
    ]


def test_add_finds_keys_with_times_in_any_file(tmp_path: Path) -> None:
    schema = pl.Schema({"date": pl.Date, "subject": pl.String, "at": pl.Datetime("us", "UTC"), "name": pl.String})
    table = Table(tmp_path / "things", schema)

    def at(*minutes: int) -> pl.DataFrame:
        stamps = [dt.datetime(2024, 1, 1, 12, minute, tzinfo=dt.UTC) for minute in minutes]
        return pl.DataFrame({"date": DAY, "subject": "a", "at": stamps, "name": "x"}, schema=schema)

    assert [table.add(at(*minutes), ["name", "at"]) for minutes in [(5, 9), (1,), (7,), (1, 5, 6, 7, 9, 11)]] == [
        2,
        1,
        1,
        2,
    ]
    assert table.read()["at"].dt.minute().sort().to_list() == [1, 5, 6, 7, 9, 11]


def test_amend_updates_rows_by_key(tmp_path: Path) -> None:
    schema = pl.Schema(
        {
            **SCHEMA,
            "at": pl.Datetime("us", "UTC"),
            "second": pl.String,
            "features": pl.List(pl.Float32),
        }
    )
    table = Table(tmp_path / "things", schema)
    start = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
    frame = pl.DataFrame(
        {
            "date": DAY,
            "subject": ["a", "a", "o'x"],
            "value": [1, 2, 1],
            "at": [start, start + dt.timedelta(seconds=1), start],
            "second": None,
            "features": [[1.5, 2.5]] * 3,
        },
        schema=schema,
    )
    table.add(frame, ["value", "at"])
    known = frame.select("date", "subject", "value", "at")
    changes = known[1:].with_columns(pl.Series("second", ["yes", "no"]))
    stranger = changes[:1].with_columns(pl.lit(77, pl.Int64).alias("value"))
    assert table.amend(pl.concat([changes, stranger]), ["value", "at"]) == 2
    assert table.amend(changes[:0], ["value", "at"]) == 0
    assert table.read().sort("subject", "value").equals(frame.with_columns(pl.Series("second", [None, "yes", "no"])))


def test_spans_of_time_come_from_the_log(tmp_path: Path) -> None:
    schema = pl.Schema({"date": pl.Date, "subject": pl.String, "time": pl.Datetime("us", "UTC")})
    table = Table(tmp_path / "things", schema)
    assert table.spans("time") == {}
    us = [1_700_000_000_000_123, 1_700_000_005_000_456, 1_700_000_009_999_999]

    def at(subject: str, *times: int) -> pl.DataFrame:
        stamps = pl.Series("time", times, pl.Int64).cast(pl.Datetime("us", "UTC"))
        return pl.DataFrame({"date": DAY, "subject": subject, "time": stamps}, schema=schema)

    table.replace(pl.concat([at("a", *us[:2]), at("b", us[2])]), [(DAY, "a"), (DAY, "b")])
    table.add(at("a", us[2]), ["time"])
    spans = table.spans("time")
    assert set(spans) == {(DAY, "a"), (DAY, "b")}
    first, last = spans[DAY, "a"]
    assert us[0] - 1_000 < first <= us[0]
    assert us[2] <= last <= us[2] + 1_000


def test_compact_merges_many_small_files(table: Table) -> None:
    for value in range(40):
        table.add(rows(DAY, "a", value), ["value"])
    table.add(rows(DAY, "b", 1), ["value"])
    assert table.compact([(DAY, "a"), (DAY, "b"), (DAY, "nobody")]) == 1
    assert table.compact([(DAY, "a")]) == 0
    assert sorted(table.read(partitions=[(DAY, "a")])["value"]) == list(range(40))
    assert len(list(table.path.glob("date=2024-01-01/subject=b/*.parquet"))) == 1


def test_a_table_of_an_older_release_can_be_read_and_written(tmp_path: Path) -> None:
    old = Table(tmp_path / "things", SCHEMA)
    old.replace(pl.concat([rows(DAY, "a", 1, 2), rows(DAY, "b", 3)]), [(DAY, "a"), (DAY, "b")])
    schema = pl.Schema({**SCHEMA, "origin": pl.String})
    table = Table(old.path, schema, added=["origin"])
    assert table.read().schema == schema
    assert table.read().sort("value").rows() == [(DAY, "a", 1, None), (DAY, "a", 2, None), (DAY, "b", 3, None)]
    [(_, frame)] = table.each(None, [(DAY, "a")], ["value", "origin"])
    assert frame.rows() == [(1, None), (2, None)]

    new = rows(DAY, "a", 2, 7).with_columns(pl.lit("x").alias("origin"))
    assert table.add(new, ["value"]) == 1
    table.replace(rows(DAY, "b", 4).with_columns(pl.lit(None).alias("origin")), [(DAY, "b")], keep="origin")
    table.replace(rows(DAY, "a", 8).with_columns(pl.lit("y").alias("origin")), [(DAY, "a")], keep="origin")
    assert table.read().sort("value").rows() == [(DAY, "b", 4, None), (DAY, "a", 7, "x"), (DAY, "a", 8, "y")]
    assert table.read(version=0).sort("value")["origin"].to_list() == [None, None, None]
    frames = dict(table.each(None, table.partitions(), ["value", "origin"]))
    assert sorted(frames[DAY, "a"].rows()) == [(7, "x"), (8, "y")]


def test_a_table_with_other_channels_is_refused(table: Table) -> None:
    table.replace(rows(DAY, "a", 1), [(DAY, "a")])
    other = Table(table.path, pl.Schema({**SCHEMA, "gyro_x": pl.Float32}))
    with pytest.raises(LakeError, match=r"column 'gyro_x'.*paths\.lake"):
        other.read()


WRITER = """
import datetime as dt, sys
import polars as pl
from pathlib import Path
from har.lake import Table
table = Table(Path(sys.argv[1]), pl.Schema({"date": pl.Date, "subject": pl.String, "value": pl.Int64}))
day = dt.date(2024, 1, 1)
for turn in range(int(sys.argv[3])):
    frame = pl.DataFrame({"date": day, "subject": sys.argv[2], "value": list(range(1000))}, schema=table.schema)
    table.replace(frame, [(day, sys.argv[2])])
    print(turn, flush=True)
"""


def test_two_writers_do_not_lose_rows(table: Table) -> None:
    commands = [[sys.executable, "-c", WRITER, str(table.path), subject, "5"] for subject in ("a", "b")]
    writers = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for command in commands]
    assert [process.wait(60) for process in writers] == [0, 0]
    counts = table.read().group_by("subject").len().sort("subject")
    assert counts.rows() == [("a", 1000), ("b", 1000)]


@pytest.mark.stack
@pytest.mark.parametrize("delay_s", [0.0, 0.013, 0.04, 0.11])
def test_a_killed_writer_leaves_a_complete_table_and_no_lock(table: Table, delay_s: float) -> None:
    run_and_kill(WRITER, str(table.path), "a", "10000", delay_s=delay_s)
    assert table.read()["value"].sort().to_list() == list(range(1000))
    table.replace(rows(DAY, "a", 7), [(DAY, "a")])
    assert table.read()["value"].to_list() == [7]


def test_a_locked_table_is_reported(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("har.lake._committing._LOCK_TIMEOUT_S", 0.2)
    table.replace(rows(DAY, "a", 1), [(DAY, "a")])
    code = (
        "import sys; from filelock import FileLock; lock = FileLock(sys.argv[1]); lock.acquire(); "
        "print('held', flush=True); sys.stdin.read()"
    )
    lock = table.path.parent / ".things.lock"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(LakeBusyError, match=r"no other writer.*run the same command again"):
            table.replace(rows(DAY, "a", 2), [(DAY, "a")])
        holder.communicate()
    table.replace(rows(DAY, "a", 3), [(DAY, "a")])
    assert table.read()["value"].to_list() == [3]


def test_a_lake_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    # A file where the folder should be stands for a disk that refuses: root ignores permission bits.
    (tmp_path / "lake").write_text("")
    table = Table(tmp_path / "lake" / "things", SCHEMA)
    with pytest.raises(LakeError, match=r"a path that can be written.*nothing was left half-written"):
        table.replace(rows(DAY, "a", 1), [(DAY, "a")])


FULL_DISK = """
import datetime as dt, resource, signal, sys
import numpy as np
import polars as pl
from pathlib import Path
from har.errors import LakeError
from har.lake import Table
table = Table(Path(sys.argv[1]), pl.Schema({"date": pl.Date, "subject": pl.String, "value": pl.Int64}))
day = dt.date(2024, 1, 1)
noise = np.random.default_rng(0).integers(0, 2**62, 200_000)
frame = pl.DataFrame({"date": day, "subject": "a", "value": noise}, schema=table.schema)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    table.replace(frame, [(day, "a")])
except LakeError as error:
    print(error)
"""


def test_a_full_disk_loses_nothing(table: Table) -> None:
    # The kernel refuses writes past a file size limit in the same way as those to a full disk.
    table.replace(rows(DAY, "a", 1, 2), [(DAY, "a")])
    command = [sys.executable, "-c", FULL_DISK, str(table.path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "Free space or grant write access" in done.stdout
    assert table.version() == 0
    assert table.read()["value"].to_list() == [1, 2]
    table.replace(rows(DAY, "a", 3), [(DAY, "a")])
    assert table.read()["value"].to_list() == [3]
