"""A file's columns before cleaning, and their conversion to SI units and activity codes; errors name the line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from har.errors import (
    MalformedRowError,
    MissingColumnError,
    NonFiniteError,
    NotARecordingError,
    UnknownActivityError,
    did_you_mean,
)
from har.settings import Settings

CALIBRATED = "har.calibration"
"""The key in a Parquet file's metadata that says which calibration its values have."""
NOTES = "har.notes"
"""The key that says what was done to its recording before: a JSON list of sentences."""


@dataclass(frozen=True)
class Parsed:
    """The columns of one file, unconverted.

    Attributes:
        where: the file, as messages name it.
        row_word: what messages call a row, "line" or "row".
        lines: int64 (n,), the line of each row, counted from 1.
        time: the stamps, as text or in the type of the Parquet file.
        values: the channels in the model's order, in the unit of the files.
        activity: String; None if the file has no such column.
        placement: where the sensor was worn; None if the file has no such column.
        device: which device recorded; None if the file has no such column.
        calibration: what the file says about the calibration that its values have; "" if nothing.
        notes: what the file says was done to the recording before.
    """

    where: str
    row_word: str
    lines: NDArray[np.int64]
    time: pl.Series
    values: tuple[pl.Series, ...]
    activity: pl.Series | None
    placement: pl.Series | None = None
    device: pl.Series | None = None
    calibration: str = ""
    notes: tuple[str, ...] = ()

    def at(self, row: int, column: str = "") -> str:
        """A row, and optionally a column of it, as messages name it."""
        place = f"{self.where}, {self.row_word} {self.line(row)}"
        return f"{place}, column {column!r}" if column else place

    def line(self, row: int) -> int:
        """The line of a row, counted from 1."""
        return int(self.lines[row])


def wanted_columns(header: Sequence[str], settings: Settings, where: str, line: int = 1) -> dict[str, int]:
    """Position of the time column, the channels, and those of the `optional_columns` that the file has.

    Raises:
        MissingColumnError: a column is absent; the message lists the columns of the file.
        NotARecordingError: a column occurs twice.
    """
    needed = (settings.recordings.time_column, *settings.sensors.channels)
    for name in needed:
        if name in header:
            continue
        key = "recordings.time_column" if name == needed[0] else "the sensor's channels"
        remedy = f"Rename the column in the file, or set {key} in har.toml."
        if len(header) == 1:
            remedy = "If a line holds several fields, separate them by commas, semicolons or tabs."
        elif not set(needed) & set(header):
            remedy = "For a file of another layout see `har import csv`, whose options name the columns."
        raise MissingColumnError.of(where, name, header, remedy, line)
    wanted = [*needed, *optional_columns(settings).values()]
    for name, count in Counter(header).items():
        if count > 1 and name in wanted:
            raise NotARecordingError(
                where=where,
                expected=f"one column {name!r}",
                got=f"{count} columns of that name",
                remedy="Rename or remove the others.",
                line=line,
            )
    return {name: header.index(name) for name in wanted if name in header}


def optional_columns(settings: Settings) -> dict[str, str]:
    """The optional columns of a file, by the names of the attributes of `Parsed`."""
    layout = settings.recordings
    columns = {"activity": layout.activity_column, "placement": layout.placement_column, "device": layout.device_column}
    return {name: column for name, column in columns.items() if column}


def optional_values(frame: pl.DataFrame, settings: Settings) -> dict[str, Any]:
    """The optional columns of a file; None for those that it lacks."""
    names = optional_columns(settings)
    return {
        name: frame[names[name]] if names.get(name) in frame.columns else None
        for name in ("activity", "placement", "device")
    }


def one_value(parsed: Parsed, name: str, settings: Settings) -> str:
    """The value of the column `placement` or `device`; the default of har.toml if it is absent or empty.

    Raises:
        MalformedRowError: the column has two values; the message names the first row that differs.
    """
    series: pl.Series | None = getattr(parsed, name)
    default: str = getattr(settings.recordings, name)
    if series is None:
        return default
    if series.dtype == pl.Categorical and len(different := series.unique()) == 1 and (text := different[0]):
        return str(text).strip() or default  # as nearly always
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
            expected=f"one {name} per file, {values[0]!r} as in earlier rows",
            got=repr(texts[row]),
            remedy=f"Split the file by {name} into sessions, or fix the column.",
            line=parsed.line(row),
        )
    return str(values[0])


def channel_values(parsed: Parsed, settings: Settings) -> NDArray[np.float32]:
    """The channels in SI units, float32 (C, n).

    Raises:
        NonFiniteError: a value is absent, NaN or infinite; the message names the first line with one.
    """
    bad: list[tuple[int, str, pl.Series]] = []
    values = np.empty((len(parsed.values), len(parsed.lines)), np.float32)
    factors = settings.sensors.factors
    for index, (name, series) in enumerate(zip(settings.sensors.channels, parsed.values, strict=True)):
        raw = series.to_numpy()  # a null becomes NaN
        if not np.isfinite(raw.sum()) and not (finite := np.isfinite(raw)).all():
            bad.append((int(np.argmin(finite)), name, series))
            continue
        # In float64, block by block. Values beyond float32 stay finite here, so that the range check reports them.
        with np.errstate(over="ignore"):
            np.multiply(raw, factors[index], out=values[index], dtype=np.float64, casting="unsafe")
        np.clip(values[index], -3e38, 3e38, out=values[index])
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
        remedy="Delete such rows: the gaps that they leave are handled; do not fill in values. If most rows have no "
        "number there, export that sensor again, or write all sensors of an instant into one row.",
        line=line,
    )


def activity_codes(parsed: Parsed, names: tuple[str, ...]) -> NDArray[np.int16]:
    """Index of each row's activity in `names`, int16 (n,), -1 where unlabelled.

    Raises:
        UnknownActivityError: a label is not in `names`.
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
    fix = "Fix the label, leave it empty, or add it to activities.names in har.toml."
    raise UnknownActivityError(
        where=parsed.at(row),
        expected=f"an activity of har.toml: {', '.join(names)}",
        got=repr(label),
        remedy=f"{did_you_mean(label, names)} {fix}".strip(),
        line=parsed.line(row),
    )


def _codes(labels: pl.Series, names: tuple[str, ...]) -> NDArray[np.int16] | None:
    coded = labels.cast(pl.Enum(names), strict=False)
    if coded.null_count() != labels.null_count():
        return None
    return coded.to_physical().cast(pl.Int16).fill_null(-1).to_numpy()
