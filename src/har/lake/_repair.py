"""Make a table readable again, without deleting anything: unreadable files of its log are renamed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from har.errors import LakeDamageError
from har.lake._reader import FILE_ERRORS
from har.lake._table import Table

_SUFFIX = ".damaged"


def repair(table: Table) -> list[str]:
    """Rename unreadable files of the log, then drop data files that cannot be read; returns what was done, in words.

    The rows of a renamed commit are missing afterwards, as `har.lake.losses` says.

    Raises:
        LakeDamageError: the log cannot be read without these files either.
    """
    done: list[str] = []
    if table.where.is_local:  # object storage keeps what it has taken, or gives an older version of it back
        with table.lock():
            done += [f"{table.name}: {path.name} renamed to {path.name}{_SUFFIX}" for path in _mend_log(table)]
    for (date, subject), files in table.give_up_damaged().items():
        done += [f"{table.name}, {date}, subject {subject}: gave up {path} ({why})" for path, why in files.items()]
    return done


def _mend_log(table: Table) -> Iterator[Path]:
    log = table.path / "_delta_log"
    # The first two only save time: without them, the log is read from its first commit.
    for candidates in (log.glob("_last_checkpoint"), _bad_checkpoints(log), _bad_newest_commit(log)):
        if not log.exists() or _opens(table):
            return
        for path in list(candidates):
            path.rename(path.with_name(path.name + _SUFFIX))
            yield path
    if not _opens(table):
        raise LakeDamageError(
            where=str(log),
            expected="a log that can be read without its newest commit and its checkpoints",
            got="one with earlier damage",
            remedy=f"Restore {table.path} from a backup; or begin the table anew: move the folder elsewhere, then "
            "run `har check --accept`.",
        )


def _opens(table: Table) -> bool:
    try:
        table.version()
    except LakeDamageError:
        return False
    return True


def _bad_checkpoints(log: Path) -> Iterator[Path]:
    for path in log.glob("*.checkpoint*.parquet"):
        try:
            pl.read_parquet(path, hive_partitioning=False, glob=False)
        except FILE_ERRORS:
            yield path


def _bad_newest_commit(log: Path) -> Iterator[Path]:
    newest = max(log.glob("[0-9]*.json"), default=None)
    if newest is not None:
        try:
            for line in newest.read_bytes().splitlines():
                json.loads(line)
        except ValueError:
            yield newest
