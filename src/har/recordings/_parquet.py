"""Read Parquet files.

Arrow decodes them: polars aborts the process at some damaged pages, and with it everything else that was to be read.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from har.errors import EmptyRecordingError, MalformedRowError, NotARecordingError
from har.parquet import check_parquet
from har.recordings._foreign import HEAD_BYTES, refuse_foreign
from har.recordings._table import CALIBRATED, NOTES, Parsed, optional_columns, optional_values, wanted_columns
from har.settings import Settings

_BLOCK_ROWS = 250_000
_LONGEST_NOTES = 10_000


class ParquetFile:
    """The columns of an open Parquet file, and their rows block by block."""

    def __init__(self, file: pq.ParquetFile) -> None:
        self._file = file
        self.header = list(file.schema_arrow.names)
        self.rows = int(file.metadata.num_rows)
        self.metadata = dict(file.metadata.metadata or {})

    def blocks(self, columns: Sequence[str], rows: int = _BLOCK_ROWS) -> Iterator[pl.DataFrame]:
        """Blocks of `rows` rows at most, at least one; stamps with a zone are in UTC."""
        schema = self._file.schema_arrow
        fields = [_plain(schema.field(name)) for name in columns]
        yield pl.DataFrame(pa.schema(fields).empty_table())
        for batch in self._file.iter_batches(rows, columns=list(columns)):
            table = pa.Table.from_batches([batch]).select(list(columns))
            yield pl.DataFrame(table.cast(pa.schema(fields)))


def _plain(field: pa.Field) -> pa.Field:
    """A field of a type that polars knows: no dictionary, and UTC for every zone."""
    kind = field.type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_timestamp(kind) and kind.tz is not None:
        kind = pa.timestamp(kind.unit, "UTC")
    return pa.field(field.name, kind)


@contextmanager
def opened_parquet(path: Path, where: str) -> Iterator[ParquetFile]:
    """Open a Parquet file; what goes wrong while it is read is the file's.

    Raises:
        NotARecordingError: it is damaged, of another format, too large when decoded, or has a type that cannot be
            read.
        OSError: the disk refuses to read it.
    """
    check_parquet(path, (), where=where)  # the footer, before Arrow trusts it
    try:
        with pq.ParquetFile(path, memory_map=True, page_checksum_verification=True) as file:
            yield ParquetFile(file)
    except OSError as error:
        if error.errno is not None:
            raise
        raise NotARecordingError.damaged_parquet(where, error) from error
    except (pa.ArrowException, UnicodeDecodeError, pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise NotARecordingError.damaged_parquet(where, error) from error


def read_parquet(path: Path, where: str, settings: Settings) -> Parsed:
    """Read the columns that the project needs from a Parquet file; others are ignored.

    Raises:
        RecordingError: the file cannot be used; with the bad row, counted from 1.
    """
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
        file.seek(0, 2)
        size = file.tell()
    if not size:
        raise EmptyRecordingError.no_bytes(where)
    refuse_foreign(head, where, line=0)
    if not head.startswith(b"PAR1") and head.isascii() and b"\x00" not in head:
        raise NotARecordingError(
            where=where,
            expected="a Parquet file, as the name ends in .parquet",
            got="text",
            remedy="Rename it to .csv if it is CSV; otherwise export it as CSV or Parquet.",
        )
    with opened_parquet(path, where) as file:
        columns = wanted_columns(file.header, settings, where)
        check_parquet(path, columns, where=where, row_groups_at_once=0)
        constants = [name for name in optional_columns(settings).values() if name in columns]
        frame = pl.concat(_compact(block, constants) for block in file.blocks([*columns]))
        said = {key: file.metadata.get(key.encode(), b"").decode("utf-8", "replace") for key in (CALIBRATED, NOTES)}
    if not len(frame):
        raise EmptyRecordingError.no_rows(where)
    for name in settings.sensors.channels:
        if not frame.schema[name].is_numeric():
            raise _wrong_type(where, frame[name], "numbers", "Write the column as float32 or float64.")
    for name in optional_columns(settings).values():
        if name in frame.columns:
            frame = frame.with_columns(_text(where, frame[name]))
    return Parsed(
        where=where,
        row_word="row",
        lines=np.arange(1, len(frame) + 1),
        time=_stamps(where, frame[settings.recordings.time_column]),
        values=tuple(_number(frame[name]) for name in settings.sensors.channels),
        **optional_values(frame, settings),
        calibration=said[CALIBRATED],
        notes=_notes(said[NOTES]),
    )


def _compact(block: pl.DataFrame, texts: Sequence[str]) -> pl.DataFrame:
    """The block with these columns, if they are text, in a quarter of the memory: they have few values."""
    return block.with_columns(pl.col(name).cast(pl.Categorical) for name in texts if block.schema[name] == pl.String)


def _number(series: pl.Series) -> pl.Series:
    return series if series.dtype == pl.Float32 else series.cast(pl.Float64)


def _notes(text: str) -> tuple[str, ...]:
    """The sentences of a file's metadata; other programs may write anything there."""
    try:
        given = json.loads(text or "[]")
    except ValueError:
        given = None
    if not isinstance(given, list) or len(text) > _LONGEST_NOTES:
        return ("what the file's metadata say of its recording cannot be read",)
    return tuple(str(note) for note in given)


def _stamps(where: str, stamps: pl.Series) -> pl.Series:
    """Stamps as text, integers, floats or dates with a time of day."""
    if isinstance(stamps.dtype, pl.Categorical | pl.Enum):
        return stamps.cast(pl.String)
    if isinstance(stamps.dtype, pl.Decimal):
        return stamps.cast(pl.Float64)
    if stamps.dtype in (pl.String, pl.Datetime, pl.Null) or stamps.dtype.is_numeric():
        return stamps.cast(pl.String) if stamps.dtype == pl.Null else stamps
    raise _wrong_type(
        where,
        stamps,
        "stamps",
        "Write the column as timestamps with date and time of day, as ISO text, or as epoch counts.",
    )


def _text(where: str, series: pl.Series) -> pl.Series:
    if series.dtype == pl.Categorical:
        return series
    if not (series.dtype.is_nested() or series.dtype == pl.Object):
        try:
            return series.cast(pl.String)
        except pl.exceptions.PolarsError:
            pass  # such as bytes of another encoding: refused below
    raise _wrong_type(where, series, "text", "Write the column as strings, or leave it out.")


def _wrong_type(where: str, series: pl.Series, expected: str, remedy: str) -> MalformedRowError:
    return MalformedRowError(
        where=f"{where}, column {series.name!r}", expected=expected, got=f"{series.dtype}", remedy=remedy, line=1
    )
