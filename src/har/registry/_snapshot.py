"""What a registry's database said, kept beside it: as long as the database is unchanged, MLflow need not be asked.

Importing MLflow takes three seconds; SQLite counts its transactions in the file's header (https://sqlite.org/fileformat,
section 1.3.7), so that an unchanged database is known by a look at 28 bytes.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from har.files import write_atomically

_HEADER = 28
_COUNTER = slice(24, 28)
_FORMAT = 1


@dataclass(frozen=True)
class Row:
    """A usable version as MLflow knows it; `metrics` and `params` are its run's, None: not asked yet."""

    version: int
    run_id: str
    created_ms: int
    tags: dict[str, str]
    metrics: dict[str, float] | None = None
    params: dict[str, str] | None = None


@dataclass(frozen=True)
class Contents:
    """Everything that is read of a registered model: its versions, newest first, its aliases and its tags."""

    rows: tuple[Row, ...] = ()
    aliases: dict[str, int] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    known: bool = False


def stamp_of(database: Path) -> str | None:
    """A text that changes with every transaction; None where the file alone does not tell."""
    logs = (database.with_name(database.name + ending) for ending in ("-wal", "-journal"))
    try:
        # With a write-ahead log, or a transaction that was broken off, the newest state is in another file.
        if any(log.exists() and log.stat().st_size for log in logs):
            return None
        with database.open("rb") as file:
            header = file.read(_HEADER)
        status = database.stat()
    except OSError:
        return None
    if not header.startswith(b"SQLite format 3\0"):
        return None
    return f"{header[_COUNTER].hex()}-{status.st_size}-{status.st_mtime_ns}"


def read(path: Path, model: str, stamp: str | None) -> Contents | None:
    """What was kept of this model at this stamp; None if that is nothing."""
    if stamp is None:
        return None
    try:
        kept: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if (kept["format"], kept["model"], kept["stamp"]) != (_FORMAT, model, stamp):
            return None
        content = kept["contents"]
        return Contents(
            tuple(Row(**row) for row in content["rows"]), content["aliases"], content["tags"], content["known"]
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None  # kept by another release, or not at all: MLflow knows


def write(path: Path, model: str, stamp: str, contents: Contents) -> None:
    """Keep what MLflow said at this stamp; a folder that cannot be written keeps nothing."""
    kept = {"format": _FORMAT, "model": model, "stamp": stamp, "contents": asdict(contents)}
    try:
        write_atomically(path, json.dumps(kept))
    except OSError:
        return  # only speed is lost
