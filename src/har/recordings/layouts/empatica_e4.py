"""Empatica E4: the zip of a session from E4 connect, unpacked or not.

`ACC.csv` has no header: the first line is the start in seconds since 1970 (UTC), the second the rate (32 Hz), once for
each axis; then x, y, z in 1/64 g. There is no gyroscope. `tags.csv` holds the times at which the button was pressed.

Source: Empatica's support pages "Data export and formatting from E4 connect" and "How is the acceleration data
formatted in E4 connect".
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np

from har.errors import MalformedRowError, NotARecordingError
from har.recordings.layouts._held.bundle import Bundle, bundle_paths, bundles, read_entry
from har.recordings.layouts._held.identity import OPTIONS, identity
from har.recordings.layouts._held.series import Series, recording
from har.recordings.layouts._layout import Layout, RawRecording, Source, sample_times
from har.recordings.layouts._look import Look
from har.recordings.layouts._tables.text import text_rows

_FILE = "ACC.csv"
_BESIDE = {"bvp.csv", "eda.csv", "temp.csv", "hr.csv", "ibi.csv", "tags.csv", "info.txt"}
_COUNTS_PER_G = 64.0
_HEAD_BYTES = 4096
_MOST_TAGS = 1 << 20
_PRESSED = "presses of the button (tags.csv), which are no labels and were not taken"
_START = re.compile(r"\d{9,10}(\.\d+)?")


def _holds(names: Collection[str]) -> bool:
    return _FILE.casefold() in names and bool(_BESIDE & set(names))


def _recognises(look: Look) -> bool:
    if look.names:
        return _holds(look.basenames)
    first = [field.strip() for field in look.lines[0].split(",")] if look.lines else []
    return len(first) == 3 and len(set(first)) == 1 and _START.fullmatch(first[0]) is not None


def _find(source: Source) -> list[Path]:
    return bundle_paths(source, lambda names: _FILE.casefold() in names)


def _read(path: Path, source: Source) -> Iterator[RawRecording]:
    with bundles(path, source) as found:
        sessions = [bundle for bundle in found if _FILE in bundle]
        if not sessions:
            names = sorted(name for bundle in found for name in bundle.entries)
            got = ", ".join(names[:8]) or "an archive without files"
            raise NotARecordingError.missing(
                str(path), f"{_FILE} among {got}", "Download the session's raw data again."
            )
        for bundle in sessions:
            yield _session(bundle, path, source)


def _session(bundle: Bundle, path: Path, source: Source) -> RawRecording:
    where = bundle.place(_FILE)
    start_us, rate_hz = _head(bundle, where)
    rows = text_rows(bundle.entry(_FILE), where, numbers=["x", "y", "z"], header=["x", "y", "z"], separator=",", skip=2)
    values = rows.xyz(["x", "y", "z"]) / _COUNTS_PER_G
    faults = rows.faults + Counter({_PRESSED: _presses(bundle)})
    return recording(
        where,
        identity(path, source, session=bundle.name, device="empatica-e4", placement="wrist"),
        "utc",
        Series(start_us + sample_times(rows.numbers, rate_hz), values, "g", faults),
        None,
        max_gap_s=source.settings.recordings.max_gap_s,
    )


def _head(bundle: Bundle, where: str) -> tuple[int, float]:
    """The start in µs since 1970 and the rate in Hz."""
    text = read_entry(bundle.entry(_FILE), _HEAD_BYTES)[:_HEAD_BYTES].decode("utf-8-sig", "replace")
    lines = [[field.strip() for field in line.split(",")] for line in text.splitlines()[:2]]
    fields = [line[0] for line in lines]
    try:
        seconds, _, fraction = fields[0].partition(".")
        start_us, rate_hz = int(seconds) * 1_000_000 + int(f"{fraction:0<6}"[:6]), float(fields[1])
        if not (0 < rate_hz < np.inf and all(len(set(line)) == 1 for line in lines)):
            raise ValueError
    except (IndexError, ValueError) as error:
        raise MalformedRowError(
            where=where,
            expected="the start in seconds since 1970 in the first line, and samples per second in the second",
            got=" and ".join(repr(",".join(line)) for line in lines)[:200] or "no lines",
            remedy="Download the session again from E4 connect; if the table was made by another program, `har import "
            "csv` reads it.",
            line=1,
        ) from error
    return start_us, rate_hz


def _presses(bundle: Bundle) -> int:
    if "tags.csv" not in bundle:
        return 0
    return sum(bool(line.strip()) for line in read_entry(bundle.entry("tags.csv"), _MOST_TAGS).splitlines())


LAYOUT = Layout(
    "empatica-e4",
    "Empatica E4: the zip of a session, or its folder (accelerometer only)",
    _find,
    _read,
    OPTIONS,
    _recognises,
    archives=True,
)
