"""ActiGraph: .gt3x files with raw samples, as downloaded by ActiLife or CentrePoint.

The accelerometer is read; the gyroscope and magnetometer of a GT9X Link, which few studies switch on, are passed over.
In idle sleep the device writes nothing: pauses stay pauses, and are counted.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from har.recordings.layouts._devices.decode import Metadata
from har.recordings.layouts._devices.gt3x import pieces
from har.recordings.layouts._devices.recordings import OPTIONS, Header, device_recordings
from har.recordings.layouts._layout import Layout, RawRecording, Source
from har.recordings.layouts._look import Look


def _find(source: Source) -> list[Path]:
    return source.files("*.gt3x")


def _read(path: Path, source: Source) -> Iterator[RawRecording]:
    return device_recordings(path, source, pieces, _header)


def _header(metadata: Metadata) -> Header:
    info = metadata.get("info", {})
    entered = _entered(metadata) | {key: value for key, value in info.items() if value}
    site = " ".join(one for one in (entered.get("Side", ""), entered.get("Limb", "")) if one)
    return Header(
        model=f"ActiGraph {info.get('Device Type', '')}".strip(),
        serial=info.get("Serial Number", ""),
        rate_hz=float(info.get("Sample Rate") or 0),
        subject=entered.get("Subject Name", "") or entered.get("SubjectName", ""),
        placement=site.lower(),
        utc_offset=info.get("TimeZone", ""),
    )


def _entered(metadata: Metadata) -> dict[str, str]:
    """What was entered about the person, from the log's record of it."""
    for text in metadata.get("metadata", {}).values():
        try:
            content = json.loads(text)
        except ValueError:
            continue  # a record of another kind
        if isinstance(content, dict) and content.get("MetadataType") == "Bio":
            return {key: value for key, value in content.items() if isinstance(value, str) and value}
    return {}


def _recognises(look: Look) -> bool:
    return look.is_archive and "log.bin" in look.names


LAYOUT = Layout(
    "actigraph", "ActiGraph .gt3x files with raw samples", _find, _read, OPTIONS, _recognises, archives=True
)
