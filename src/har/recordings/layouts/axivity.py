"""Axivity AX3 and AX6: .cwa files, as copied from the device.

A header of 1,024 bytes and blocks of 512 bytes, each with a stamp, 40 to 120 samples and a checksum. Format: Docs/ax3/
ax3-technical.md and cwa.md in the repository digitalinteraction/openmovement. The AX6 has a gyroscope.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterator
from pathlib import Path
from urllib.parse import parse_qs

from har.errors import NotARecordingError
from har.files import temporary_folder
from har.recordings.layouts._devices.decode import PIECE_BYTES, Metadata, Piece, decode
from har.recordings.layouts._devices.recordings import CUT, OPTIONS, Header, device_recordings
from har.recordings.layouts._devices.timing import show_offset
from har.recordings.layouts._layout import Layout, RawRecording, Source

_HEADER_BYTES = 1024
_BLOCK_BYTES = 512
_SITES = ("", "left wrist", "right wrist", "waist", "left ankle", "right ankle", "left thigh", "right thigh")
"""The configuration program writes the site as a number, or as text."""


def _find(source: Source) -> list[Path]:
    return source.files("*.cwa")


def _read(path: Path, source: Source) -> Iterator[RawRecording]:
    return device_recordings(path, source, _pieces, _header)


def _pieces(path: Path, faults: Counter[str]) -> Generator[Piece, None, None]:
    where = str(path)
    with path.open("rb") as file, temporary_folder("device") as folder:
        head = file.read(_HEADER_BYTES)
        if len(head) < _HEADER_BYTES or not head.startswith(b"MD"):
            raise NotARecordingError(
                where=where,
                expected="a .cwa file: a header of 1,024 bytes that begins with MD",
                got=f"{len(head)} bytes that begin with {head[:8]!r}",
                remedy="Copy CWA-DATA.CWA from the device again. CSV exports are read by `har import csv`.",
            )
        piece = folder / "piece.cwa"
        while content := file.read(PIECE_BYTES):
            if len(content) % _BLOCK_BYTES:
                faults[CUT] += 1
            piece.write_bytes(head + content)
            yield decode(piece, where)


def _header(metadata: Metadata) -> Header:
    device, configuration = metadata.get("device", {}), metadata.get("configuration", {})
    entered = parse_qs(metadata.get("session", {}).get("annotation", ""))
    site = entered.get("_p", [""])[0].strip()
    if site.isdecimal():
        site = _SITES[int(site)] if int(site) < len(_SITES) else ""
    minutes = int(device.get("time_zone", "-1"))
    return Header(
        # The AX3 has three numbers for its hardware (0, 255 and 23), of which actfast knows two.
        model=f"Axivity {device.get('hardware_type', '').replace('Unknown', 'AX3')}".strip(),
        serial=device.get("device_id", ""),
        rate_hz=_rate_hz(float(configuration.get("sample_rate_hz", "0"))),
        subject=entered.get("_sc", [""])[0].strip(),
        placement=site.lower(),
        utc_offset="" if minutes == -1 else show_offset(minutes * -60_000_000),
    )


def _rate_hz(stated: float) -> float:
    """The rate without the rounding of the metadata: 12.5 and 6.25 Hz are stated as whole numbers."""
    return {13.0: 12.5, 12.0: 12.5, 6.0: 6.25}.get(stated, stated)


LAYOUT = Layout("axivity", "Axivity AX3 and AX6, .cwa files", _find, _read, OPTIONS)
