"""Which consumer works on which shards: file locks, shared out evenly, taken over when their process ends."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
from pathlib import Path

from filelock import FileLock, Timeout

from har.errors import StorageError


class Ownership:
    """The shards of one consumer. The operating system releases the locks of a process that is killed.

    Args:
        folder: `paths.stream`.
        shards: how many there are.

    Raises:
        StorageError: the folder cannot be written.
    """

    def __init__(self, folder: Path, shards: int) -> None:
        self._folder = folder
        self._locks = [FileLock(folder / f"shard-{number:02}.lock", timeout=0) for number in range(shards)]
        self._members = folder / "consumers"
        self._name = f"{socket.gethostname()}-{os.getpid()}-{os.urandom(3).hex()}"
        try:
            self._members.mkdir(parents=True, exist_ok=True)
            draft = self._members / f".{self._name}"
            self._member = os.open(draft, os.O_CREAT | os.O_RDWR, 0o600)
            fcntl.flock(self._member, fcntl.LOCK_EX)
            draft.rename(self._members / f"{self._name}.lock")  # seen only once it is locked
        except OSError as error:
            raise StorageError.refused(self._members, error) from error

    @property
    def owned(self) -> list[int]:
        """The shards that this consumer holds."""
        return [number for number, lock in enumerate(self._locks) if lock.is_locked]

    def members(self) -> int:
        """How many consumers run, this one included; what dead ones left is removed."""
        count = 1
        for path in self._members.glob("*.lock"):
            if path.stem == self._name:
                continue
            with contextlib.suppress(FileNotFoundError):  # another one has just removed it
                if _is_locked(path):
                    count += 1
                else:
                    path.unlink()
        return count

    def surplus(self) -> list[int]:
        """Shards to give up, so that another consumer gets its share."""
        owned = self.owned
        return owned[self._share() :]

    def take(self) -> list[int]:
        """Lock free shards up to this consumer's share; returns the new ones."""
        new: list[int] = []
        room = self._share() - len(self.owned)
        for number, lock in enumerate(self._locks):
            if room <= 0:
                break
            if not lock.is_locked:
                with contextlib.suppress(Timeout):
                    lock.acquire()
                    new.append(number)
                    room -= 1
        return new

    def give_up(self, number: int) -> None:
        """Release a shard."""
        self._locks[number].release()

    def close(self) -> None:
        """Release everything."""
        for lock in self._locks:
            if lock.is_locked:
                lock.release()
        (self._members / f"{self._name}.lock").unlink(missing_ok=True)
        os.close(self._member)

    def _share(self) -> int:
        return -(-len(self._locks) // self.members())


def _is_locked(path: Path) -> bool:
    file = os.open(path, os.O_RDWR)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(file)
    return False
