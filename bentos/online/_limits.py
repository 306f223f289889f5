"""The values that windows may hold: within the sensors' full scale, as ingestion and the batch service demand."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from har.errors import RequestError
from har.inference import ModelMetadata
from har.plausibility import RANGE_SLACK, TO_SI

_LARGEST = 1e6
"""For channels without a full scale: far from where float32 sums overflow."""
_NOT_ROUNDING = 1e-3
_OFTEN_SENT = {"m/s^2": "mg", "rad/s": "deg/s"}
"""By SI unit the unit whose values exceed the full scale when they are sent in its place."""


class Limits:
    """Refuses windows with a value that no sensor can have measured.

    Attributes:
        by_channel: the largest magnitude per channel, SI, C of them.

    Args:
        metadata: the model's.
        full_scales: largest value by channel, SI; channels that are missing have no full scale.
    """

    def __init__(self, metadata: ModelMetadata, full_scales: Mapping[str, float]) -> None:
        self._metadata = metadata
        self.by_channel = tuple(
            min(RANGE_SLACK * full_scales.get(channel, np.inf), _LARGEST) for channel in metadata.channels
        )
        self._limits = np.array(self.by_channel, np.float32)

    def hold(self, values: NDArray[np.float32]) -> bool:
        """Whether every value of windows (N, T, C) is finite and within its channel's limit."""
        return bool((np.abs(values) <= self._limits).all())

    def require(self, values: NDArray[np.float32]) -> None:
        """Check windows (N, T, C).

        Raises:
            RequestError: a value is not finite, or beyond its channel's limit; names the first one.
        """
        if self.hold(values):
            return
        within = np.abs(values) <= self._limits
        window, sample, channel = (int(place) for place in np.argwhere(~within)[0])
        raise self.refusal(window, sample, channel, float(values[window, sample, channel]))

    def require_bytes(self, values: NDArray[np.float32]) -> None:
        """Check windows (N, T, C) that came as bytes, whose order may be the wrong one.

        Raises:
            RequestError: as `require`, or all values are zero up to a rest that only swapped bytes explain.
        """
        flat = values.reshape(-1)
        with np.errstate(over="ignore", invalid="ignore"):
            vanishing = not np.dot(flat, flat) and values.any()
        if vanishing or not self.hold(values):
            swapped = values.byteswap()
            if self.hold(swapped) and np.abs(swapped).max() > _NOT_ROUNDING:
                raise RequestError(
                    where="body",
                    expected="float32, little-endian",
                    got="bytes that are plausible values in the other order",
                    remedy="Send np.asarray(windows, '<f4').tobytes().",
                )
            self.require(values)

    def refusal(self, window: int, sample: int, channel: int, value: float, shown: str | None = None) -> RequestError:
        """The refusal of a value; `shown`: how to describe it."""
        unit, limit = self._metadata.units[channel], self.by_channel[channel]
        other = _OFTEN_SENT.get(unit)
        remedy = "Drop or repair the sample before cutting windows."
        if other is not None and limit < abs(value) <= limit / TO_SI[other]:
            remedy = f"Send {unit}: the value would fit {other}. Otherwise drop or repair the sample."
        full = ", the sensor's full scale" if limit < _LARGEST else ""
        return RequestError(
            where=f"windows[{window}][{sample}][{channel}] ({self._metadata.channels[channel]})",
            expected=f"a finite number within ±{limit:.4g} {unit}{full}",
            got=str(value) if shown is None else shown,
            remedy=remedy,
        )
