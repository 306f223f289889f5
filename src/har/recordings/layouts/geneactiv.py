"""ActivInsights GENEActiv: .bin files, as extracted from the device.

Text: 59 lines of header, then pages of ten lines, the last of which has 300 samples of 6 bytes in hexadecimal digits.
Format: "Decoding .bin files" in ActivInsights' GENEActiv instructions for use.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Generator, Iterator
from pathlib import Path

from har.errors import NotARecordingError
from har.files import temporary_folder
from har.recordings.layouts._devices.decode import PIECE_BYTES, Metadata, Piece, decode
from har.recordings.layouts._devices.recordings import CUT, OPTIONS, Header, device_recordings
from har.recordings.layouts._layout import Layout, RawRecording, Source

_HEADER_LINES = 59
_HEADER_LIMIT = 64 * 1024
_PAGE = b"Recorded Data"
_PAGES = re.compile(rb"(Number of Pages:)[^\r\n]*")
_BEGIN = b"Device Identity"


def _find(source: Source) -> list[Path]:
    return source.files("*.bin")


def _read(path: Path, source: Source) -> Iterator[RawRecording]:
    return device_recordings(path, source, _pieces, _header)


def _pieces(path: Path, faults: Counter[str]) -> Generator[Piece, None, None]:
    where = str(path)
    with path.open("rb") as file, temporary_folder("device") as folder:
        head = b"".join(file.readline(_HEADER_LIMIT) for _ in range(_HEADER_LINES))
        if not head.lstrip(b"\xef\xbb\xbf").startswith(_BEGIN):
            raise NotARecordingError(
                where=where,
                expected="a .bin file of a GENEActiv, whose first line is 'Device Identity'",
                got=f"a file that begins with {head[:16]!r}",
                remedy="Extract the recording with the GENEActiv software again. CSV exports: see `har import csv`.",
            )
        piece, rest = folder / "piece.bin", b""
        while content := file.read(PIECE_BYTES):
            content = rest + content
            end = content.rfind(_PAGE)
            rest = content[end:]
            if end > 0:
                yield _decode(piece, head, content[:end], where)
        if rest:
            complete = rest.count(b"\n") >= 9 and len(rest.splitlines()[-1].strip()) % 12 == 0
            if not complete:
                faults[CUT] += 1
                rest = b""
            yield _decode(piece, head, rest, where)


def _decode(piece: Path, head: bytes, pages: bytes, where: str) -> Piece:
    # actfast makes room for as many pages as the header says.
    head = _PAGES.sub(rb"\g<1>%d" % max(1, pages.count(_PAGE)), head)
    piece.write_bytes(head + pages)
    return decode(piece, where)


def _header(metadata: Metadata) -> Header:
    identity, configuration = metadata.get("Device Identity", {}), metadata.get("Configuration Info", {})
    entered = metadata.get("Subject Info", {})
    rate = re.match(r"[\d.]+", configuration.get("Measurement Frequency", "").strip())
    return Header(
        model=identity.get("Device Type", "GENEActiv").strip(),
        serial=identity.get("Device Unique Serial Code", "").strip(),
        rate_hz=float(rate[0]) if rate else 0.0,
        subject=entered.get("Subject Code", "").strip(),
        placement=entered.get("Device Location Code", "").strip().lower(),
        utc_offset=configuration.get("Time Zone", "").strip(),
    )


LAYOUT = Layout("geneactiv", "ActivInsights GENEActiv, .bin files", _find, _read, OPTIONS)
