"""Messages as the phone app Sensor Logger pushes them."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

START_NS = 1_717_404_000_000_000_000
"""2024-06-03T08:40:00Z."""


def signal(seconds: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A movement: acceleration with gravity in m/s², rotation in rad/s, each (n, 3)."""
    swing = np.sin(2 * np.pi * 0.8 * seconds)[:, None]
    return np.array([0.0, 0.0, 9.80665]) + swing * [1.0, 2.0, 0.5], swing * [0.3, -0.2, 0.1]


def readings(name: str, seconds: NDArray[np.float64], values: NDArray[np.float64], **further: Any) -> list[Any]:
    """Readings of a sensor, as in `payload`."""
    stamps = START_NS + np.round(seconds * 1e9).astype(np.int64)
    return [
        {"name": name, "time": int(stamp), "values": dict(zip("xyz", row.tolist(), strict=True)), **further}
        for stamp, row in zip(stamps, values, strict=True)
    ]


def push(payload: list[Any], *, number: int = 0, **further: Any) -> bytes:
    """The body of a message."""
    return json.dumps(
        {
            "messageId": number,
            "sessionId": "4a7c9a3e-6c1d-4c56-9d5e-0b0c1d2e3f40",
            "deviceId": "c0ffee00-1234-5678-9abc-def012345678",
            "payload": payload,
            **further,
        }
    ).encode()


def iphone(first_s: float, seconds: float, *, number: int = 0, rate_hz: float = 100.0, **further: Any) -> bytes:
    """A message of an iPhone: acceleration without gravity, gravity, rotation, and what else it measures."""
    at = first_s + np.arange(round(seconds * rate_hz)) / rate_hz
    total = signal(at)[0]
    gravity = np.broadcast_to([0.0, 0.0, 9.80665], total.shape)
    payload = [
        *readings("accelerometer", at, total - gravity),
        *readings("gravity", at + 0.0003, gravity),
        *readings("gyroscope", at + 0.0021, signal(at + 0.0021)[1]),
        {"name": "battery", "time": START_NS, "values": {"batteryLevel": 0.9, "batteryState": "unplugged"}},
    ]
    return push(payload, number=number, **further)
