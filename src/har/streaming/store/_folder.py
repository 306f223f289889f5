"""The folder of the shards: how many there are, which one a subject belongs to, and who works on it."""

from __future__ import annotations

import os
import zlib
from pathlib import Path

from har.errors import StorageError

_COUNT = "shards"


def shard_of(subject: str, shards: int) -> int:
    """The shard of a subject: CRC-32 of its name in UTF-8, modulo the number of shards."""
    return zlib.crc32(subject.encode()) % shards


def count_of_shards(folder: Path, wanted: int) -> int:
    """How many shards the folder has: as many as were wanted when it was made.

    A later change of the setting does not move subjects between files, in which their messages wait: delete the folder
    after `har stream flush` to begin anew.

    Raises:
        StorageError: the folder can be neither read nor made.
    """
    note = folder / _COUNT
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not note.exists():
            draft = folder / f".{_COUNT}.{os.getpid()}.{os.urandom(4).hex()}"
            draft.write_text(f"{wanted}\n")
            try:
                os.link(draft, note)
            except FileExistsError:  # another process was faster
                pass
            finally:
                draft.unlink()
        return max(1, int(note.read_text()))
    except ValueError as error:
        raise StorageError(
            where=str(note),
            expected="the number of shards",
            got=str(error),
            remedy="Write the number of files shard-*.sqlite in this folder into it.",
        ) from error
    except OSError as error:
        raise StorageError.refused(folder, error) from error


def known_shards(folder: Path) -> int:
    """How many shards the folder has; 0: no stream was ever received here."""
    return count_of_shards(folder, 1) if (folder / _COUNT).exists() else 0


def database(folder: Path, number: int) -> Path:
    """The file of a shard."""
    return folder / f"shard-{number:02}.sqlite"
