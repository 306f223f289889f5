"""Messages of many devices, encoded as far as possible before they are sent: a second of samples each, MessagePack."""

from __future__ import annotations

from functools import cached_property

import msgspec
import numpy as np
from numpy.typing import NDArray

from har.sample import sample_recordings
from har.settings import Settings
from har.streaming.envelope import Envelope, StreamKey

_PIECES = 256
_GRAVITY = 9.80665


class Messages:
    """Of `devices` devices, one subject each, with one message a second.

    A message's samples are a second of the embedded sample in SI units; the device goes on with the next second of the
    same recordings. What changes in its body lies at its end: the sequence, the stamp and the samples.

    Args:
        settings: name the channels and the rate.
        devices: how many.
        session: of all of them.

    Attributes:
        rows: samples of a message.
        last_us: from the first of them to the last.
    """

    def __init__(self, settings: Settings, devices: int, session: str = "bench") -> None:
        sensors = settings.sensors
        self.channels = sensors.channels
        self.rate_hz = float(sensors.rate_hz)
        self.rows = round(self.rate_hz)
        self.last_us = round(1e6 * (self.rows - 1) / self.rate_hz)
        self.units = {"accelerometer": "m/s^2", "gyroscope": "rad/s"} | {one.name: one.unit for one in sensors.further}
        self.keys = [StreamKey(f"p{number:05}", f"watch{number:05}", session) for number in range(devices)]

    @cached_property
    def heads(self) -> list[bytes]:
        """By device: all fields but sequence, t0 and samples, of a map that has them."""
        found = []
        for key in self.keys:
            fields = key._asdict() | {"rate_hz": self.rate_hz, "channels": self.channels, "units": self.units}
            body = bytearray(msgspec.msgpack.encode(fields))
            body[0] += 3  # the first byte of a small map counts its fields
            found.append(bytes(body))
        return found

    @cached_property
    def pieces(self) -> list[bytes]:
        """Seconds of samples as bytes."""
        return [piece.tobytes() for piece in self.seconds]

    @cached_property
    def seconds(self) -> list[NDArray[np.float32]]:
        """Seconds of samples, float32 (rows, C)."""
        parts = [np.hstack([one.accel_g * _GRAVITY, one.gyro_rad_s]) for one in sample_recordings()[::7]]
        whole = np.concatenate(parts)
        whole = whole[: len(whole) // self.rows * self.rows].astype(np.float32)
        count = len(self.channels)
        columns = whole[:, np.arange(count) % whole.shape[1]].reshape(-1, self.rows, count)
        return [np.ascontiguousarray(piece) for piece in columns[:_PIECES]]

    @cached_property
    def _sizes(self) -> bytes:
        return b"\xa7samples\xc5" + len(self.pieces[0]).to_bytes(2, "big")

    def body(self, device: int, sequence: int, t0_us: int) -> bytes:
        """A message as it is sent."""
        numbers = b"\xa8sequence\xce%b\xa2t0\xcf%b" % (sequence.to_bytes(4, "big"), t0_us.to_bytes(8, "big"))
        pieces = self.pieces
        return self.heads[device] + numbers + self._sizes + pieces[(device * 7 + sequence) % len(pieces)]

    def envelope(self, device: int, sequence: int, t0_us: int) -> Envelope:
        """The same, decoded."""
        seconds = self.seconds
        samples = seconds[(device * 7 + sequence) % len(seconds)]
        return Envelope(self.keys[device], sequence, t0_us, self.rate_hz, samples)
