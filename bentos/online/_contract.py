"""Requests in, checked arrays out; every refusal names the field, what was expected, what came, and the way out."""

from __future__ import annotations

import datetime as dt
import json
import re
import struct
from dataclasses import dataclass
from itertools import chain
from typing import Any
from urllib.parse import parse_qsl

import numpy as np
import orjson
from numpy.typing import NDArray

from har.errors import RequestError
from har.inference import ModelMetadata

LARGEST = 1e6
"""Largest magnitude of a sample, m/s² or rad/s: beyond any sensor, and far from where float32 sums overflow."""
SUBJECT = r"^[A-Za-z0-9.-]{1,64}$"
SESSION = r"^[A-Za-z0-9._-]{1,64}$"
REQUEST_ID = r"^[A-Za-z0-9._-]{1,64}$"

_FIRST, _LAST = (dt.datetime(year, 1, 1, tzinfo=dt.UTC) for year in (1970, 2200))
_PATTERNS = {"subject": re.compile(SUBJECT), "session": re.compile(SESSION), "request_id": re.compile(REQUEST_ID)}
_STAMP = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(\.\d{1,6})?\d*([Zz]|[+-]\d{2}:\d{2})", re.ASCII)
_PLACE = {"subject", "session", "start"}


@dataclass(frozen=True, slots=True)
class Windows:
    """What is to be classified: float32 (N, T, C), and where it belongs, as far as the client says."""

    values: NDArray[np.float32]
    subject: str | None = None
    session: str | None = None
    start_us: int | None = None


@dataclass(frozen=True, slots=True)
class Feedback:
    """A true activity, for a request or for a subject's interval."""

    activity: str
    request_id: str | None
    subject: str | None
    start_us: int | None
    end_us: int | None


class Contract:
    """Reads requests for one model.

    Args:
        metadata: the model's.
        max_windows: per request.
    """

    def __init__(self, metadata: ModelMetadata, *, max_windows: int) -> None:
        self.metadata = metadata
        self.max_windows = max_windows
        self.length, self.channels = metadata.length, len(metadata.channels)
        self.raw_bytes = 4 * max_windows * self.length * self.channels
        self.json_bytes = 64 * 1024 + 32 * max_windows * self.length * self.channels
        """Largest JSON body: 32 characters a value leave room for any notation."""

    def json(self, body: bytes) -> Windows:
        """The body of `/predict`.

        Raises:
            RequestError: no JSON, an unknown field, a shape or a value that is not the model's.
        """
        content = _object(body, {"windows"}, {"windows", *_PLACE})
        windows = content["windows"]
        # "true" and "false" are the two words that arrays would take for numbers; one of these letters is in each.
        boolean = (b"u" in body and b"true" in body) or (b"l" in body and b"false" in body)
        values = None if boolean else self._fast(windows)
        if values is None or not _plausible(values):
            values = self._slow(windows)
        self._require_count(len(values))
        return self._placed(values, content)

    def raw(self, body: bytes, query: bytes, shape: str | None) -> Windows:
        """The body of `/predict/raw`: float32, little-endian, in C order; `shape` is N,T,C of query or header.

        Raises:
            RequestError: no shape, another size, a value that is not finite.
        """
        content = _query(query, {"shape", *_PLACE})
        shape = content.pop("shape", shape)
        expected = f"N,{self.length},{self.channels} with N from 1 to {self.max_windows}"
        if shape is None:
            raise RequestError(
                where="shape",
                expected=expected,
                got="none",
                remedy="Give it in the query (?shape=…) or as the header X-Shape.",
                status=400,
            )
        match = re.fullmatch(r"(\d{1,9}),(\d{1,9}),(\d{1,9})", shape, re.ASCII)
        if match is None:
            raise RequestError(
                where="shape", expected=expected, got=repr(shape), remedy="Three whole numbers.", status=400
            )
        count, length, channels = (int(part) for part in match.groups())
        if (length, channels) != (self.length, self.channels) or count < 1:
            raise RequestError(
                where="shape", expected=expected, got=shape, remedy="GET /model says what the model takes."
            )
        self._require_count(count)
        if len(body) != 4 * count * length * channels:
            raise RequestError(
                where="body",
                expected=f"{4 * count * length * channels} bytes: float32 of shape {shape}",
                got=f"{len(body)} bytes",
                remedy="Send the array's bytes in C order: np.asarray(windows, '<f4').tobytes().",
            )
        values = np.frombuffer(body, "<f4").reshape(count, length, channels)
        if not _plausible(values):
            for w, s, c in np.argwhere(~(np.abs(values) <= LARGEST)).tolist():
                raise self._impossible(w, s, c, float(values[w, s, c]))
        return self._placed(values, content)

    def feedback(self, body: bytes) -> Feedback:
        """The body of `/feedback`.

        Raises:
            RequestError: an unknown activity, or neither a request nor an interval.
        """
        content = _object(body, {"activity"}, {"activity", "request_id", "subject", "start", "end"})
        activity = _string(content, "activity")
        if activity not in self.metadata.activities:
            raise RequestError(
                where="activity",
                expected=f"one of {', '.join(self.metadata.activities)}",
                got=repr(activity),
                remedy="GET /model lists the activities.",
            )
        interval = {"subject", "start", "end"} & content.keys()
        if "request_id" in content:
            if interval:
                raise _either(f"both request_id and {', '.join(sorted(interval))}")
            return Feedback(str(activity), _string(content, "request_id"), None, None, None)
        if len(interval) < 3:
            raise _either(", ".join(sorted(interval)) or "neither")
        start, end = _stamp(content, "start"), _stamp(content, "end")
        if start is None or end is None or end <= start:
            raise RequestError(
                where="end", expected="a later time than start", got=repr(content["end"]), remedy="Swap the two?"
            )
        return Feedback(str(activity), None, _string(content, "subject"), start, end)

    def _fast(self, windows: Any) -> NDArray[np.float32] | None:
        """The array of well-formed nested lists; None: something is wrong, or needs a closer look."""
        try:
            rows = list(chain.from_iterable(windows))
            if set(map(len, windows)) != {self.length} or set(map(len, rows)) != {self.channels}:
                return None
            # struct takes numbers only, where numpy would read "1.5" as one; and it is faster.
            flat = struct.pack(f"={len(rows) * self.channels}f", *chain.from_iterable(rows))
        except (TypeError, OverflowError, struct.error):
            return None
        return np.frombuffer(flat, np.float32).reshape(-1, self.length, self.channels)

    def _slow(self, windows: Any) -> NDArray[np.float32]:
        """The same with every element asked, for the first one that is not as it should be."""
        remedy = "GET /model says what the model takes."
        shape = f"N × {self.length} samples × {self.channels} channels"
        if not isinstance(windows, list) or not windows:
            raise RequestError(where="windows", expected=f"a list: {shape}", got=_kind(windows), remedy=remedy)
        self._require_count(len(windows))
        for w, window in enumerate(windows):
            _require_list(window, f"windows[{w}]", self.length, "samples", remedy)
            for s, sample in enumerate(window):
                _require_list(sample, f"windows[{w}][{s}]", self.channels, "channels", remedy)
                for c, value in enumerate(sample):
                    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= LARGEST:
                        raise self._impossible(w, s, c, value)
        return np.array(windows, np.float32)

    def _placed(self, values: NDArray[np.float32], content: dict[str, Any]) -> Windows:
        if not _PLACE & content.keys():
            return Windows(values)
        return Windows(values, _string(content, "subject"), _string(content, "session"), _stamp(content, "start"))

    def _require_count(self, count: int) -> None:
        if count > self.max_windows:
            raise RequestError(
                where="windows",
                expected=f"{self.max_windows} windows at most",
                got=str(count),
                remedy="Send them in several requests, or raise serving.max_windows.",
                status=413,
            )

    def _impossible(self, window: int, sample: int, channel: int, value: Any) -> RequestError:
        unit = self.metadata.units[channel]
        return RequestError(
            where=f"windows[{window}][{sample}][{channel}] ({self.metadata.channels[channel]})",
            expected=f"a finite number within ±{LARGEST:g} {unit}",
            got=str(value) if isinstance(value, float) else _kind(value),
            remedy="Drop or repair the sample before cutting windows.",
        )


def _plausible(values: NDArray[np.float32]) -> bool:
    """Whether no value is NaN, infinite or too large, by the sum of their squares; if False, one may be."""
    flat = values.reshape(-1)
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.dot(flat, flat) <= LARGEST**2)


def _object(body: bytes, required: set[str], known: set[str]) -> dict[str, Any]:
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise RequestError(
            where=f"body, line {error.lineno}, column {error.colno}",
            expected="JSON",
            got=error.msg,
            remedy="Numbers only: JSON has no NaN and no Infinity.",
            status=400,
        ) from error
    if not isinstance(content, dict):
        raise RequestError(
            where="body", expected="a JSON object", got=_kind(content), remedy=f"Fields: {', '.join(sorted(known))}."
        )
    if content.keys() <= known and required <= content.keys():
        return content
    for name in content.keys() - known:
        raise RequestError(
            where=name[:64],
            expected=f"a known field: {', '.join(sorted(known))}",
            got="another",
            remedy="Leave it out, or mend its name.",
        )
    missing = min(required - content.keys())
    raise RequestError(where=missing, expected="a value", got="none", remedy=f"Add the field {missing!r}.")


def _query(query: bytes, known: set[str]) -> dict[str, Any]:
    if not query:
        return {}
    try:
        pairs = parse_qsl(query.decode("ascii"), keep_blank_values=True, strict_parsing=True, errors="strict")
    except (UnicodeDecodeError, ValueError) as error:
        raise RequestError(
            where="query", expected="name=value pairs", got=str(error), remedy="Encode the values.", status=400
        ) from error
    content = dict(pairs)
    for name in sorted(content.keys() - known) or ([pairs[0][0]] if len(content) < len(pairs) else []):
        raise RequestError(
            where=name[:64],
            expected=f"each once: {', '.join(sorted(known))}",
            got="an unknown one" if name not in known else "one of them twice",
            remedy="Mend the query.",
        )
    return content


def _string(content: dict[str, Any], field: str) -> str | None:
    value = content.get(field)
    if value is None and field not in content:
        return None
    pattern = _PATTERNS.get(field)
    if not isinstance(value, str) or (pattern is not None and not pattern.fullmatch(value)):
        raise RequestError(
            where=field,
            expected=f"a string that matches {pattern.pattern}" if pattern else "a string",
            got=_kind(value),
            remedy="Use the name that the recordings carry.",
        )
    return value


def _stamp(content: dict[str, Any], field: str) -> int | None:
    """Microseconds since 1970, UTC; finer digits are dropped."""
    value = content.get(field)
    if value is None and field not in content:
        return None
    match = _STAMP.fullmatch(value) if isinstance(value, str) else None
    try:
        if match is None:
            raise ValueError
        zone = "+00:00" if match[2] in "Zz" else match[2]
        stamp = dt.datetime.fromisoformat(f"{value[:10]}T{value[11:19]}{match[1] or ''}{zone}")
        if not _FIRST <= stamp < _LAST:
            raise ValueError
        return (stamp - _FIRST) // dt.timedelta(microseconds=1)
    except (ValueError, OverflowError) as error:
        raise RequestError(
            where=field,
            expected="a time from 1970 to 2199 with its zone, such as 2026-01-31T09:00:00.250Z",
            got=_kind(value),
            remedy="ISO 8601; Z for UTC.",
        ) from error


def _require_list(value: Any, where: str, length: int, what: str, remedy: str) -> None:
    if not isinstance(value, list) or len(value) != length:
        got = f"{len(value)}" if isinstance(value, list) else _kind(value)
        raise RequestError(where=where, expected=f"a list of {length} {what}", got=got, remedy=remedy)


def _either(got: str) -> RequestError:
    return RequestError(
        where="request_id",
        expected="either request_id, or subject, start and end",
        got=got,
        remedy="Say which windows the activity belongs to.",
    )


def _kind(value: Any) -> str:
    """A value in a message: short, and never the whole body."""
    text = json.dumps(value, default=str) if not isinstance(value, list | dict) else ""
    names = {list: "a list", dict: "an object", type(None): "null"}
    if isinstance(value, list) and not value:
        return "an empty list"
    return names.get(type(value), text if len(text) <= 80 else f"{text[:77]}…")
