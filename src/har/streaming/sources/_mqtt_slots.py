"""Names by which a broker knows the consumers of a project, so that a new one takes over what a dead one was sent.

A broker keeps messages for a client that is away, by the client's name. So names are numbered, each is held by one
process at a time (a lock that ends with the process), and what was sent to a name that nobody holds can be fetched by
whoever takes it.
"""

from __future__ import annotations

import secrets
from pathlib import Path

from filelock import FileLock, Timeout

_MOST = 256


class Slot:
    """A name that this process holds."""

    def __init__(self, lock: FileLock, marker: Path, client_id: str) -> None:
        self._lock = lock
        self._marker = marker
        self.client_id = client_id
        marker.touch()

    def forget(self) -> None:
        """The broker has nothing for this name any more."""
        self._marker.unlink(missing_ok=True)
        self.release()

    def release(self) -> None:
        """Let another process take the name."""
        self._lock.release()


class Slots:
    """The names of one folder of stream state, for a group of consumers."""

    def __init__(self, folder: Path, group: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._prefix = f"har-{group or 'alone'}-{_folder_id(folder)}"
        self._group = group or "alone"

    def take(self, *, most: int = _MOST) -> Slot | None:
        """The lowest of `most` names that no process holds; None: all are held."""
        return next((slot for number in range(most) if (slot := self._take(number)) is not None), None)

    def orphans(self) -> list[Slot]:
        """Names that have been in use, and that no process holds now: this one holds them from now on."""
        found = sorted(self._folder.glob(f"mqtt-{self._group}-*.used"))
        numbers = [int(path.stem.rpartition("-")[2]) for path in found]
        return [slot for number in numbers if (slot := self._take(number)) is not None]

    def _take(self, number: int) -> Slot | None:
        stem = self._folder / f"mqtt-{self._group}-{number}"
        lock = FileLock(stem.with_suffix(".lock"), is_singleton=False)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return None
        return Slot(lock, stem.with_suffix(".used"), f"{self._prefix}-{number}")


def _folder_id(folder: Path) -> str:
    """A name of this folder's own: two projects that share a broker must not take each other's messages."""
    path = folder / "mqtt-id"
    made = folder / f"mqtt-id.{secrets.token_hex(4)}"
    made.write_text(secrets.token_hex(4))
    try:
        path.hardlink_to(made)
    except FileExistsError:
        pass
    finally:
        made.unlink()
    return path.read_text()
