"""Read samples from a Parquet file or a Delta table batch by batch, and check them."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Iterator
from pathlib import Path

# Read only one row group ahead; polars reads the variable at its first scan.
os.environ.setdefault("POLARS_ROW_GROUP_PREFETCH_SIZE", "1")

import polars as pl

from bentos.batch._checks import Checks
from bentos.batch._delta import DeltaLog, read_log
from har.errors import EmptyRecordingError, MalformedRowError, MissingColumnError, NotARecordingError
from har.parquet import check_parquet
from har.schema import Partition
from har.settings import Settings

BATCH_ROWS = 250_000
"""Samples per batch: 20 MB in memory, and large enough that the overhead per batch is negligible."""

_MAGIC = b"PAR1"
_POLARS = (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError)


def parquet_samples(path: Path, settings: Settings, *, rows: int = BATCH_ROWS) -> Iterator[pl.DataFrame]:
    """Yield samples of a Parquet file with the columns of the lake's table `samples`; other columns are ignored.

    `date` may be absent (it then follows from `time` in the project's time zone), `segment` too (it then follows from
    pauses longer than `recordings.max_gap_s`). Memory: one row group of the file and a few batches.

    Args:
        path: the file.
        settings: channels, zone, rate and limits.
        rows: per batch.

    Raises:
        RecordingError: the file is no Parquet, damaged or far larger when decoded, a column is missing or has a wrong
            type, or a value is bad.
    """
    _require_parquet(path)
    columns = [*_TEXT, "date", "time", "segment", *settings.sensors.channels]
    check_parquet(path, columns, where="samples")
    try:
        scan = pl.scan_parquet(path, glob=False, hive_partitioning=False)
        schema = scan.collect_schema()
    except _POLARS as error:
        raise _damaged(error) from error
    frames = scan.select(_columns(schema, settings))
    yield from Checks(settings).each(_collected(frames, rows))


def delta_samples(
    folder: Path, settings: Settings, *, date: dt.date | None = None, within: Path | None = None
) -> Iterator[pl.DataFrame]:
    """Yield samples of a Delta table partitioned by date and subject, one subject-day after the other.

    Args:
        folder: of the table.
        settings: channels, zone, rate and limits.
        date: this date only; None: all.
        within: a folder that all files of the table must be in; None: no limit.

    Raises:
        RecordingError: the table does not exist, or a column or value is refused.
    """
    log = read_log(folder)
    files = _files(log, within)
    columns = _columns(log.schema, settings)
    days = sorted(day for day in files if date is None or day[0] == date)
    if not days:
        got = "none" if date is None else f"none of {date}"
        raise EmptyRecordingError(
            where="samples", expected="rows", got=got, remedy="Check the table, or the date that was asked for."
        )
    wanted = [name for name in log.schema.names() if name in ("session", "time", "segment", *settings.sensors.channels)]
    for when, subject in days:
        frame = _read(log, files[when, subject], wanted)
        named = frame.with_columns(pl.lit(when, pl.Date).alias("date"), pl.lit(subject).alias("subject"))
        samples = named.select(columns)
        if not _is_sorted(samples):
            samples = samples.sort("session", "time")
        if len(samples):
            yield from Checks(settings, of=f" of {when}, subject {subject}").each(iter([samples]))


_TEXT = ("subject", "session")


def _columns(schema: pl.Schema, settings: Settings) -> list[pl.Expr]:
    """Expressions for the lake's columns.

    Raises:
        MissingColumnError: a column is missing.
        MalformedRowError: a column has a wrong type.
    """
    channels = settings.sensors.channels
    for name in (*_TEXT, "time", *channels):
        if name not in schema:
            raise MissingColumnError.of(name, name, schema.names(), "Rename the column in the file.")
    for name in _TEXT:
        _require(isinstance(schema[name], pl.String | pl.Categorical | pl.Enum), name, "text", schema)
    _require(isinstance(schema["time"], pl.Datetime), "time", "timestamps", schema)
    for name in channels:
        _require(schema[name].is_numeric(), name, "numbers", schema)
    zone = settings.project.timezone
    time = pl.col("time").dt.cast_time_unit("us")
    if schema["time"].time_zone is None:  # type: ignore[attr-defined]
        # Times that a clock change skips or repeats become null, which the checks refuse.
        time = time.dt.replace_time_zone(zone, ambiguous="null", non_existent="null")
    date = time.dt.convert_time_zone(zone).dt.date().alias("date")
    if "date" in schema:
        _require(schema["date"] == pl.Date, "date", "dates", schema)
        date = pl.col("date")
    columns = [
        date,
        *(pl.col(name).cast(pl.String) for name in _TEXT),
        time.dt.convert_time_zone("UTC").alias("time"),
        *(pl.col(name).cast(pl.Float32) for name in channels),
    ]
    if "segment" in schema:
        _require(schema["segment"].is_integer(), "segment", "whole numbers", schema)
        columns.append(pl.col("segment").cast(pl.Int64, strict=False))
    return columns


def _require(holds: bool, name: str, expected: str, schema: pl.Schema) -> None:
    if not holds:
        raise MalformedRowError(
            where=name, expected=expected, got=str(schema[name]), remedy="Write the column with the expected type."
        )


def _collected(frames: pl.LazyFrame, rows: int) -> Iterator[pl.DataFrame]:
    batches = frames.collect_batches(chunk_size=rows, maintain_order=True, lazy=True, engine="streaming")
    while True:
        try:
            batch = next(batches, None)
        except _POLARS as error:
            raise _damaged(error) from error
        if batch is None:
            return
        yield batch


def _require_parquet(path: Path) -> None:
    size = path.stat().st_size
    if not size:
        raise EmptyRecordingError(
            where="samples", expected="a Parquet file", got="an empty one", remedy="Export or send it again."
        )
    with path.open("rb") as stream:
        head = stream.read(len(_MAGIC))
        stream.seek(max(0, size - len(_MAGIC)))
        tail = stream.read()
    if head != _MAGIC:
        raise NotARecordingError(
            where="samples",
            expected="a Parquet file",
            got=f"a file that starts with {head!r}",
            remedy="Write the samples as Parquet; with curl, send them by -F samples=@FILE or --data-binary @FILE.",
        )
    if tail != _MAGIC or size < 12:
        raise NotARecordingError(
            where="samples",
            expected="a whole Parquet file",
            got=f"one that is cut short, {size} bytes",
            remedy="Export or send it again.",
        )


def _files(log: DeltaLog, within: Path | None) -> dict[Partition, list[Path]]:
    """The files of each date and subject.

    Raises:
        NotARecordingError: the table is partitioned otherwise, or refers to a file outside of `within`.
    """
    by = log.partition_columns
    if sorted(by) != ["date", "subject"]:
        raise NotARecordingError(
            where="path",
            expected="a table partitioned by date and subject",
            got=f"one by {', '.join(by)}" if by else "one without partitions",
            remedy="Rewrite it with these partition columns, or send it as Parquet files.",
        )
    files = log.files()
    if within is not None and not all(path.resolve().is_relative_to(within) for path in log.sizes):
        raise NotARecordingError(
            where="path",
            expected="files inside the mounted folder",
            got="a table that refers to files outside",
            remedy="Copy the table's files into the folder.",
        )
    return files


def _read(log: DeltaLog, paths: list[Path], columns: list[str]) -> pl.DataFrame:
    """These columns of some files, in the types of the table.

    Raises:
        NotARecordingError: a file is missing, cut short or damaged.
    """
    schema = pl.Schema({name: log.schema[name] for name in columns})
    try:
        for path in paths:
            size = path.stat().st_size
            if size != log.sizes[path]:
                raise _damaged(ValueError(f"{path.name}: {size} bytes instead of {log.sizes[path]}"))
        return pl.read_parquet(paths, columns=columns, hive_partitioning=False, glob=False).cast(schema)
    except _POLARS as error:
        raise _damaged(error) from error


def _is_sorted(samples: pl.DataFrame) -> bool:
    same = pl.col("session") == pl.col("session").shift()
    back = same & (pl.col("time") <= pl.col("time").shift())
    wrong = back | (pl.col("session") < pl.col("session").shift())
    return not samples.select(wrong.any()).item()


def _damaged(error: BaseException) -> NotARecordingError:
    return NotARecordingError(
        where="samples",
        expected="a table that can be read",
        got=str(error).splitlines()[0][:200] if str(error) else type(error).__name__,
        remedy="The table is damaged: export or send it again.",
    )
