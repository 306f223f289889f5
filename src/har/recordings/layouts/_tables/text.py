"""Read delimited text with faults, block by block: incomplete rows are left out and counted, never filled in."""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl
from numpy.typing import NDArray

from har.errors import EmptyRecordingError, MalformedRowError, MissingColumnError, NotARecordingError, reason
from har.recordings.layouts._tables.format import Opens, Text, TextFormat, open_text

CUT = "rows cut short"
NOT_A_NUMBER = "rows with a value that is not a number"
TRAILING = "rows with an extra separator at the end"
_ENDING = re.compile(r"[ \t]*;[ \t;]*(?=$)", re.MULTILINE)
ABOVE = (
    "If lines stand above the header, say how many: -o skip=10. If there is no header, name the columns: -o header=…."
)
NAME_COLUMNS = "Check that the file has this layout, and the options that name columns."


@dataclass(frozen=True, eq=False)
class Rows:
    """The complete rows of a text file.

    Attributes:
        where: the file, as messages name it.
        frame: the columns that were asked for; numbers as Float64, others as String, stripped, null where empty.
        numbers: int64 (n,), each row's number in the file, from 0; rows that were left out are counted too.
        faults: number of rows left out, by reason.
        first_line: the line of row number 0, counted from 1.
    """

    where: str
    frame: pl.DataFrame
    numbers: NDArray[np.int64]
    faults: Counter[str] = field(default_factory=Counter)
    first_line: int = 2

    def keep(self, mask: NDArray[np.bool_], fault: str) -> Rows:
        """The rows where `mask` is true; the others are counted as `fault`."""
        if mask.all():
            return self
        faults = self.faults + Counter({fault: int((~mask).sum())})
        return Rows(self.where, self.frame.filter(mask), self.numbers[mask], faults, self.first_line)

    def xyz(self, columns: Sequence[str]) -> NDArray[np.float64]:
        """Three of the columns as float64 (n, 3)."""
        return self.frame.select(columns).to_numpy()


def text_rows(
    path: Opens,
    where: str,
    *,
    numbers: Sequence[str],
    texts: Sequence[str] = (),
    header: Sequence[str] | None = None,
    separator: str | None = None,
    skip: int = 0,
    decimal: str = ".",
) -> Rows:
    """Read columns of a delimited UTF-8 file.

    Args:
        path: the file.
        where: what messages call it.
        numbers: columns that must hold finite numbers in a complete row.
        texts: columns that may be empty.
        header: the columns' names, if the file has no header.
        separator: between two fields; None: ';', tab or ',', whichever is most frequent in the first line.
        skip: lines above the header, or above the first row if `header` is given.
        decimal: the decimal mark.

    Raises:
        NotARecordingError: the file is not text.
        EmptyRecordingError: it has no rows.
        MissingColumnError: a column is absent.
        MalformedRowError: no row is complete.
    """
    text = open_text(path, where, TextFormat(skip, tuple(header or ()), separator or "", decimal))
    blocks = list(row_blocks(text, numbers, texts))
    return Rows(
        where,
        pl.concat([one.frame for one in blocks]),
        np.concatenate([one.numbers for one in blocks]),
        sum((one.faults for one in blocks), Counter()),
        text.first_line,
    )


def row_blocks(text: Text, numbers: Sequence[str], texts: Sequence[str] = ()) -> Iterator[Rows]:
    """Read columns of a text file, block by block; memory does not grow with the file.

    Raises:
        NotARecordingError: the file is not text.
        EmptyRecordingError: it has no rows.
        MissingColumnError: a column is absent.
        MalformedRowError: no row is complete.
    """
    wanted = [*dict.fromkeys([*numbers, *texts])]
    positions = column_positions(text.columns, wanted, text.where)
    first: tuple[str | None, ...] | None = None
    complete, row = False, 0
    for block in text.blocks():
        faults: Counter[str] = Counter()
        if text.delimiter != ";" and ";" in block:
            block, count = _ENDING.subn("", block)
            faults[TRAILING] += count
        frame = _parse(block, text, positions)
        filled = _filled(frame)
        if not filled.all():  # a row that has other columns only is no blank line
            filled = _filled(_parse(block, text, {f"c{index}": index for index in range(len(text.columns))}))
        frame = frame.filter(filled).select(pl.all().str.strip_chars())
        if not len(frame):
            continue
        if first is None:
            first = frame.select(numbers).row(0)
        if text.format.decimal == ",":
            frame = frame.with_columns(pl.col(numbers).str.replace(",", ".", literal=True))
        cast, finite, lost = finite_rows(frame, numbers)
        complete |= bool(finite.any())
        rows = cast.filter(finite).with_columns(pl.col([one for one in texts if one not in numbers]).replace("", None))
        yield Rows(text.where, rows, row + np.flatnonzero(finite), faults + lost, text.first_line)
        row += len(frame)
    if first is None:
        raise EmptyRecordingError.no_rows(text.where)
    if not complete:
        raise no_numbers(text.where, numbers, first, text.first_line)


def _filled(frame: pl.DataFrame) -> NDArray[np.bool_]:
    return ~frame.select(pl.all_horizontal(pl.all().is_null())).to_series().to_numpy()


def column_positions(header: Sequence[str], wanted: Sequence[str], where: str) -> dict[str, int]:
    """Where the wanted columns are.

    Raises:
        MissingColumnError: one is absent.
        NotARecordingError: there are two of one name.
    """
    for name in wanted:
        if name not in header:
            above = len(header) < 2
            raise MissingColumnError.of(where, name, header, ABOVE if above else NAME_COLUMNS)
        if (count := list(header).count(name)) > 1:
            raise NotARecordingError(
                where=where,
                expected=f"one column {name!r}",
                got=f"{count} columns of that name",
                remedy="Name all columns differently: -o skip=… for the header line and those above it, and "
                "-o header=NAME,NAME,….",
                line=1,
            )
    return {name: list(header).index(name) for name in wanted}


def number_rows(where: str, frame: pl.DataFrame, numbers: Sequence[str]) -> Rows:
    """The rows of a table whose `numbers` are all present and finite, as Float64; the others are counted as faults.

    Raises:
        MalformedRowError: there is no such row; the message shows the first row.
    """
    cast, finite, lost = finite_rows(frame, numbers)
    if not finite.any():
        raise no_numbers(where, numbers, frame.select(numbers).row(0), 1)
    return Rows(where, cast.filter(finite), np.flatnonzero(finite), lost)


def finite_rows(frame: pl.DataFrame, numbers: Sequence[str]) -> tuple[pl.DataFrame, NDArray[np.bool_], Counter[str]]:
    """The table with `numbers` as Float64, which rows have them all, and why the others do not."""
    cast = frame.with_columns(pl.col(numbers).cast(pl.Float64, strict=False))
    empty = pl.any_horizontal(pl.col(name).is_null() | (pl.col(name).cast(pl.String) == "") for name in numbers)
    cut = frame.select(empty).to_series().to_numpy()
    finite = cast.select(pl.all_horizontal(pl.col(numbers).is_finite().fill_null(False))).to_series().to_numpy()
    return cast, finite, +Counter({CUT: int(cut.sum()), NOT_A_NUMBER: int((~finite & ~cut).sum())})


def no_numbers(where: str, numbers: Sequence[str], first: Sequence[object], line: int) -> MalformedRowError:
    texts = [str(one) for one in first if one is not None]
    comma = any(re.fullmatch(r"[+-]?\d+,\d+", text) for text in texts)
    return MalformedRowError(
        where=where,
        expected=f"numbers in {', '.join(numbers)}",
        got=f"{', '.join(repr(one) for one in first)} in the first row, and no row with numbers",
        remedy="Add -o decimal=comma."
        if comma
        else "Check the options that name columns, and the options skip, delimiter and decimal.",
        line=line,
    )


def _parse(block: str, text: Text, positions: dict[str, int]) -> pl.DataFrame:
    """The wanted columns as text; short rows are filled with nulls, long rows truncated."""
    names = [f"c{index}" for index in range(len(text.columns))]  # names in the file may repeat
    # A line of our own comes first, so that no content can pass for a compressed file, which polars would unpack.
    content = f"{text.delimiter.join(names)}\n{block}".encode()
    try:
        frame = pl.read_csv(
            io.BytesIO(content),
            separator=text.delimiter,
            columns=[names[index] for index in dict.fromkeys(positions.values())],
            infer_schema=False,
            truncate_ragged_lines=True,
            raise_if_empty=False,
        )
    except pl.exceptions.PolarsError as error:
        raise NotARecordingError(
            where=text.where,
            expected="text with one sample per line",
            got=reason(error),
            remedy="Remove double quotes that are never closed, or export the file again.",
        ) from error
    return frame.select(pl.col(names[index]).alias(name) for name, index in positions.items())
