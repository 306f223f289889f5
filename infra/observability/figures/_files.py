"""Figures of folders: files that wait, the prediction log, free disk."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from har.settings import Settings
from infra.observability.figures._metric import Gauge, gauge

_UNFINISHED = (".part", ".tmp", ".partial", ".crdownload")
_FOLDERS = ("inbox", "lake", "mlflow", "bentoml", "journal", "reports")
_LINE_BYTES = 65_536


def files(settings: Settings) -> list[Gauge]:
    """Files in the inbox and in quarantine, and files of lines that `har collect` could not read."""
    bad = sum(1 for _ in settings.path("journal").glob("*.jsonl.bad"))
    # Messages of the stream are kept there, too; its ledger counts them.
    quarantined = sum(1 for name in _files(settings.path("quarantine"), "stream") if not name.endswith(".json"))
    waiting = sum(1 for name in _files(settings.path("inbox")) if not name.endswith(_UNFINISHED))
    return [
        gauge("inbox_files", "Files in the inbox, ingested or not", waiting),
        gauge("quarantine_files", "Recordings in quarantine", quarantined),
        gauge("bad_log_files", "Files of lines of the prediction log that could not be read", bad),
    ]


def journal(settings: Settings) -> list[Gauge]:
    """How much of the prediction log was not collected yet, and since when its oldest line waits."""
    size = count = 0
    oldest: float | None = None
    for path in settings.path("journal").glob("*.jsonl"):
        with contextlib.suppress(FileNotFoundError):  # collected meanwhile
            size += path.stat().st_size
            count += 1
            received = _first_received(path)
            if received is not None:
                oldest = received if oldest is None else min(oldest, received)
    return [
        gauge("journal_files", "Files of the prediction log that wait for har collect", count),
        gauge("journal_bytes", "Size of the prediction log that waits for har collect", size),
        gauge("journal_oldest_timestamp_seconds", "When the oldest line that waits was written", oldest),
    ]


def disk(settings: Settings) -> list[Gauge]:
    """Size and free space of the file systems of the project's folders."""
    size, free = {}, {}
    for name in _FOLDERS:
        place = settings.location(name)
        if not place.is_local:
            continue
        folder = place.local
        while not folder.exists():
            folder = folder.parent
        size[name], _, free[name] = shutil.disk_usage(folder)
    return [
        gauge("disk_size_bytes", "Size of the file system of a folder", size, labels=["folder"]),
        gauge("disk_free_bytes", "Free space of the file system of a folder", free, labels=["folder"]),
    ]


def _files(folder: Path, *without: str) -> Iterator[str]:
    """Names of the files below a folder that are not hidden, nor in one of these folders in it."""
    for place, folders, names in os.walk(folder):
        left = without if Path(place) == folder else ()
        folders[:] = [name for name in folders if not name.startswith(".") and name not in left]
        yield from (name for name in names if not name.startswith("."))


def _first_received(path: Path) -> float | None:
    """When the first line of a log file was written, in seconds since 1970; None: there is no whole line yet."""
    with path.open("rb") as stream:
        line = stream.readline(_LINE_BYTES)
    if not line:
        return None
    try:
        return float(json.loads(line)["received_us"]) / 1e6
    except (ValueError, KeyError, TypeError):  # longer than what was read, cut off, or not a line of ours
        return path.stat().st_mtime
