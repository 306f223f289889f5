"""The table of labels as a file beside the imported label files, so that a snapshot has all that people said.

Imported labels can be read from their files again, but not which of them were taken back, nor feedback of the online
service and what was decided about it.
"""

from __future__ import annotations

import io
from pathlib import Path

import polars as pl

from har.errors import LabelError, reason
from har.files import write_atomically
from har.lake import Lake

TABLE = "labels.parquet"
_KEY = "feedback_id"


def write_table(lake: Lake, folder: Path) -> None:
    """Let `folder/labels.parquet` have the rows of the table; without rows there is no file.

    Raises:
        LakeError: the table cannot be read.
        StorageError: the file cannot be written.
    """
    path = folder / TABLE
    rows = ordered(lake.labels.read())
    if rows.is_empty():
        path.unlink(missing_ok=True)
        return
    if path.is_file() and _same(path, rows):
        return
    buffer = io.BytesIO()
    rows.write_parquet(buffer)
    write_atomically(path, buffer.getvalue())


def read_table(path: Path, lake: Lake) -> pl.DataFrame:
    """The rows of a file that `write_table` wrote, with the columns of the table.

    Raises:
        LabelError: it is no such file.
    """
    try:
        rows = pl.read_parquet(path, hive_partitioning=False, glob=False)
        return rows.select(
            rows[name].cast(kind) if name in rows.columns else pl.lit(None, kind).alias(name)
            for name, kind in lake.labels.schema.items()
        )
    except (pl.exceptions.PolarsError, OSError) as error:
        raise LabelError(
            where=str(path),
            expected="the table of labels, as a snapshot has it",
            got=reason(error),
            remedy="`har data restore COMMIT` brings it back.",
        ) from error


def add_table(path: Path, lake: Lake) -> int:
    """Add the rows of such a file to the lake's labels, as they were: received when, by whom, reviewed how.

    Returns:
        How many the lake did not have.

    Raises:
        LabelError: it is no such file.
    """
    rows = read_table(path, lake)
    return lake.labels.add(rows, [_KEY]) if len(rows) else 0


def ordered(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows in an order of their own, however they were stored."""
    return rows.sort(_KEY, "date", "subject")


def _same(path: Path, rows: pl.DataFrame) -> bool:
    try:
        return pl.read_parquet(path, hive_partitioning=False, glob=False).equals(rows)
    except (pl.exceptions.PolarsError, OSError):
        return False
