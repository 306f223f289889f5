"""Cut the log of a .gt3x file into pieces of whole records, and write each as a .gt3x file of its own.

A .gt3x file is a zip archive of info.txt and log.bin. The log is a sequence of records: 0x1E, type, seconds since 1970
(uint32), payload size (uint16), payload, checksum; integers are little-endian. Format: github.com/actigraph/
GT3X-File-Format.
"""

from __future__ import annotations

import struct
import zipfile
from collections import Counter
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import numpy as np

from har.errors import NotARecordingError, reason
from har.files import temporary_folder
from har.recordings.layouts._devices.decode import PIECE_BYTES, Metadata, Piece, decode
from har.recordings.layouts._devices.recordings import CUT, DAMAGED
from har.recordings.layouts._layout import sample_times

_HEAD = struct.Struct("<BBIH")
_SEPARATOR = 0x1E
_ACTIVITY, _METADATA, _PARAMETERS, _ACTIVITY2 = 0, 6, 21, 26
_RATIO = 64
_ROOM = 256 * 2**20
_CHUNK = 4 * 2**20
_INFO_BYTES = 64 * 1024
_ACCEL_SCALE, _SAMPLE_RATE = (0, 55), (1, 10)
"""Parameters by address space and identifier."""


def pieces(path: Path, faults: Counter[str]) -> Generator[Piece, None, None]:
    """The samples of a file, piece by piece; `faults` counts damage.

    Raises:
        NotARecordingError: it is no .gt3x file, is damaged, or has no log of raw samples.
    """
    where = str(path)
    try:
        with zipfile.ZipFile(path) as archive, temporary_folder("device") as folder:
            info = _info(archive, where)
            log = _Log(info, folder / "piece.gt3x", where)
            with archive.open("log.bin") as stream:
                yield from log.pieces(stream, faults)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        if isinstance(error, NotARecordingError):
            raise
        raise NotARecordingError(
            where=where,
            expected="a whole .gt3x file",
            got=f"a damaged one: {reason(error)}",
            remedy="It may have been cut short while it was copied: copy or download it again.",
        ) from error


def _info(archive: zipfile.ZipFile, where: str) -> dict[str, str]:
    """The lines of info.txt; refuses what is no archive of raw samples, and sizes that make no sense."""
    names = archive.namelist()
    if "info.txt" not in names or "log.bin" not in names:
        old = "activity.bin" in names
        raise NotARecordingError(
            where=where,
            expected="an archive with info.txt and log.bin",
            got="the older kind, with activity.bin" if old else f"one with {', '.join(names[:5]) or 'nothing'}",
            remedy="Export it as RAW CSV from ActiLife: har import actilife."
            if old
            else "Check that it is an ActiGraph file.",
        )
    log = archive.getinfo("log.bin")
    if log.file_size > max(_ROOM, _RATIO * log.compress_size):
        raise NotARecordingError(
            where=where,
            expected=f"a log of at most {_RATIO} times its compressed size",
            got=f"{log.file_size:,} bytes from {log.compress_size:,}",
            remedy="Recordings are not compressed that far: copy the file from the device again.",
        )
    with archive.open("info.txt") as file:
        text = file.read(_INFO_BYTES).decode("utf-8-sig", "replace")
    pairs = (line.partition(":") for line in text.splitlines() if ":" in line)
    return {key.strip(): value.strip() for key, _, value in pairs}


@dataclass(eq=False)
class _Log:
    """The records of one log.

    Attributes:
        info: the lines of info.txt.
        piece: where pieces are written.
        where: the file, as messages name it.
        before: records of metadata and parameters, which each piece begins with.
        scale: counts in one g.
        rate_hz: samples per second.
    """

    info: dict[str, str]
    piece: Path
    where: str
    before: bytearray = field(default_factory=bytearray)
    scale: float = 0.0
    rate_hz: float = 0.0

    def __post_init__(self) -> None:
        self.scale = float(self.info.get("Acceleration Scale") or _scale_of(self.info.get("Serial Number", "")))
        self.rate_hz = float(self.info.get("Sample Rate") or 0)
        # Later parameters of the file itself override these.
        self.before += _parameters(self.scale, self.rate_hz)

    def pieces(self, stream: IO[bytes], faults: Counter[str]) -> Generator[Piece, None, None]:
        held, wide = bytearray(), bytearray()
        for kind, record in records(stream, faults):
            if kind in (_METADATA, _PARAMETERS):
                self.before += record
                if kind == _PARAMETERS:
                    self._use(record)
            elif kind == _ACTIVITY:
                held += record
            elif kind == _ACTIVITY2:
                wide += record
            if len(held) >= PIECE_BYTES:
                yield self._decoded(held)
                held.clear()
            if len(wide) >= PIECE_BYTES:
                yield self._decoded_wide(wide)
                wide.clear()
        if held or not wide:
            yield self._decoded(held)
        if wide:
            yield self._decoded_wide(wide)

    def _use(self, record: bytes) -> None:
        for place in range(_HEAD.size, len(record) - 8, 8):
            space, identifier, value = struct.unpack_from("<HHI", record, place)
            if (space, identifier) == _ACCEL_SCALE:
                self.scale = _ssp(value) or self.scale
            elif (space, identifier) == _SAMPLE_RATE:
                self.rate_hz = value or self.rate_hz

    def _decoded(self, held: bytearray) -> Piece:
        # Without dates in info.txt: actfast would make room for 200 million samples.
        kept = {key: value for key, value in self.info.items() if key not in ("Start Date", "Last Sample Time")}
        kept["Sample Rate"] = f"{self.rate_hz:g}"
        lines = [f"{key}: {value}" for key, value in {**kept, "Start Date": 1, "Last Sample Time": 3_000_001}.items()]
        with zipfile.ZipFile(self.piece, "w", zipfile.ZIP_STORED) as archive:
            archive.writestr("info.txt", "\r\n".join(lines))
            archive.writestr("log.bin", bytes(self.before + held))
        return decode(self.piece, self.where)

    def _decoded_wide(self, wide: bytearray) -> Piece:
        """Records of type 26, which actfast passes over: 16-bit counts of x, y, z."""
        stamps, sizes, payloads, place = [], [], [], 0
        while place < len(wide):
            _, _, second, size = _HEAD.unpack_from(wide, place)
            count = size // 6
            begin = place + _HEAD.size
            payloads.append(wide[begin : begin + 6 * count])
            stamps.append(second)
            sizes.append(count)
            place = begin + size + 1
        counts = np.frombuffer(b"".join(payloads), "<i2").reshape(-1, 3)
        number = np.arange(len(counts)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        seconds = np.repeat(np.array(stamps, np.int64), sizes)
        local_us = seconds * 1_000_000 + sample_times(number, self.rate_hz)
        metadata: Metadata = {"info": {**self.info, "Sample Rate": f"{self.rate_hz:g}"}, **self._texts()}
        return Piece(local_us, (counts / np.float32(self.scale)).astype(np.float32), None, metadata, 0)

    def _texts(self) -> dict[str, dict[str, str]]:
        return {"metadata": dict(self._decoded(bytearray()).metadata.get("metadata", {}))}


def records(stream: IO[bytes], faults: Counter[str]) -> Iterator[tuple[int, bytes]]:
    """Type and bytes of each whole record; after damage, reading goes on at the next two records that look sound."""
    buffer, place, lost = b"", 0, False
    while True:
        if len(buffer) - place < _HEAD.size + 0x10000:
            more = stream.read(_CHUNK)
            buffer, place = buffer[place:] + more, 0
            at_end = not more
        else:
            at_end = False
        size = _size(buffer, place)
        if size is None:
            if at_end and len(buffer) - place < _HEAD.size:
                break
            faults[DAMAGED] += not lost
            lost = True
            place = _sound(buffer, place + 1)
            if place < 0:
                if at_end:
                    return
                buffer, place = buffer[-_HEAD.size :], 0
            continue
        if place + size > len(buffer):
            break
        lost = False
        yield buffer[place + 1], buffer[place : place + size]
        place += size
    if place < len(buffer):
        faults[CUT] += 1


def _size(buffer: bytes, place: int) -> int | None:
    """Bytes of the record at that place; None if there is none."""
    if place + _HEAD.size > len(buffer) or buffer[place] != _SEPARATOR:
        return None
    return _HEAD.size + int(_HEAD.unpack_from(buffer, place)[3]) + 1


def _sound(buffer: bytes, place: int) -> int:
    """The next place where a record is followed by another; -1: none."""
    while (place := buffer.find(_SEPARATOR, place)) >= 0:
        size = _size(buffer, place)
        if size is not None and _size(buffer, place + size) is not None and buffer[place + 1] <= _ACTIVITY2:
            return place
        place += 1
    return -1


def _scale_of(serial: str) -> float:
    """Counts in one g of devices whose info.txt does not say, by the first letters of the serial number."""
    return 341.0 if serial.startswith(("NEO", "CLE")) else 256.0


def _parameters(scale: float, rate_hz: float) -> bytes:
    """A record of parameters."""
    payload = struct.pack("<HHI", *_ACCEL_SCALE, _to_ssp(scale)) + struct.pack("<HHI", *_SAMPLE_RATE, round(rate_hz))
    record = _HEAD.pack(_SEPARATOR, _PARAMETERS, 0, len(payload)) + payload
    return record + bytes([_checksum(record)])


def _checksum(record: bytes) -> int:
    """The complement of the exclusive or of all bytes."""
    return int(np.bitwise_xor.reduce(np.frombuffer(record, np.uint8))) ^ 0xFF


def _ssp(value: int) -> float:
    """A float of the Simple Serial Protocol: 8 bits of exponent, 24 bits of fraction, both signed."""
    exponent, fraction = value >> 24, value & 0xFFFFFF
    exponent -= 256 if exponent > 127 else 0
    fraction -= 2**24 if fraction >= 2**23 else 0
    return float(fraction / 2**23 * 2.0**exponent)


def _to_ssp(number: float) -> int:
    fraction, exponent = np.frexp(number)
    return (int(exponent) & 0xFF) << 24 | round(float(fraction) * 2**23) & 0xFFFFFF
