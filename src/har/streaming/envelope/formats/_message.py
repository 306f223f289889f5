"""`Message`: the fields of a device's message, before they are checked; and what a format must offer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
from numpy.typing import NDArray


class Head(msgspec.Struct):
    """Of whom and of when a message is; its samples are not decoded."""

    subject: str
    device: str
    session: str
    sequence: int
    t0: int | str
    channels: tuple[str, ...]
    samples: msgspec.Raw
    dtype: Literal["float32", "float64"] = "float32"


class Fields(msgspec.Struct):
    """All fields but the samples.

    Attributes:
        subject, device, session: letters, digits, '.', '-' (a device and a session may have '_', too).
        sequence: number of the message within the session, from 0.
        t0: stamp of the first sample: µs since 1970 as an integer, or ISO 8601 with an offset.
        rate_hz: samples per second.
        channels: names of the columns of `samples`, in their order.
        units: by sensor ("accelerometer", "gyroscope") or by channel.
        placement: where the sensor is worn; "": as har.toml says.
    """

    subject: str
    device: str
    session: str
    sequence: int
    t0: int | str
    rate_hz: float
    channels: tuple[str, ...]
    units: dict[str, str]


class Rows(Fields):
    """A message whose samples are rows of numbers, T lists of C."""

    samples: list[list[float]]
    placement: str = ""


class Packed(Fields):
    """A message whose samples are rows of numbers, or their little-endian bytes, row by row."""

    samples: list[list[float]] | bytes
    placement: str = ""
    dtype: Literal["float32", "float64"] = "float32"
    """Of samples that are bytes."""


class Arrays(Fields):
    """A message whose samples a format has made an array of, float32 or float64 (T, C)."""

    samples: NDArray[Any]
    placement: str = ""


Message = Rows | Packed | Arrays


def never(_body: bytes) -> bool:
    """For formats that only their content type tells."""
    return False


@dataclass(frozen=True, slots=True)
class Format:
    """A form that messages come in: one file of this package, or of yours, that defines `FORMAT`.

    Attributes:
        name: as `har stream send --format` and messages to people have it.
        content_types: of HTTP and MQTT 5; lower case, without parameters.
        read: the fields in a body; of another form, an `EnvelopeError`, `msgspec.MsgspecError` or `ValueError`.
        write: a body with these fields; None: devices write it, this program does not.
        recognises: whether a body without a content type, or with that of another format, looks like this one.
    """

    name: str
    content_types: tuple[str, ...]
    read: Callable[[bytes], Message]
    write: Callable[[Arrays], bytes] | None = None
    recognises: Callable[[bytes], bool] = never
