"""Lines of the online service's prediction log in, tables out; a line that is not one of its kinds is named.

A line is a JSON object whose `kind` is "prediction", "shadow" or "feedback". Times are integer microseconds since 1970
in UTC. Keys that are not listed here are passed over.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Annotated, Any, Literal

import numpy as np
import polars as pl
from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from har.schema import ONLINE_SESSION, PREDICTIONS, UNKNOWN_SUBJECT

_YEAR_1, _YEAR_10000 = -62_135_596_800_000_000, 253_402_300_800_000_000
_DAY_US = 86_400_000_000
_SHOWN = 60

_Stamp = Annotated[int, Field(ge=_YEAR_1, lt=_YEAR_10000)]
_Duration = Annotated[int, Field(gt=0, le=_DAY_US)]
# A subject names a folder of the lake.
_Subject = Annotated[str, Field(pattern=r"^[A-Za-z0-9.-]+$", max_length=128)]
_Name = Annotated[str, Field(min_length=1, max_length=256)]
_Version = Annotated[int, Field(ge=0, lt=2**31)]
_Milliseconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
_Names = Annotated[list[_Name], Field(min_length=1)]
_Confidences = Annotated[list[Annotated[float, Field(ge=0, le=1.001)]], Field(min_length=1)]


class _Prediction(TypedDict):
    kind: Literal["prediction"]
    request_id: _Name
    received_us: _Stamp
    subject: _Subject | None
    session: _Name | None
    start_us: _Stamp
    stride_us: _Duration
    length_us: _Duration
    model_version: _Version
    fallback: _Name | None
    ms: _Milliseconds
    activity: _Names
    confidence: _Confidences
    abstained: list[bool]
    features: str | None


class _Shadow(TypedDict):
    kind: Literal["shadow"]
    request_id: _Name
    received_us: _Stamp
    model_version: _Version
    ms: _Milliseconds
    activity: _Names
    confidence: _Confidences


class _Feedback(TypedDict):
    kind: Literal["feedback"]
    feedback_id: _Name
    received_us: _Stamp
    activity: _Name
    request_id: _Name | None
    subject: _Subject | None
    start_us: _Stamp | None
    end_us: _Stamp | None


def _about_something(line: dict[str, Any]) -> dict[str, Any]:
    interval = [line["subject"], line["start_us"], line["end_us"]]
    if line["request_id"] is not None:
        if interval != [None] * 3:
            raise ValueError("a request or an interval, not both")
    elif line["start_us"] is None or line["end_us"] is None or line["subject"] is None:
        raise ValueError("a request_id, or subject, start_us and end_us")
    elif line["end_us"] <= line["start_us"]:
        raise ValueError("end_us after start_us")
    return line


_LINE: TypeAdapter[Any] = TypeAdapter(
    Annotated[
        _Prediction | _Shadow | Annotated[_Feedback, AfterValidator(_about_something)],
        Field(discriminator="kind"),
    ],
    config=ConfigDict(strict=True),
)

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
}
_OF_A_WINDOW: _Columns = {"activity": pl.String(), "confidence": pl.Float32(), "abstained": pl.Boolean()}

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
    }
)
"""One row per feedback line."""


@dataclass(frozen=True)
class Fault:
    """A line that cannot be read: its number from 1 on, why, and its bytes."""

    line: int
    reason: str
    content: bytes


@dataclass(frozen=True)
class Entries:
    """What some lines say, as tables of the schemas above."""

    windows: pl.DataFrame
    shadows: pl.DataFrame
    feedback: pl.DataFrame


class Reader:
    """Takes lines, block by block, and gives all of them as tables.

    Per block there is little more than the parser at work, on memory that the next block uses again; tables are built
    once for many blocks.
    """

    def __init__(self) -> None:
        self._predictions: list[_Block] = []
        self._shadows: list[_Block] = []
        self._feedback: list[pl.DataFrame] = []

    def read(self, lines: Sequence[bytes], *, first: int = 1) -> list[Fault]:
        """Take whole lines; those that cannot be read come back.

        Args:
            lines: each a JSON object.
            first: the number of the first one in its file.
        """
        found = {
            "prediction": _Gathered(_PREDICTION, ("activity", "confidence", "abstained")),
            "shadow": _Gathered(_SHADOW, ("activity", "confidence")),
            "feedback": _Gathered(_FEEDBACK, ()),
        }
        faults: dict[int, str] = {}
        parse = _LINE.validate_json
        for row, line in enumerate(lines):
            try:
                entry = parse(line)
            except ValidationError as error:
                faults[row] = _reason(error)
            else:
                if not found[entry["kind"]].take(row, entry):
                    faults[row] = "activity, confidence, abstained: expected one entry per window in each"
        self._shadows.append(found["shadow"].block())
        self._feedback.append(found["feedback"].block().lines)
        predictions, odd = _decoded(found["prediction"].block())
        self._predictions.append(predictions)
        faults.update(odd)
        return [Fault(first + row, reason, lines[row]) for row, reason in sorted(faults.items())]

    def tables(self) -> Entries:
        """What was read since the last call."""
        predictions, shadows, feedback = self._predictions, self._shadows, self._feedback
        self._predictions, self._shadows, self._feedback = [], [], []
        return Entries(
            _windows(_Block.joined(predictions)) if predictions else pl.DataFrame(schema=WINDOWS),
            _shadows(_Block.joined(shadows)) if shadows else pl.DataFrame(schema=SHADOWS),
            _feedback(pl.concat(feedback)) if feedback else pl.DataFrame(schema=FEEDBACK),
        )


class _Gathered:
    """Entries of one kind, taken apart at once: objects that live on cost the garbage collector a look at each."""

    def __init__(self, schema: _Columns, lists: tuple[str, ...]) -> None:
        self._schema, self._lists = schema, lists
        self._pick = itemgetter(*schema)
        self._rows: list[int] = []
        self._counts: list[int] = []
        self._lines: list[tuple[Any, ...]] = []
        self._values: dict[str, list[Any]] = {name: [] for name in lists}

    def take(self, row: int, entry: dict[str, Any]) -> bool:
        """Take an entry; False if its lists are not of one length."""
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
        """What was taken."""
        columns = zip(*self._lines, strict=True) if self._lines else ([] for _ in self._schema)
        lines = [
            pl.Series(name, column, kind) for (name, kind), column in zip(self._schema.items(), columns, strict=True)
        ]
        own = [pl.Series("row", self._rows, pl.Int64), pl.Series("windows", self._counts, pl.Int64)]
        values = [pl.Series(name, values, _OF_A_WINDOW[name]) for name, values in self._values.items()]
        return _Block(pl.DataFrame([*lines, *own]), pl.DataFrame(values))


@dataclass(frozen=True)
class _Block:
    """A row per line, with its place in what was read and the number of its `windows`; a row of values per window."""

    lines: pl.DataFrame
    values: pl.DataFrame

    @classmethod
    def joined(cls, blocks: list[_Block]) -> _Block:
        """Several blocks as one."""
        return cls(pl.concat([block.lines for block in blocks]), pl.concat([block.values for block in blocks]))

    def per_window(self) -> pl.DataFrame:
        """Each line's row once per window, with the number of the `window` and its own values."""
        counts = self.lines["windows"].to_numpy()
        rows = np.repeat(np.arange(len(counts)), counts)
        number = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
        lines = self.lines.drop("features", strict=False)[rows]
        return lines.hstack(self.values).with_columns(pl.Series("window", number, pl.Int32))


def _decoded(block: _Block) -> tuple[_Block, dict[int, str]]:
    """Features as bytes, and their number for `each` window; what cannot be is left out and named, by row."""
    lines = block.lines
    features = lines["features"].str.decode("base64", strict=False)
    each = (features.bin.size().cast(pl.Float64) / (4 * lines["windows"])).alias("each")
    numbers = each.fill_null(0).to_numpy()
    odd = lines["features"].is_not_null().to_numpy() & ((numbers < 1) | (numbers != np.floor(numbers)))
    start, stride, length = lines.select("start_us", "stride_us", "length_us").to_numpy().astype(np.float64).T
    late = start + (lines["windows"].to_numpy() - 1) * stride + length >= _YEAR_10000
    lines = lines.with_columns(features, each)
    if not (odd | late).any():
        return _Block(lines, block.values), {}
    faults = dict.fromkeys(lines["row"].filter(pl.Series(late)), "start_us: expected an end before the year 10000")
    reason = "features: expected base64 of float32, as many for every window"
    faults |= dict.fromkeys(lines["row"].filter(pl.Series(odd)), reason)
    good = ~(odd | late)
    kept = np.repeat(good, lines["windows"].to_numpy())
    return _Block(lines.filter(pl.Series(good)), block.values.filter(pl.Series(kept))), faults


def _windows(block: _Block) -> pl.DataFrame:
    start = pl.col("start_us") + pl.col("window") * pl.col("stride_us")
    rows = block.per_window().with_columns(
        start.cast(_TIME).alias("start"),
        (start + pl.col("length_us")).cast(_TIME).alias("end"),
        start.cast(_TIME).dt.date().alias("date"),
        pl.col("subject").fill_null(UNKNOWN_SUBJECT),
        pl.col("session").fill_null(ONLINE_SESSION),
        pl.col("received_us").cast(_TIME).alias("received_at"),
    )
    parts = [pl.DataFrame(schema=WINDOWS)]
    # Models differ in how many features they have; those of one number are a matrix.
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
    return lines.select("feedback_id", received, "activity", "request_id", "subject", *times)


def _reason(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_context=False)[0]
    place = ".".join(str(part) for part in first["loc"][1:])
    got = "" if first["type"] in ("missing", "value_error") else f", got {_short(first['input'])}"
    return f"{place}{': ' if place else ''}{first['msg']}{got}"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
