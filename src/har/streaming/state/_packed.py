"""States, answers and signals as bytes, the same in every store."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np

from har.streaming.state._state import Answer, Signal, SubjectState

_COUNTS = struct.Struct("<II")
_encode = msgspec.msgpack.Encoder().encode
_answer = msgspec.msgpack.Decoder(tuple[int, int, str, float, bool, int, str, bool]).decode
_state = msgspec.msgpack.Decoder(SubjectState).decode
_numbers = msgspec.msgpack.Decoder(dict[str, float]).decode
_anything = msgspec.msgpack.Decoder().decode


def pack_answer(answer: Answer) -> bytes:
    """An answer without the names of its fields: a store holds many."""
    return _encode(
        (
            answer.start_us,
            answer.end_us,
            answer.activity,
            answer.confidence,
            answer.abstained,
            answer.model_version,
            answer.smoothed,
            answer.unknown,
        )
    )


def unpack_answer(content: bytes) -> Answer:
    """What `pack_answer` packed."""
    return Answer(*_answer(content))


def pack_state(state: SubjectState) -> bytes:
    """A state without its baseline, which has another writer."""
    return _encode(replace(state, baseline={}))


def unpack_state(content: bytes, baseline: bytes | None) -> SubjectState:
    """A state and its subject's baseline, if there is one."""
    state = _state(content)
    return replace(state, devices=tuple(state.devices), baseline=_numbers(baseline) if baseline else {})


def pack_mapping(values: Mapping[str, Any]) -> bytes:
    """Numbers by name, or a ledger."""
    return _encode(dict(values))


def unpack_mapping(content: bytes) -> Mapping[str, Any]:
    """What `pack_mapping` packed."""
    found: Mapping[str, Any] = _anything(content)
    return found


def pack_signal(signal: Signal) -> bytes:
    """Counts of samples and channels, int64 stamps, float32 samples; little-endian."""
    samples, channels = signal.values.shape
    return b"".join(
        (
            _COUNTS.pack(samples, channels),
            signal.times.astype("<i8", copy=False).tobytes(),
            signal.values.astype("<f4", copy=False).tobytes(),
        )
    )


def unpack_signal(content: bytes) -> Signal:
    """What `pack_signal` packed."""
    samples, channels = _COUNTS.unpack_from(content)
    times = np.frombuffer(content, "<i8", samples, _COUNTS.size)
    values = np.frombuffer(content, "<f4", samples * channels, _COUNTS.size + times.nbytes)
    return Signal(times, values.reshape(samples, channels))


def newest_start(state: SubjectState, answers: Sequence[Answer]) -> int:
    """The subject's present, by its device's clock, in µs: its answers are kept relative to this."""
    return max((answer.start_us for answer in answers), default=state.answer.start_us)
