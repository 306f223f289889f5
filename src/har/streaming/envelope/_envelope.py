"""`Envelope`: one message, decoded and converted to the project's channels and SI units."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class StreamKey(NamedTuple):
    """One stream of consecutive messages: the sequence counts within it."""

    subject: str
    device: str
    session: str


@dataclass(frozen=True, slots=True)
class Envelope:
    """A message that can be used.

    Attributes:
        key: subject, device and session.
        sequence: number of the message within the stream, from 0.
        t0_us: stamp of the first sample, by the device's clock, in µs since 1970, UTC.
        rate_hz: samples per second, as the device says; sample i was taken at `t0_us + i / rate_hz`.
        samples: float32 (T, C), C-contiguous, the project's channels in m/s² and rad/s.
        placement: where the sensor was worn, "" if the message does not say.
    """

    key: StreamKey
    sequence: int
    t0_us: int
    rate_hz: float
    samples: NDArray[np.float32]
    placement: str = ""
