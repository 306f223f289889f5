"""Lanes: files of the inbox that must be ingested one after the other. Lanes may run at the same time.

The result of ingestion depends on the order of a subject's files (the session that came first keeps shared samples),
and on which of two equal files comes first. Such files are in one lane, in the order of dates; so whatever runs the
lanes, the lake is the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from har.recordings import InboxFile

CHUNK_BYTES = 200_000_000
"""Approximate number of bytes of text read between two commits; a subject-day is never split."""
PARQUET = 8
"""A byte of Parquet holds about as many samples as so many bytes of text."""
LEAST_BYTES = 20_000_000
"""A lane with less costs more for its commits than a further worker gains."""
_EDGE_BYTES = 4096


@dataclass(frozen=True)
class Lane:
    """Chunks to ingest in this order, and their bytes."""

    chunks: tuple[tuple[InboxFile, ...], ...]
    size: int

    def __str__(self) -> str:
        files = [file for chunk in self.chunks for file in chunk]
        dates, subjects = {file.date for file in files}, {file.subject for file in files}
        days = f"{min(dates)}" if len(dates) == 1 else f"{min(dates)} to {max(dates)}"
        who = ", ".join(sorted(subjects)) if len(subjects) < 4 else f"{len(subjects)} subjects"
        return f"{days}, {who} ({len(files)} files)"


def in_lanes(files: Sequence[InboxFile], workers: int, *, by_date: bool) -> list[Lane]:
    """Distribute files over lanes of about equal size, at most two per worker.

    Args:
        files: of the inbox.
        workers: how many lanes can run at a time.
        by_date: whether a chunk holds files of one date only.
    """
    sizes = {file.path: _size(file.path) for file in files}
    kin: dict[str, list[InboxFile]] = {}
    for file in files:
        kin.setdefault(file.subject, []).append(file)
    total = sum(sizes.values())
    share = max(LEAST_BYTES, total // (2 * workers)) if workers > 1 else total
    lanes: list[list[InboxFile]] = []
    filled = share
    for group in _groups(kin, sizes):
        if filled >= share:
            lanes.append([])
            filled = 0
        lanes[-1] += group
        filled += sum(sizes[file.path] for file in group)
    return [Lane(tuple(chunks(lane, sizes, by_date=by_date)), sum(sizes[file.path] for file in lane)) for lane in lanes]


def chunks(
    files: Sequence[InboxFile], sizes: dict[Path, int] | None = None, *, by_date: bool
) -> Iterator[tuple[InboxFile, ...]]:
    """Files in chunks of about `CHUNK_BYTES`, by date, subject and session."""
    chunk: list[InboxFile] = []
    total = 0
    for file in sorted(files, key=lambda file: (file.date, file.subject, file.session, file.path)):
        size = _size(file.path) if sizes is None else sizes[file.path]
        size *= PARQUET if file.path.suffix.lower() == ".parquet" else 1
        if chunk:
            last = chunk[-1]
            full = (file.date, file.subject) != (last.date, last.subject) and total + size > CHUNK_BYTES
            if full or (by_date and file.date != last.date):
                yield tuple(chunk)
                chunk, total = [], 0
        chunk.append(file)
        total += size
    if chunk:
        yield tuple(chunk)


def _groups(kin: dict[str, list[InboxFile]], sizes: dict[Path, int]) -> Iterator[list[InboxFile]]:
    """The files of each subject; those of subjects who may have the same file are together."""
    leader = {subject: subject for subject in kin}

    def led_by(subject: str) -> str:
        while leader[subject] != subject:
            subject = leader[subject]
        return subject

    alike: dict[int, list[InboxFile]] = {}
    for files in kin.values():
        for file in files:
            alike.setdefault(sizes[file.path], []).append(file)
    for same_size in alike.values():
        if len({file.subject for file in same_size}) < 2:
            continue
        first: dict[bytes, str] = {}
        for file in same_size:
            one, other = sorted((led_by(file.subject), led_by(first.setdefault(_edges(file.path), file.subject))))
            leader[other] = one
    together: dict[str, list[InboxFile]] = {}
    for subject in sorted(kin):
        together.setdefault(led_by(subject), []).extend(kin[subject])
    yield from together.values()


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:  # it is gone, or will be named when it is read
        return 0


def _edges(path: Path) -> bytes:
    """A hash of the first and the last bytes, which tells most files of one size apart without reading them."""
    try:
        with path.open("rb") as file:
            begin = file.read(_EDGE_BYTES)
            file.seek(max(0, path.stat().st_size - _EDGE_BYTES))
            return hashlib.sha256(begin + file.read(_EDGE_BYTES)).digest()
    except OSError:
        return b""
