"""Read the online service's prediction log into tables; lines that cannot be read are reported with the reason.

`har.log_lines` says what a line holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter
from types import UnionType
from typing import Annotated, Any, NotRequired, Union, get_args, get_origin, get_type_hints

import numpy as np
import polars as pl
from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from har.log_lines import DAY_US, END_STAMP_US, FeedbackLine, PredictionLine, ShadowLine
from har.schema import IMPORTED_ID, ONLINE_SESSION, PREDICTIONS, UNKNOWN_SUBJECT

_SHOWN = 60


def _has_request_or_interval(line: dict[str, Any]) -> dict[str, Any]:
    """Refuse feedback that names neither a request nor an interval, or both."""
    interval = [line["subject"], line["start_us"], line["end_us"]]
    if line["request_id"] is not None:
        if interval != [None] * 3:
            raise ValueError("a request or an interval, not both")
    elif line["start_us"] is None or line["end_us"] is None or line["subject"] is None:
        raise ValueError("a request_id, or subject, start_us and end_us")
    elif line["end_us"] <= line["start_us"]:
        raise ValueError("end_us after start_us")
    elif line["end_us"] - line["start_us"] > DAY_US:
        raise ValueError("an interval of a day at most")
    if line["feedback_id"].startswith(IMPORTED_ID):
        raise ValueError(f"a feedback_id without {IMPORTED_ID!r}, which marks a person's labels")
    return {"source": None, **line}


def _says_unknown(line: dict[str, Any]) -> dict[str, Any]:
    """Fill in a null per window where a line does not say whether it is unlike the training data."""
    return line if line.get("unknown") is not None else {**line, "unknown": [None] * len(line["activity"])}


def _validated(line: type) -> Any:
    """A line of `har.log_lines` as pydantic takes it; before Python 3.12, it refuses the standard library's own."""
    fields = {name: _with_limits(hint) for name, hint in get_type_hints(line, include_extras=True).items()}
    return TypedDict(line.__name__, fields)  # type: ignore[operator]


def _with_limits(hint: Any) -> Any:
    """A type hint with pydantic's `Field` in place of `Limits`."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin is Annotated:
        given = {name: value for name, value in vars(parts[1]).items() if value is not None}
        return Annotated[_with_limits(parts[0]), Field(**given)]
    if origin is NotRequired:
        return NotRequired[_with_limits(parts[0])]
    if origin is list:
        return list[_with_limits(parts[0])]  # type: ignore[misc]
    if origin in (Union, UnionType):
        return Union[tuple(map(_with_limits, parts))]  # noqa: UP007  `|` takes no tuple
    return hint


_KINDS: Any = Annotated[
    Annotated[_validated(PredictionLine), AfterValidator(_says_unknown)]
    | _validated(ShadowLine)
    | Annotated[_validated(FeedbackLine), AfterValidator(_has_request_or_interval)],
    Field(discriminator="kind"),
]
_LINE: TypeAdapter[Any] = TypeAdapter(_KINDS, config=ConfigDict(strict=True))

_Columns = dict[str, pl.DataType]
_TIME = pl.Datetime("us", "UTC")
_PREDICTION: _Columns = {
    "request_id": pl.String(),
    "received_us": pl.Int64(),
    "subject": pl.String(),
    "session": pl.String(),
    "start_us": pl.Int64(),
    "stride_us": pl.Int64(),
    "length_us": pl.Int64(),
    "model_version": pl.Int32(),
    "fallback": pl.String(),
    "ms": pl.Float32(),
    "features": pl.String(),
}
_SHADOW: _Columns = {"request_id": pl.String(), "received_us": pl.Int64(), "model_version": pl.Int32()}
_FEEDBACK: _Columns = {
    "feedback_id": pl.String(),
    "received_us": pl.Int64(),
    "activity": pl.String(),
    "request_id": pl.String(),
    "subject": pl.String(),
    "start_us": pl.Int64(),
    "end_us": pl.Int64(),
    "source": pl.String(),
}
_PER_WINDOW: _Columns = {
    "activity": pl.String(),
    "confidence": pl.Float32(),
    "abstained": pl.Boolean(),
    "unknown": pl.Boolean(),
}

WINDOWS = pl.Schema(
    {
        **PREDICTIONS,
        "window": pl.Int32(),
        "fallback": pl.String(),
        "ms": pl.Float32(),
        "features": pl.List(pl.Float32()),
        "received_at": _TIME,
    }
)
"""One row per window of a prediction line; `window` is its number in the request."""

SHADOWS = pl.Schema(
    {
        "request_id": pl.String(),
        "window": pl.Int32(),
        "shadow_version": pl.Int32(),
        "shadow_activity": pl.String(),
        "shadow_confidence": pl.Float32(),
        "received_at": _TIME,
    }
)
"""One row per window of a shadow line."""

FEEDBACK = pl.Schema(
    {
        "feedback_id": pl.String(),
        "received_at": _TIME,
        "activity": pl.String(),
        "request_id": pl.String(),
        "subject": pl.String(),
        "start": _TIME,
        "end": _TIME,
        "source": pl.String(),
    }
)
"""One row per feedback line."""


@dataclass(frozen=True)
class Fault:
    """A line that cannot be read: its number, counted from 1, the reason and its bytes."""

    line: int
    reason: str
    content: bytes


@dataclass(frozen=True)
class Entries:
    """The content of some lines, as tables of the schemas above."""

    windows: pl.DataFrame
    shadows: pl.DataFrame
    feedback: pl.DataFrame


class Reader:
    """Parses lines block by block, and returns all of them as tables.

    A block is only parsed; the tables are built once for many blocks.
    """

    def __init__(self) -> None:
        self._predictions: list[_Block] = []
        self._shadows: list[_Block] = []
        self._feedback: list[pl.DataFrame] = []

    def read(self, lines: Sequence[bytes], *, first: int = 1) -> list[Fault]:
        """Parse whole lines; returns those that cannot be read.

        Args:
            lines: each a JSON object.
            first: the number of the first one in its file.
        """
        columns = {
            "prediction": _Columnar(_PREDICTION, ("activity", "confidence", "abstained", "unknown")),
            "shadow": _Columnar(_SHADOW, ("activity", "confidence")),
            "feedback": _Columnar(_FEEDBACK, ()),
        }
        faults: dict[int, str] = {}
        parse = _LINE.validate_json
        for row, line in enumerate(lines):
            try:
                entry = parse(line)
            except ValidationError as error:
                faults[row] = _reason(error)
            else:
                if not columns[entry["kind"]].add(row, entry):
                    faults[row] = "activity, confidence, abstained, unknown: expected one entry per window in each"
        self._shadows.append(columns["shadow"].block())
        self._feedback.append(columns["feedback"].block().lines)
        predictions, undecodable = _decode(columns["prediction"].block())
        self._predictions.append(predictions)
        faults.update(undecodable)
        return [Fault(first + row, reason, lines[row]) for row, reason in sorted(faults.items())]

    def tables(self) -> Entries:
        """The lines read since the last call."""
        predictions, shadows, feedback = self._predictions, self._shadows, self._feedback
        self._predictions, self._shadows, self._feedback = [], [], []
        return Entries(
            _windows(_Block.joined(predictions)) if predictions else pl.DataFrame(schema=WINDOWS),
            _shadows(_Block.joined(shadows)) if shadows else pl.DataFrame(schema=SHADOWS),
            _feedback(pl.concat(feedback)) if feedback else pl.DataFrame(schema=FEEDBACK),
        )


class _Columnar:
    """Entries of one kind as columns. Keeping the parsed objects instead would slow the garbage collector down."""

    def __init__(self, schema: _Columns, lists: tuple[str, ...]) -> None:
        self._schema, self._lists = schema, lists
        self._pick = itemgetter(*schema)
        self._rows: list[int] = []
        self._counts: list[int] = []
        self._lines: list[tuple[Any, ...]] = []
        self._values: dict[str, list[Any]] = {name: [] for name in lists}

    def add(self, row: int, entry: dict[str, Any]) -> bool:
        """Add an entry; False if its lists differ in length."""
        counts = [len(entry[name]) for name in self._lists] or [0]
        if counts.count(counts[0]) < len(counts):
            return False
        self._rows.append(row)
        self._counts.append(counts[0])
        self._lines.append(self._pick(entry))
        for name, values in self._values.items():
            values.extend(entry[name])
        return True

    def block(self) -> _Block:
        """The entries added so far."""
        columns = zip(*self._lines, strict=True) if self._lines else ([] for _ in self._schema)
        lines = [
            pl.Series(name, column, kind) for (name, kind), column in zip(self._schema.items(), columns, strict=True)
        ]
        counts = [pl.Series("row", self._rows, pl.Int64), pl.Series("windows", self._counts, pl.Int64)]
        values = [pl.Series(name, values, _PER_WINDOW[name]) for name, values in self._values.items()]
        return _Block(pl.DataFrame([*lines, *counts]), pl.DataFrame(values))


@dataclass(frozen=True)
class _Block:
    """`lines`: one row per line, with its index `row` and the number of its `windows`; `values`: one row per window."""

    lines: pl.DataFrame
    values: pl.DataFrame

    @classmethod
    def joined(cls, blocks: list[_Block]) -> _Block:
        """Concatenate blocks."""
        return cls(pl.concat([block.lines for block in blocks]), pl.concat([block.values for block in blocks]))

    def per_window(self) -> pl.DataFrame:
        """One row per window: its line's columns, the number of the `window` in the line, and its own values."""
        counts = self.lines["windows"].to_numpy()
        rows = np.repeat(np.arange(len(counts)), counts)
        number = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
        lines = self.lines.drop("features", strict=False)[rows]
        return lines.hstack(self.values).with_columns(pl.Series("window", number, pl.Int32))


def _decode(block: _Block) -> tuple[_Block, dict[int, str]]:
    """Decode features to bytes, with their number per window as `each`; lines that fail are dropped and reported."""
    lines = block.lines
    features = lines["features"].str.decode("base64", strict=False)
    each = (features.bin.size().cast(pl.Float64) / (4 * lines["windows"])).alias("each")
    numbers = each.fill_null(0).to_numpy()
    odd = lines["features"].is_not_null().to_numpy() & ((numbers < 1) | (numbers != np.floor(numbers)))
    start, stride, length = lines.select("start_us", "stride_us", "length_us").to_numpy().astype(np.float64).T
    late = start + (lines["windows"].to_numpy() - 1) * stride + length >= END_STAMP_US
    lines = lines.with_columns(features, each)
    if not (odd | late).any():
        return _Block(lines, block.values), {}
    faults = dict.fromkeys(lines["row"].filter(pl.Series(late)), "start_us: expected an end before the year 10000")
    reason = "features: expected base64 of float32, as many for every window"
    faults |= dict.fromkeys(lines["row"].filter(pl.Series(odd)), reason)
    good = ~(odd | late)
    windows_kept = np.repeat(good, lines["windows"].to_numpy())
    return _Block(lines.filter(pl.Series(good)), block.values.filter(pl.Series(windows_kept))), faults


def _windows(block: _Block) -> pl.DataFrame:
    start = pl.col("start_us") + pl.col("window") * pl.col("stride_us")
    rows = block.per_window().with_columns(
        start.cast(_TIME).alias("start"),
        (start + pl.col("length_us")).cast(_TIME).alias("end"),
        start.cast(_TIME).dt.date().alias("date"),
        pl.col("subject").fill_null(UNKNOWN_SUBJECT),
        pl.col("session").fill_null(ONLINE_SESSION),
        pl.col("received_us").cast(_TIME).alias("received_at"),
        pl.lit(None, pl.String).alias("smoothed"),
    )
    parts = [pl.DataFrame(schema=WINDOWS)]
    # Models differ in their number of features; windows with equally many form a matrix.
    for count in block.lines["each"].unique():
        alike = pl.col("each").eq_missing(pl.lit(count, pl.Float64))
        part = rows.filter(alike)
        if count is None:
            features = pl.Series("features", [None] * len(part), WINDOWS["features"])
        else:
            joined = b"".join(block.lines.filter(alike)["features"].to_list())
            features = pl.Series("features", np.frombuffer(joined, "<f4").reshape(len(part), -1)).arr.to_list()
        parts.append(part.with_columns(features).select(WINDOWS.names()))
    return pl.concat(parts)


def _shadows(block: _Block) -> pl.DataFrame:
    return block.per_window().select(
        "request_id",
        "window",
        pl.col("model_version").alias("shadow_version"),
        pl.col("activity").alias("shadow_activity"),
        pl.col("confidence").alias("shadow_confidence"),
        pl.col("received_us").cast(_TIME).alias("received_at"),
    )


def _feedback(lines: pl.DataFrame) -> pl.DataFrame:
    times = [pl.col(f"{name}_us").cast(_TIME).alias(name) for name in ("start", "end")]
    received = pl.col("received_us").cast(_TIME).alias("received_at")
    return lines.select("feedback_id", received, "activity", "request_id", "subject", *times, "source")


def _reason(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_context=False)[0]
    place = ".".join(str(part) for part in first["loc"][1:])
    got = "" if first["type"] in ("missing", "value_error") else f", got {_short(first['input'])}"
    return f"{place}{': ' if place else ''}{first['msg']}{got}"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
