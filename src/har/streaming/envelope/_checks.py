"""From the fields of a message to an `Envelope`: names, stamp, rate, shape, units, range, gravity at rest."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from har.plausibility import QUIET_SECONDS, QUIET_SPREAD, RESTING
from har.streaming.envelope._envelope import Envelope, StreamKey
from har.streaming.envelope._limits import OTHER_NAME, SUBJECT_NAME, Limits
from har.streaming.envelope._refusal import refused
from har.streaming.envelope.formats import Head, Message

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)
_FIRST_US = int(dt.datetime(2000, 1, 1, tzinfo=dt.UTC).timestamp()) * 1_000_000
_LAST_US = int(dt.datetime(9999, 12, 30, tzinfo=dt.UTC).timestamp()) * 1_000_000
_CLOCK = "Set the device's clock before it measures."
_PLACEMENT = re.compile(r"[^\x00-\x1f\x7f]{0,64}")


def checked(message: Message, limits: Limits) -> Envelope:
    """The message with its samples in the project's channels and units.

    Raises:
        EnvelopeError: which field cannot be used, and why.
    """
    key, sequence, t0_us = identity(message)
    rate_hz = message.rate_hz
    low, high = limits.rates
    if not low <= rate_hz <= high:  # NaN, too
        refused(
            "rate_hz",
            f"{low:g} to {high:g} samples per second",
            f"{rate_hz:g}",
            "Sample at the project's rate (sensors.rate_hz) or faster, and say the rate of the samples.",
        )
    placement = message.placement
    if placement and _PLACEMENT.fullmatch(placement) is None:
        refused("placement", "one word such as wrist", repr(placement)[:100], "Leave it out, or shorten it.")
    samples = _samples(message, limits)
    if t0_us + 1e6 * len(samples) / rate_hz >= _LAST_US:
        refused("t0", "a time before the year 9999", str(message.t0)[:100], _CLOCK)
    return Envelope(key, sequence, t0_us, float(rate_hz), samples, placement)


def identity(message: Message | Head) -> tuple[StreamKey, int, int]:
    """Stream, sequence and stamp of the first sample in µs.

    Raises:
        EnvelopeError: a name is not legal, or the sequence or the stamp is out of range.
    """
    if SUBJECT_NAME.fullmatch(message.subject) is None:
        _refuse_name("subject", message.subject, "letters, digits, '.' and '-'")
    if OTHER_NAME.fullmatch(message.device) is None:
        _refuse_name("device", message.device, "letters, digits, '.', '-' and '_'")
    if OTHER_NAME.fullmatch(message.session) is None:
        _refuse_name("session", message.session, "letters, digits, '.', '-' and '_'")
    sequence = message.sequence
    if not 0 <= sequence < 2**62:
        refused("sequence", "a number from 0", str(sequence), "Count the messages of a session from 0.")
    return StreamKey(message.subject, message.device, message.session), sequence, stamp_us(message.t0)


def _refuse_name(field: str, name: str, rule: str) -> None:
    rule = f"{rule}, at most 64 (27 with letters other than a-z)"
    refused(field, rule, repr(name[:100]) if name else "an empty name", f"Rename the {field} on the device.")


def stamp_us(t0: int | str) -> int:
    """A stamp in µs since 1970: ISO 8601 with an offset, or already such a number.

    Raises:
        EnvelopeError: it is neither, or not between the years 2000 and 9999.
    """
    if isinstance(t0, str):
        try:
            stamp = dt.datetime.fromisoformat(t0)
        except ValueError:
            stamp = None
        if stamp is None or stamp.tzinfo is None:
            refused(
                "t0",
                "an ISO 8601 stamp with an offset, such as 2024-01-31T08:00:00.020Z, or µs since 1970",
                repr(t0[:100]),
                "Write date, time and offset of the first sample.",
            )
        us = (stamp - _EPOCH) // _MICROSECOND
    else:
        us = t0
    if not _FIRST_US <= us < _LAST_US:
        units = {"seconds": 1_000_000, "milliseconds": 1000}
        remedy = next(
            (
                f"The number looks like {name}: send microseconds."
                for name, factor in units.items()
                if 2005 < 1970 + us * factor / 31_556_952e6 < 2100
            ),
            "The number looks like nanoseconds: send microseconds."
            if 2005 < 1970 + us / 31_556_952e9 < 2100
            else _CLOCK,
        )
        refused("t0", "a time from 2000 to 9999, in µs since 1970 if it is a number", str(t0)[:100], remedy)
    return us


def _samples(message: Message, limits: Limits) -> NDArray[np.float32]:
    columns = limits.columns(message.channels, message.units)
    raw = _matrix(message)
    if columns.places is not None:
        raw = raw[:, columns.places]
    # As files' columns are converted: in float64, then rounded once.
    values = raw if columns.factors is None else raw.astype(np.float64, copy=False) * columns.factors
    if not (np.abs(values) <= limits.bounds).all():  # NaN is not, either
        _refuse_values(raw, values, limits)
    samples = np.ascontiguousarray(values, np.float32)
    if limits.gravity is not None and len(samples) >= QUIET_SECONDS * message.rate_hz:
        _refuse_without_gravity(samples[:, limits.gravity], message.rate_hz)
    return samples


def _matrix(message: Message) -> NDArray[Any]:
    """The samples as numbers (T, C), in the message's units."""
    samples, width = message.samples, len(message.channels)
    shape = f"one row of {width} numbers (channels) or more"
    if isinstance(samples, bytes):
        dtype = np.dtype("<f8" if getattr(message, "dtype", "") == "float64" else "<f4")
        row = width * dtype.itemsize
        if not row or not samples or len(samples) % row:
            got = f"{len(samples):,} bytes, where a row of {dtype.name} has {row}"
            refused("samples", shape, got, "Send whole rows, and say dtype if it is not float32.")
        return np.frombuffer(samples, dtype).reshape(-1, width)
    if isinstance(samples, list):
        rows = samples
        try:
            samples = np.array(rows, np.float64)
        except ValueError:
            lengths = {len(row) for row in rows}
            got = f"rows of {', '.join(str(length) for length in sorted(lengths)[:5])} numbers"
            refused("samples", shape, got, "Give every row one number per channel.")
    if samples.ndim != 2 or not len(samples) or samples.shape[1] != width:
        refused("samples", shape, f"numbers of shape {samples.shape}", "Give every row one number per channel.")
    return samples


def _refuse_values(raw: NDArray[Any], values: NDArray[Any], limits: Limits) -> None:
    row, place = (int(index[0]) for index in np.nonzero(~(np.abs(values) <= limits.bounds)))
    name, value = limits.channels[place], raw[row, place]
    if not np.isfinite(value):
        remedy = "Leave out samples without a value: a gap is handled; do not fill in values."
        refused(f"samples, row {row}, channel {name}", "a finite number", str(value), remedy)
    refused(
        f"samples, row {row}, channel {name}",
        f"at most ±{limits.bounds[place]:.4g} in the lake's unit, a little more than the sensor's full scale",
        f"{values[row, place]:.4g}",
        "Check the channel's unit in the message, and full_scale of the sensor in har.toml.",
    )


def _refuse_without_gravity(acceleration: NDArray[np.float32], rate_hz: float) -> None:
    """The contract of files, where a message alone can tell: three seconds at rest must measure gravity."""
    second = max(2, round(rate_hz))
    count = len(acceleration) // second
    magnitude = np.sqrt(np.einsum("tc,tc->t", acceleration, acceleration, dtype=np.float64))
    seconds = magnitude[: count * second].reshape(count, second)
    means = seconds.mean(axis=1)
    quiet = seconds.std(axis=1) < QUIET_SPREAD * means
    if np.count_nonzero(quiet) < QUIET_SECONDS:
        return
    resting = float(np.median(means[quiet]))
    if not RESTING[0] <= resting <= RESTING[1]:
        refused(
            "samples",
            f"an acceleration of {RESTING[0]:.3g} to {RESTING[1]:.3g} m/s² at rest, gravity included",
            f"{resting:.3g}",
            "Check the accelerometer's unit in the message; send the total acceleration.",
        )
