"""A small FIT encoder, for fixtures: enough of the protocol for files with sensor messages."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

EPOCH_S = 631_065_600
"""Unix time of FIT's own epoch, 1989-12-31."""
FILE_ID, RECORD, CORRELATION, GYROSCOPE, ACCELEROMETER, CALIBRATION = 0, 20, 162, 164, 165, 167
# Field type: FIT base type number, struct code, bytes.
TYPES = {
    "enum": (0x00, "B", 1),
    "uint8": (0x02, "B", 1),
    "sint16": (0x83, "h", 2),
    "uint16": (0x84, "H", 2),
    "sint32": (0x85, "i", 4),
    "uint32": (0x86, "I", 4),
    "float32": (0x88, "f", 4),
}
Field = tuple[int, str, object]
"""Number, type, and one value or several."""


def crc16(content: bytes, crc: int = 0) -> int:
    """The checksum of the FIT protocol: CRC-16 with the polynomial 0xA001, bit by bit."""
    for byte in content:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0xA001 if crc & 1 else 0)
    return crc


def write_fit(path: Path, messages: Iterable[tuple[int, list[Field]]]) -> Path:
    """Write messages, each a global number and its fields; every one gets a definition of its own."""
    body = b"".join(_definition(number, fields) + _data(fields) for number, fields in messages)
    header = struct.pack("<BBHI4s", 14, 0x20, 2189, len(body), b".FIT")
    header += struct.pack("<H", crc16(header))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(header + body + struct.pack("<H", crc16(header + body)))
    return path


def _values(value: object) -> list[float]:
    return list(value) if isinstance(value, list | tuple | np.ndarray) else [value]  # type: ignore[list-item]


def _definition(number: int, fields: list[Field]) -> bytes:
    head = struct.pack("<BBBHB", 0x40, 0, 0, number, len(fields))
    return head + b"".join(
        struct.pack("<BBB", one, len(_values(value)) * TYPES[kind][2], TYPES[kind][0]) for one, kind, value in fields
    )


def _data(fields: list[Field]) -> bytes:
    parts = [struct.pack(f"<{len(_values(value))}{TYPES[kind][1]}", *_values(value)) for _, kind, value in fields]
    return b"\x00" + b"".join(parts)


def file_id() -> tuple[int, list[Field]]:
    """The message that every FIT file begins with: an activity by Garmin."""
    return FILE_ID, [(0, "enum", 4), (1, "uint16", 1), (2, "uint16", 3113), (3, "uint32", 1)]


def batches(
    number: int, times_ms: NDArray[np.int64], values: NDArray[np.generic], fields: tuple[int, ...], kind: str
) -> list[tuple[int, list[Field]]]:
    """Sensor messages of 25 samples each; `times_ms` count from FIT's own epoch."""
    messages = []
    for first in range(0, len(times_ms), 25):
        times, part = times_ms[first : first + 25], values[first : first + 25]
        start = int(times[0])
        stamp: list[Field] = [(253, "uint32", start // 1000), (0, "uint16", start % 1000)]
        offsets: Field = (1, "uint16", [int(one) - start for one in times])
        axes: list[Field] = [(one, kind, column.tolist()) for one, column in zip(fields, part.T, strict=True)]
        messages.append((number, [*stamp, offsets, *axes]))
    return messages
