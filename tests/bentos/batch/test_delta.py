"""The batch box's own reader of a Delta table's log finds what delta-rs finds, whatever happened to the table."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import polars as pl
import pytest
from deltalake import DeltaTable

from bentos.batch import delta_samples
from bentos.batch._delta import read_log
from har.errors import HarError, NotARecordingError
from har.lake import Lake, Table
from har.settings import Settings

SCHEMA = pl.Schema({"date": pl.Date, "subject": pl.String, "time": pl.Datetime("us", "UTC"), "value": pl.Float32})
SUBJECTS = ("a", "ö % b", "x=1 y", "s'7")
DAYS = [dt.date(2024, 1, day) for day in (1, 2, 3)]


def rows(rng: np.random.Generator) -> pl.DataFrame:
    """A few rows of one subject-day."""
    count = int(rng.integers(1, 6))
    day, subject = DAYS[rng.integers(len(DAYS))], SUBJECTS[rng.integers(len(SUBJECTS))]
    start = dt.datetime.combine(day, dt.time(), dt.UTC)
    times = [start + dt.timedelta(seconds=second) for second in range(count)]
    values = {"date": [day] * count, "subject": [subject] * count, "time": times, "value": rng.normal(size=count)}
    return pl.DataFrame(values, SCHEMA)


def by_delta_rs(folder: Path) -> dict[tuple[dt.date, str], set[Path]]:
    found: dict[tuple[dt.date, str], set[Path]] = {}
    for file in pl.DataFrame(DeltaTable(str(folder)).get_add_actions(flatten=True)).iter_rows(named=True):
        key = (file["partition.date"], file["partition.subject"])
        found.setdefault(key, set()).add(folder / unquote(file["path"]))
    return found


@pytest.mark.parametrize("seed", range(2))
def test_files_and_columns_are_those_of_delta_rs_after_any_history(seed: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    table = Table(tmp_path / "t", SCHEMA)
    for step in range(16):
        frame = rows(rng)
        if rng.random() < 0.5:
            table.replace(frame, frame.select("date", "subject").unique().rows())
        else:
            frame.write_delta(table.path, mode="append", delta_write_options={"partition_by": ["date", "subject"]})
        opened = DeltaTable(str(table.path))
        if rng.random() < 0.15:
            opened.create_checkpoint()
        if rng.random() < 0.1:
            opened.optimize.compact()
        if rng.random() < 0.1:
            opened.create_checkpoint()
            opened.cleanup_metadata()
        log = read_log(table.path)
        assert log.version == DeltaTable(str(table.path)).version(), step
        assert {key: set(paths) for key, paths in log.files().items()} == by_delta_rs(table.path)
        assert all(path.stat().st_size == log.sizes[path] for path in log.sizes)
    assert log.schema == SCHEMA
    assert log.partition_columns == ["date", "subject"]


def test_commits_before_a_checkpoint_are_not_needed(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    table = Table(tmp_path / "t", SCHEMA)
    for _ in range(5):
        frame = rows(rng)
        table.replace(frame, frame.select("date", "subject").unique().rows())
    DeltaTable(str(table.path)).create_checkpoint()
    log = table.path / "_delta_log"
    for path in log.glob("*.json"):
        path.unlink()
    expected = by_delta_rs(table.path)
    assert {key: set(paths) for key, paths in read_log(table.path).files().items()} == expected
    # A part of a newer checkpoint whose writer was killed counts for nothing.
    (log / f"{99:020}.checkpoint.{1:010}.{2:010}.parquet").write_bytes(b"PAR1")
    assert {key: set(paths) for key, paths in read_log(table.path).files().items()} == expected


def edited(change: Callable[[dict], None]) -> Callable[[Path], None]:
    """Change every action of the newest commit."""

    def apply(folder: Path) -> None:
        path = max((folder / "_delta_log").glob("*.json"))
        actions = [json.loads(line) for line in path.read_text().splitlines()]
        for action in actions:
            change(action)
        path.write_text("".join(json.dumps(action) + "\n" for action in actions))

    return apply


def set_in(kind: str, **values: object) -> Callable[[Path], None]:
    return edited(lambda action: action[kind].update(values) if kind in action else None)


def lose_a_commit(folder: Path) -> None:
    (folder / "_delta_log" / f"{0:020}.json").rename(folder / "_delta_log" / f"{5:020}.json")


def garble(folder: Path) -> None:
    (folder / "_delta_log" / f"{0:020}.json").write_bytes(b'{"add": \xff')


def cut_a_file(folder: Path) -> None:
    path = next(folder.glob("date=*/*/*.parquet"))
    path.write_bytes(path.read_bytes()[:-100])


def remove_a_file(folder: Path) -> None:
    next(folder.glob("date=*/*/*.parquet")).unlink()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (set_in("protocol", minReaderVersion=3, readerFeatures=["v2Checkpoint"]), "^path: .*v2Checkpoint"),
        (set_in("protocol", minReaderVersion=2), "^path: .*column mapping"),
        (set_in("protocol", minReaderVersion=4), "version 4"),
        (set_in("add", deletionVector={"storageType": "u", "pathOrInlineDv": "x"}), "deletion vector"),
        (set_in("add", path="s3://bucket/part.parquet"), "s3://bucket"),
        (set_in("add", size="many"), "can be read"),
        (set_in("metaData", schemaString="{"), "can be read"),
        (set_in("add", partitionValues={"date": None, "subject": "a"}), "a date and a subject"),
        (set_in("add", partitionValues={"date": "soon", "subject": "a"}), "a date and a subject"),
        (lose_a_commit, "version 0 is missing"),
        (garble, "can be read"),
        (cut_a_file, "bytes instead of"),
        (remove_a_file, "No such file"),
    ],
)
def test_what_it_does_not_know_or_cannot_read_is_refused(
    change: Callable[[Path], None], words: str, samples: pl.DataFrame, batch_settings: Settings, tmp_path: Path
) -> None:
    lake = Lake(tmp_path, batch_settings.sensors.channels)
    lake.samples.replace(samples, samples.select("date", "subject").unique().rows())
    assert list(delta_samples(lake.samples.path, batch_settings))
    change(lake.samples.path)
    with pytest.raises(HarError, match=words):
        list(delta_samples(lake.samples.path, batch_settings))


def test_an_empty_folder_and_a_file_are_no_tables(tmp_path: Path) -> None:
    (tmp_path / "empty" / "_delta_log").mkdir(parents=True)
    (tmp_path / "file").write_text("x")
    for name in ("empty", "file", "absent"):
        with pytest.raises(NotARecordingError, match=r"^path: expected a Delta table, but got none") as refused:
            read_log(tmp_path / name)
        assert refused.value.where == "path"
