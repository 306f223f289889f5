"""Messages of a recording: cut from its segments, numbered, encoded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from har.streaming.envelope import Arrays, StreamKey, encode


class Made(NamedTuple):
    """A message to be sent.

    Attributes:
        key: its stream.
        sequence: its number.
        end_us: stamp of its last sample, when a device would have sent it.
        body: its bytes.
        content_type: what they are.
    """

    key: StreamKey
    sequence: int
    end_us: int
    body: bytes
    content_type: str


@dataclass(frozen=True)
class Stretch:
    """Consecutive samples of one stream.

    Attributes:
        key: the stream.
        times: int64 (n,), µs since 1970, UTC, increasing.
        values: (n, C), in the units of the `Form`.
        placement: where the sensor was worn, "" if unknown.
    """

    key: StreamKey
    times: NDArray[np.int64]
    values: NDArray[Any]
    placement: str = ""


@dataclass(frozen=True)
class Form:
    """How messages are made.

    Attributes:
        rate_hz: of the samples.
        channels: their names.
        units: by channel.
        samples: per message.
        format: json, msgpack or arrow.
    """

    rate_hz: float
    channels: tuple[str, ...]
    units: Mapping[str, str]
    samples: int
    format: str = "msgpack"


_CONTENT = {
    "json": "application/json",
    "msgpack": "application/msgpack",
    "arrow": "application/vnd.apache.arrow.stream",
}


def make(
    key: StreamKey, sequence: int, times: NDArray[np.int64], values: NDArray[Any], form: Form, placement: str
) -> Made:
    """One message of samples at `form.rate_hz` from `times[0]` on."""
    fields = Arrays(
        *key,
        sequence=sequence,
        t0=int(times[0]),
        rate_hz=form.rate_hz,
        channels=form.channels,
        units=dict(form.units),
        samples=values,
        placement=placement,
    )
    return Made(key, sequence, int(times[-1]), encode(fields, form.format), _CONTENT[form.format])


def cut(stretches: Iterator[Stretch], form: Form) -> Iterator[Made]:
    """Messages of `form.samples` samples; the last of each stretch may be shorter. Streams are numbered from 0."""
    following: dict[StreamKey, int] = {}
    for stretch in stretches:
        for first in range(0, len(stretch.times), form.samples):
            sequence = following.get(stretch.key, 0)
            following[stretch.key] = sequence + 1
            part = slice(first, first + form.samples)
            yield make(stretch.key, sequence, stretch.times[part], stretch.values[part], form, stretch.placement)
