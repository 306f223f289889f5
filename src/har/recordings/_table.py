"""A file's content before cleaning: stamps, sensor values and labels as arrays, with a way back to the file's lines."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from har.errors import (
    MalformedRowError,
    MissingColumnError,
    NonFiniteError,
    NotARecordingError,
    UnknownActivityError,
)
from har.settings import Settings


@dataclass(frozen=True)
class Parsed:
    """One file's columns as they stand in it.

    Attributes:
        where: the file, as messages name it.
        row_word: what a row is called there, "line" or "row".
        lines: int64 (n,), the one-based line of each row.
        time: the stamps, unparsed (String) or as Parquet holds them.
        values: the channels in the model's order, in the files' unit.
        activity: String, or None where the file has no such column.
        placement: where the sensor was worn, or None where the file has no such column.
        device: which device it was, or None where the file has no such column.
    """

    where: str
    row_word: str
    lines: NDArray[np.int64]
    time: pl.Series
    values: tuple[pl.Series, ...]
    activity: pl.Series | None
    placement: pl.Series | None = None
    device: pl.Series | None = None

    def at(self, row: int, column: str = "") -> str:
        """How a message names a row, and a column of it."""
        place = f"{self.where}, {self.row_word} {self.line(row)}"
        return f"{place}, column {column!r}" if column else place

    def line(self, row: int) -> int:
        """The one-based line of a row."""
        return int(self.lines[row])


def wanted_columns(header: Sequence[str], settings: Settings, where: str) -> dict[str, int]:
    """Position of the time column, the channels and (those that are there) the columns that `optional_columns` names.

    Raises:
        MissingColumnError: one is absent; the message lists what is there.
        NotARecordingError: one stands there twice.
    """
    needed = (settings.recordings.time_column, *settings.sensors.channels)
    for name in needed:
        if name in header:
            continue
        close = difflib.get_close_matches(name.lower(), [column.lower() for column in header], n=1)
        spelled = next((column for column in header if close and column.lower() == close[0]), "")
        suggestion = f"Did you mean {spelled!r}? " if spelled else ""
        key = "recordings.time_column" if name == needed[0] else "the sensor's channels"
        raise MissingColumnError(
            where=where,
            expected=f"a column {name!r}",
            got=f"the columns {', '.join(column or '(unnamed)' for column in header[:30])}",
            remedy=f"{suggestion}Rename the column in the file, or set {key} in har.toml.",
            line=1,
        )
    wanted = [*needed, *optional_columns(settings).values()]
    for name, count in Counter(header).items():
        if count > 1 and name in wanted:
            raise NotARecordingError(
                where=where,
                expected=f"one column {name!r}",
                got=f"{count} of that name",
                remedy="Rename or remove all but the right one.",
                line=1,
            )
    return {name: header.index(name) for name in wanted if name in header}


def optional_columns(settings: Settings) -> dict[str, str]:
    """What the columns that a file may lack are called in it, by their names in `Parsed`."""
    layout = settings.recordings
    named = {"activity": layout.activity_column, "placement": layout.placement_column, "device": layout.device_column}
    return {name: column for name, column in named.items() if column}


def optional_values(frame: pl.DataFrame, settings: Settings) -> dict[str, pl.Series | None]:
    """The optional columns of a file's content, None for those that it lacks."""
    names = optional_columns(settings)
    return {
        name: frame[names[name]] if names.get(name) in frame.columns else None
        for name in ("activity", "placement", "device")
    }


def one_value(parsed: Parsed, name: str, settings: Settings) -> str:
    """What the column `placement` or `device` says about the whole file, and where it says nothing, what har.toml does.

    Raises:
        MalformedRowError: it says two things; names the first row that differs.
    """
    series: pl.Series | None = getattr(parsed, name)
    default: str = getattr(settings.recordings, name)
    if series is None:
        return default
    texts = series.cast(pl.String).str.strip_chars()
    texts = texts.set(texts == "", None)
    values = texts.drop_nulls()
    if values.is_empty():
        return default
    other = texts.is_not_null() & (texts != values[0])
    if other.any():
        row = int(other.arg_max() or 0)
        raise MalformedRowError(
            where=parsed.at(row, optional_columns(settings)[name]),
            expected=f"one {name} a file, {values[0]!r} as in the rows before",
            got=repr(texts[row]),
            remedy=f"Split the file by {name}, a session each, or mend the column.",
            line=parsed.line(row),
        )
    return str(values[0])


def channel_values(parsed: Parsed, settings: Settings) -> NDArray[np.float32]:
    """The channels in SI units, float32 (C, n).

    Raises:
        NonFiniteError: a value is absent, NaN or infinite; of several, the one on the first line is named.
    """
    bad: list[tuple[int, str, pl.Series]] = []
    values = np.empty((len(parsed.values), len(parsed.lines)), np.float32)
    factors = settings.sensors.factors
    for index, (name, series) in enumerate(zip(settings.sensors.channels, parsed.values, strict=True)):
        raw = series.to_numpy()  # a null becomes NaN
        if not np.isfinite(raw.sum()) and not (finite := np.isfinite(raw)).all():
            bad.append((int(np.argmin(finite)), name, series))
            continue
        # What float32 cannot hold is out of any sensor's range: keep it finite, the contract names it.
        values[index] = np.clip(raw * factors[index], -3e38, 3e38)
    if bad:
        row, name, series = min(bad, key=lambda entry: entry[0])
        raise non_finite(parsed.at(row, name), str(series[row]) if series[row] is not None else "", parsed.line(row))
    return values


def non_finite(where: str, text: str, line: int) -> NonFiniteError:
    """The error for a sensor value that is absent, NaN or infinite."""
    return NonFiniteError(
        where=where,
        expected="a finite number",
        got=text or "an empty value",
        remedy="Remove the row: a pause in the recording is handled, a made-up value is not.",
        line=line,
    )


def activity_codes(parsed: Parsed, names: tuple[str, ...]) -> NDArray[np.int16]:
    """Index of each row's activity in `names`, int16 (n,), -1 where unlabelled.

    Raises:
        UnknownActivityError: a label that `names` does not list.
    """
    if parsed.activity is None:
        return np.full(len(parsed.lines), -1, np.int16)
    labels = parsed.activity.cast(pl.String)
    codes = _codes(labels, names)
    if codes is None:
        labels = labels.str.strip_chars()
        labels = labels.set(labels == "", None)
        codes = _codes(labels, names)
    if codes is not None:
        return codes
    row = int((~labels.is_in(names)).fill_null(False).arg_max() or 0)
    label = labels[row]
    close = difflib.get_close_matches(label, names, n=1)
    suggestion = f"Did you mean {close[0]!r}? " if close else ""
    raise UnknownActivityError(
        where=parsed.at(row),
        expected=f"an activity of har.toml: {', '.join(names)}",
        got=repr(label),
        remedy=f"{suggestion}Mend the label, leave it empty, or add it to activities.names in har.toml.",
        line=parsed.line(row),
    )


def _codes(labels: pl.Series, names: tuple[str, ...]) -> NDArray[np.int16] | None:
    coded = labels.cast(pl.Enum(names), strict=False)
    if coded.null_count() != labels.null_count():
        return None
    return coded.to_physical().cast(pl.Int16).fill_null(-1).to_numpy()
