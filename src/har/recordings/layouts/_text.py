"""Read delimited text with faults: incomplete rows are left out and counted, never filled in."""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from har.errors import EmptyRecordingError, MalformedRowError, MissingColumnError, NotARecordingError, reason

CUT = "rows cut short"
NOT_A_NUMBER = "rows with a value that is not a number"
TRAILING = "rows with an extra separator at the end"
_ENDING = re.compile(rb"[ \t]*;[ \t;]*(?=\r?$)", re.MULTILINE)


@dataclass(frozen=True, eq=False)
class Rows:
    """The complete rows of a text file.

    Attributes:
        where: the file, as messages name it.
        frame: the columns that were asked for; numbers as Float64, others as String, stripped, null where empty.
        numbers: int64 (n,), each row's number in the file, from 0; rows that were left out are counted too.
        faults: number of rows left out, by reason.
    """

    where: str
    frame: pl.DataFrame
    numbers: NDArray[np.int64]
    faults: Counter[str] = field(default_factory=Counter)

    def keep(self, mask: NDArray[np.bool_], fault: str) -> Rows:
        """The rows where `mask` is true; the others are counted as `fault`."""
        if mask.all():
            return self
        faults = self.faults + Counter({fault: int((~mask).sum())})
        return Rows(self.where, self.frame.filter(mask), self.numbers[mask], faults)

    def xyz(self, columns: Sequence[str]) -> NDArray[np.float64]:
        """Three of the columns as float64 (n, 3)."""
        return self.frame.select(columns).to_numpy()


def text_rows(
    path: Path,
    where: str,
    *,
    numbers: Sequence[str],
    texts: Sequence[str] = (),
    header: Sequence[str] | None = None,
    separator: str | None = None,
) -> Rows:
    """Read columns of a delimited UTF-8 file.

    Args:
        path: the file.
        where: what messages call it.
        numbers: columns that must hold finite numbers in a complete row.
        texts: columns that may be empty.
        header: the columns' names, if the file has no header.
        separator: between two fields; None: ';', tab or ',', whichever is most frequent in the first line.

    Raises:
        NotARecordingError: the file is not text.
        EmptyRecordingError: it has no rows.
        MissingColumnError: a column is absent.
        MalformedRowError: no row is complete.
    """
    content = path.read_bytes()
    faults: Counter[str] = Counter()
    separator = separator or _separator(_first_line(content))
    if separator != ";" and b";" in content:
        content, count = _ENDING.subn(b"", content)
        faults[TRAILING] += count
    frame = _parse(content, where, separator, header)
    wanted = [*numbers, *texts]
    for name in wanted:
        if name not in frame.columns:
            raise MissingColumnError.of(
                where,
                name,
                frame.columns,
                "Check that the file has this layout, and the options that name columns.",
            )
    filled = ~frame.select(pl.all_horizontal(pl.all().is_null())).to_series().to_numpy()
    frame = frame.filter(filled).select(pl.col(wanted).str.strip_chars())
    if not len(frame):
        raise EmptyRecordingError.no_rows(where)
    rows = number_rows(where, frame, numbers)
    faults += rows.faults
    return Rows(where, rows.frame.with_columns(pl.col(texts).replace("", None)), rows.numbers, faults)


def header_of(path: Path, separator: str | None = None) -> list[str]:
    """The column names in the first line of a text file."""
    with path.open("rb") as file:
        line = _first_line(file.readline(65536))
    return [name.strip().strip('"') for name in line.split(separator or _separator(line))]


def _first_line(content: bytes) -> str:
    return content[:65536].split(b"\n", 1)[0].decode("utf-8-sig", errors="replace").strip()


def _separator(line: str) -> str:
    return max(",", ";", "\t", key=line.count)


def number_rows(where: str, frame: pl.DataFrame, numbers: Sequence[str]) -> Rows:
    """The rows of a table whose `numbers` are all present and finite, as Float64; the others are counted as faults.

    Raises:
        MalformedRowError: there is no such row; the message shows the first row.
    """
    cast = frame.with_columns(pl.col(numbers).cast(pl.Float64, strict=False))
    empty = pl.any_horizontal(pl.col(name).is_null() | (pl.col(name).cast(pl.String) == "") for name in numbers)
    cut = frame.select(empty).to_series().to_numpy()
    finite = cast.select(pl.all_horizontal(pl.col(numbers).is_finite().fill_null(False))).to_series().to_numpy()
    if not finite.any():
        raise MalformedRowError(
            where=where,
            expected=f"numbers in {', '.join(numbers)}",
            got=f"{frame.select(numbers).row(0)} in the first row, and no valid row",
            remedy="Check that the file has this layout, the separator, and that decimals are written with a point.",
            line=1,
        )
    faults = Counter({CUT: int(cut.sum()), NOT_A_NUMBER: int((~finite & ~cut).sum())})
    return Rows(where, cast.filter(finite), np.flatnonzero(finite), +faults)


def _parse(content: bytes, where: str, separator: str, header: Sequence[str] | None) -> pl.DataFrame:
    """All columns as text; short rows are filled with nulls, long rows truncated."""
    options: Mapping[str, object] = {"schema": dict.fromkeys(header, pl.String)} if header else {}
    try:
        frame = pl.read_csv(
            io.BytesIO(content),
            has_header=header is None,
            separator=separator,
            infer_schema=False,
            truncate_ragged_lines=True,
            raise_if_empty=False,
            **options,  # type: ignore[arg-type]
        )
    except pl.exceptions.PolarsError as error:
        raise NotARecordingError(
            where=where,
            expected="UTF-8 text with one sample per line",
            got=reason(error),
            remedy="Export or copy it again.",
        ) from error
    return frame.rename({name: name.strip().removeprefix("\ufeff") for name in frame.columns})
