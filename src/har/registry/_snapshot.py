"""A cache of the registry's content: while the database is unchanged, MLflow is not needed to read it.

Importing MLflow takes three seconds. SQLite counts transactions in its file's header (https://sqlite.org/fileformat,
section 1.3.7), so 28 bytes show whether the database has changed.
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
    """A usable version in MLflow; `metrics` and `params` are those of its run, None if they were not read."""

    version: int
    run_id: str
    created_ms: int
    tags: dict[str, str]
    metrics: dict[str, float] | None = None
    params: dict[str, str] | None = None


@dataclass(frozen=True)
class Contents:
    """A registered model: its versions, newest first, its aliases and its tags; `known`: MLflow has an entry for it."""

    rows: tuple[Row, ...] = ()
    aliases: dict[str, int] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    known: bool = False


def stamp_of(database: Path) -> str | None:
    """A text that changes with every transaction; None if the database file alone does not tell."""
    logs = (database.with_name(database.name + ending) for ending in ("-wal", "-journal"))
    try:
        # With a write-ahead log or an interrupted transaction, the newest state is in another file.
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
    """The cached content of this model at this stamp; None if there is none."""
    cached = _load(path, model)
    return cached[1] if cached is not None and cached[0] == stamp else None


def outdated(path: Path, model: str) -> Contents:
    """The cached content of this model at whatever stamp: what never changes in it still holds."""
    cached = _load(path, model)
    return Contents() if cached is None else cached[1]


def _load(path: Path, model: str) -> tuple[str, Contents] | None:
    try:
        cached: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if (cached["format"], cached["model"]) != (_FORMAT, model):
            return None
        content = cached["contents"]
        rows = tuple(Row(**row) for row in content["rows"])
        return cached["stamp"], Contents(rows, content["aliases"], content["tags"], content["known"])
    except (OSError, ValueError, KeyError, TypeError):
        return None  # no cache, or one of another release: the caller asks MLflow


def write(path: Path, model: str, stamp: str, contents: Contents) -> None:
    """Cache the content at this stamp; a folder that cannot be written is no error."""
    cached = {"format": _FORMAT, "model": model, "stamp": stamp, "contents": asdict(contents)}
    try:
        write_atomically(path, json.dumps(cached))
    except OSError:
        return  # the cache only saves time
