"""Reads request bodies into checked arrays; a refusal names the field, what was expected, what came, and the remedy."""

from __future__ import annotations

import contextlib
import functools
import json
import re
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import Any, TypeVar
from urllib.parse import parse_qsl

import numpy as np
import orjson
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError

from bentos.online._limits import Limits
from bentos.online._schema import (
    TIME,
    Place,
    feedback_requests,
    place,
    predict_request,
)
from har.errors import RequestError
from har.inference import ModelMetadata
from har.log_lines import NAME_RULE, REQUEST_ID

_INTERVAL = ("subject", "start", "end")
_SEE_MODEL = "GET /model shows what the model takes."
_Model = TypeVar("_Model", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Windows:
    """Windows to classify, float32 (N, T, C), and where they belong, as far as the client says."""

    values: NDArray[np.float32]
    subject: str | None = None
    session: str | None = None
    start_us: int | None = None


@dataclass(frozen=True, slots=True)
class Feedback:
    """A true activity, of a request or of a subject's interval."""

    activity: str
    request_id: str | None = None
    subject: str | None = None
    start_us: int | None = None
    end_us: int | None = None


class Contract:
    """Reads requests for one model.

    Args:
        metadata: the model's.
        max_windows: per request.
        full_scales: largest value by channel, SI; a value beyond it is refused.
    """

    def __init__(self, metadata: ModelMetadata, *, max_windows: int, full_scales: Mapping[str, float]) -> None:
        self.metadata = metadata
        self._limits = Limits(metadata, full_scales)
        self.max_windows = max_windows
        self.length, self.channels = metadata.length, len(metadata.channels)
        self.raw_bytes = 4 * max_windows * self.length * self.channels
        self.json_bytes = 64 * 1024 + 32 * max_windows * self.length * self.channels
        """Largest JSON body: 32 characters per value leave room for any notation."""
        self.predict_request = predict_request(metadata, max_windows=max_windows, limits=self._limits.by_channel)
        self.place = place(metadata)
        self.by_request, self.by_interval = feedback_requests(metadata)
        self._predict_fields = frozenset(self.predict_request.model_fields)
        self._feedback_fields = frozenset(self.by_request.model_fields) | frozenset(self.by_interval.model_fields)
        times = (TIME, "Write it in ISO 8601; Z for UTC.")
        self._fields = {
            "subject": (NAME_RULE, "Use the name that the recordings have."),
            "session": (f"{NAME_RULE}; or '_'", "Use the name that the recordings have."),
            "request_id": (f"a string that matches {REQUEST_ID}", "Use the request_id of the answer."),
            "activity": (f"one of {', '.join(metadata.activities)}", "GET /model lists the activities."),
            "start": times,
            "end": times,
            "rate_hz": (
                f"{metadata.rate_hz:g}, the rate of the model's windows",
                f"Resample to {metadata.rate_hz:g} Hz before cutting windows. {_SEE_MODEL}",
            ),
        }
        """What is expected of a field's value, and what to do about another one."""
        self._read_query = functools.lru_cache(maxsize=256)(self._query)

    def json(self, body: bytes) -> Windows:
        """The body of `/predict`.

        Raises:
            RequestError: not JSON, an unknown field, or a shape or value that the model does not take.
        """
        content = _json_object(body, self._predict_fields)
        windows = content.get("windows")
        # Arrays would take true and false for numbers; a body without these words needs no closer look.
        boolean = (b"u" in body and b"true" in body) or (b"l" in body and b"false" in body)
        values = None if boolean else self._fast(windows)
        if values is None or not self._limits.hold(values):
            if isinstance(windows, list):
                self._require_count(len(windows))
            self._validate(self.predict_request, content)
            values = np.array(windows, np.float32)
            self._limits.require(values)
        self._require_count(len(values))
        if len(content) == 1:
            return Windows(values)
        del content["windows"]
        return _placed(values, self._validate(self.place, content))

    def raw(self, body: bytes, query: bytes, shape: bytes | None) -> Windows:
        """The body of `/predict/raw`: float32, little-endian, in C order; `shape` is the header X-Shape.

        Raises:
            RequestError: no shape, another size, another byte order, or a value that no sensor measures.
        """
        count, place = self._read_query(query, shape)
        size = 4 * count * self.length * self.channels
        if len(body) != size:
            raise RequestError(
                where="body",
                expected=f"{size} bytes: float32 of shape {count},{self.length},{self.channels}",
                got=f"{len(body)} bytes",
                remedy="Send the array's bytes in C order: np.asarray(windows, '<f4').tobytes().",
            )
        values = np.frombuffer(body, "<f4").reshape(count, self.length, self.channels)
        self._limits.require_bytes(values)
        return _placed(values, place)

    def array(self, values: NDArray[Any], **place: str | float | None) -> Windows:
        """Windows that come as an array, (N, T, C), of any numeric type.

        Raises:
            RequestError: another shape, or a value that is not finite.
        """
        if values.ndim != 3 or values.dtype.kind not in "fiu":
            got = f"{values.dtype} of shape {values.shape}"
            expected = f"numbers of shape (N, {self.length}, {self.channels})"
            raise RequestError(where="windows", expected=expected, got=got, remedy=_SEE_MODEL)
        given = {name: value for name, value in place.items() if value is not None}
        shape = ",".join(map(str, values.shape)).encode()
        found = self.raw(np.asarray(values, "<f4").tobytes(), b"", shape)
        return _placed(found.values, self._validate(self.place, given))

    def feedback(self, body: bytes) -> Feedback:
        """The body of `/feedback`.

        Raises:
            RequestError: an unknown activity, or neither a request nor an interval.
        """
        return self.feedback_fields(_json_object(body, self._feedback_fields))

    def feedback_fields(self, content: dict[str, Any]) -> Feedback:
        """The fields of `/feedback`.

        Raises:
            RequestError: an unknown activity, or neither a request nor an interval.
        """
        _require_fields(content, {"activity"}, self._feedback_fields)
        interval = [name for name in _INTERVAL if name in content]
        if "request_id" in content:
            if interval:
                raise _either(f"both request_id and {', '.join(interval)}")
            request = self._validate(self.by_request, content)
            return Feedback(request.activity, request.request_id)
        if len(interval) < len(_INTERVAL):
            raise _either(", ".join(interval) or "neither")
        found = self._validate(self.by_interval, content)
        if found.end <= found.start:
            raise RequestError(
                where="end",
                expected="a time later than start",
                got=_describe(content["end"]),
                remedy="Check whether the two are swapped.",
            )
        return Feedback(found.activity, None, found.subject, found.start, found.end)

    def _fast(self, windows: Any) -> NDArray[np.float32] | None:
        """The array of well-formed nested lists; None: something is wrong, or needs a closer look."""
        try:
            rows = list(chain.from_iterable(windows))
            if set(map(len, windows)) != {self.length} or set(map(len, rows)) != {self.channels}:
                return None
            # struct takes numbers only, where numpy would read "1.5" as one; and it is faster.
            flat = struct.pack(f"{len(rows) * self.channels}f", *chain.from_iterable(rows))
        except (TypeError, OverflowError, struct.error):
            return None
        return np.frombuffer(flat, np.float32).reshape(-1, self.length, self.channels)

    def _query(self, query: bytes, header: bytes | None) -> tuple[int, Place]:
        """Number of windows, and where they belong; clients often repeat a query, and a lookup saves 5 µs."""
        content: dict[str, Any] = dict(_query_fields(query, {"shape", *Place.model_fields}))
        shape = content.pop("shape", None if header is None else header.decode("latin-1"))
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
                where="shape", expected=expected, got=repr(shape), remedy="Give three whole numbers.", status=400
            )
        count, length, channels = (int(part) for part in match.groups())
        if (length, channels) != (self.length, self.channels) or count < 1:
            raise RequestError(where="shape", expected=expected, got=shape, remedy=_SEE_MODEL)
        self._require_count(count)
        with contextlib.suppress(ValueError):  # what is no number is refused below, by its name
            content.update({name: float(value) for name, value in content.items() if name == "rate_hz"})
        return count, self._validate(self.place, content)

    def _require_count(self, count: int) -> None:
        if count > self.max_windows:
            raise RequestError(
                where="windows",
                expected=f"{self.max_windows} windows at most",
                got=str(count),
                remedy="Send them in several requests, or raise serving.max_windows.",
                status=413,
            )

    def _validate(self, model: type[_Model], content: dict[str, Any]) -> _Model:
        _require_fields(content, set(), self._predict_fields if model is self.place else model.model_fields)
        try:
            return model.model_validate(content)
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False)[0]
        name, *indices = first["loc"]
        if first["type"] == "missing":
            raise _missing(str(name))
        if name == "windows":
            raise self._bad_windows(content["windows"], indices)
        expected, remedy = self._fields[str(name)]
        raise RequestError(where=str(name), expected=expected, got=_describe(first["input"]), remedy=remedy)

    def _bad_windows(self, value: Any, indices: list[Any]) -> RequestError:
        """What is wrong at these indices, or with the outermost list around them that has another length."""
        where = "windows"
        lists = (
            (None, f"a list: N × {self.length} samples × {self.channels} channels"),
            (self.length, f"a list of {self.length} samples"),
            (self.channels, f"a list of {self.channels} channels"),
        )
        for (length, expected), index in zip_longest(lists, indices):
            if index is None or (length is not None and len(value) != length):
                got = f"{len(value)}" if isinstance(value, list) and length is not None else _describe(value)
                return RequestError(where=where, expected=expected, got=got, remedy=_SEE_MODEL)
            value, where = value[index], f"{where}[{index}]"
        window, sample, channel = indices
        return self._bad_value(window, sample, channel, value)

    def _bad_value(self, window: int, sample: int, channel: int, value: Any) -> RequestError:
        number = float(value) if isinstance(value, int | float) and not isinstance(value, bool) else 0.0
        return self._limits.refusal(
            window, sample, channel, number, None if isinstance(value, float) else _describe(value)
        )


def _placed(values: NDArray[np.float32], place: Place) -> Windows:
    return Windows(values, place.subject, place.session, place.start)


def _json_object(body: bytes, known: Iterable[str]) -> dict[str, Any]:
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise RequestError(
            where=f"body, line {error.lineno}, column {error.colno}",
            expected="JSON",
            got=error.msg,
            remedy="JSON has no NaN and no Infinity; use numbers only.",
            status=400,
        ) from error
    if not isinstance(content, dict):
        fields = ", ".join(sorted(known))
        raise RequestError(
            where="body", expected="a JSON object", got=_describe(content), remedy=f"Its fields: {fields}."
        )
    return content


def _require_fields(content: dict[str, Any], required: set[str], known: Iterable[str]) -> None:
    """Refuse unknown fields first: a misspelt name is reported as such, not as a missing field."""
    for name in sorted(content.keys() - set(known)):
        raise RequestError(
            where=name[:64],
            expected=f"a known field: {', '.join(sorted(known))}",
            got="another",
            remedy="Remove it, or fix its name.",
        )
    for name in required - content.keys():
        raise _missing(name)


def _query_fields(query: bytes, known: set[str]) -> dict[str, str]:
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
            got="one of them twice" if name in known else "an unknown one",
            remedy="Fix the query.",
        )
    return content


def _missing(name: str) -> RequestError:
    return RequestError(where=name, expected="a value", got="none", remedy=f"Add the field {name!r}.")


def _either(got: str) -> RequestError:
    return RequestError(
        where="request_id",
        expected="either request_id, or subject, start and end",
        got=got,
        remedy="Say which windows the activity belongs to.",
    )


def _describe(value: Any) -> str:
    """A value for a message: short, and never the whole body."""
    if isinstance(value, list) and not value:
        return "an empty list"
    names = {list: "a list", dict: "an object", type(None): "null"}
    if type(value) in names:
        return names[type(value)]
    text = json.dumps(value, default=str)
    return text if len(text) <= 80 else f"{text[:77]}…"
