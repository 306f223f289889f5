"""What the pages get, as JSON: times in µs since 1970, UTC, under the names that `har.streaming.state` has for them."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from bentos.online.stream._day import Day, day_us, label

if TYPE_CHECKING:
    import datetime as dt

    from har.streaming.state import Answer, DeviceHealth, HotStore, Signal, SubjectState

_SHOWN_ANSWERS = 50
_COMPRESSED_FROM = 4096
_KEY_DIGITS = 3


def compose(content: object) -> bytes:
    """The JSON of an answer or event."""
    return orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS)


def compressed(body: bytes) -> bytes | None:
    """The body in gzip's format; None: it is too small to be worth it."""
    if len(body) < _COMPRESSED_FROM:
        return None
    packer = zlib.compressobj(1, wbits=31)
    return packer.compress(body) + packer.flush()


def row(state: SubjectState) -> dict[str, Any]:
    """A subject in the list of all."""
    return {
        "subject": state.subject,
        "seen_us": state.seen_us,
        "date": state.date,
        "windows": state.windows,
        "minutes": state.minutes,
        "answer": answer(state.answer),
        "devices": [device(one) for one in state.devices],
    }


def whole(state: SubjectState) -> dict[str, Any]:
    """A subject alone: also its baseline."""
    return {**row(state), "baseline": state.baseline}


def answer(found: Answer) -> dict[str, Any]:
    """An answer to a window; `shown` is what a page shows for it."""
    return {
        "start_us": found.start_us,
        "end_us": found.end_us,
        "shown": label(found),
        "activity": found.activity,
        "confidence": round(found.confidence, 4),
        "abstained": found.abstained,
        "smoothed": found.smoothed,
        "unknown": found.unknown,
        "model_version": found.model_version,
    }


def device(found: DeviceHealth) -> dict[str, Any]:
    """The health of a device."""
    return {
        "device": found.device,
        "placement": found.placement,
        "seen_us": found.seen_us,
        "clock_skew_s": round(found.clock_skew_s, _KEY_DIGITS),
        "rate_hz": round(found.rate_hz, _KEY_DIGITS),
        "missing": found.missing,
        "late": found.late,
        "duplicates": found.duplicates,
        "rejected": found.rejected,
    }


def signal(found: Signal) -> dict[str, Any]:
    """The last seconds of samples: stamps, and one list per channel."""
    values = np.round(found.values.T.astype(np.float64), _KEY_DIGITS)
    return {"times_us": found.times.tolist(), "values": values.tolist()}


def band(state: SubjectState, day: Day, zone: dt.tzinfo) -> dict[str, Any]:
    """A subject's day: its first and last moment, and its stretches."""
    begin, end = day_us(state.date, zone)
    return {"date": state.date, "start_us": begin, "end_us": end, "stretches": day.stretches()}


def counts(store: HotStore, name: str) -> dict[str, int]:
    """What became of a subject's messages; empty where no consumer has said so."""
    found: dict[str, int] = store.ledger().get("subjects", {}).get(name, {})
    return found


def recent(answers: Iterable[Answer]) -> list[dict[str, Any]]:
    """The last answers, the newest first."""
    return [answer(one) for one in list(answers)[: -_SHOWN_ANSWERS - 1 : -1]]
