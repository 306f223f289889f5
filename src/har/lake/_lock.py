"""The lock of a table's writers, which the operating system releases when their process ends."""

from __future__ import annotations

from pathlib import Path

from filelock import FileLock, Timeout

from har.errors import LakeBusyError, LakeError


class TableLock:
    """The lock as a context manager that raises `LakeError`."""

    def __init__(self, table: Path, timeout_s: float) -> None:
        self._table = table
        self._timeout_s = timeout_s
        self._lock = FileLock(table.parent / f".{table.name}.lock", timeout=timeout_s, is_singleton=True)

    def __enter__(self) -> None:
        try:
            self._lock.acquire()
        except Timeout as error:
            raise LakeBusyError(
                where=str(self._table),
                expected="no other writer",
                got=f"one that has locked the table for {self._timeout_s:g} s",
                remedy="Wait for the other run to finish, or stop it, then run the same command again.",
            ) from error
        except OSError as error:
            raise LakeError.refused(self._table, error) from error

    def __exit__(self, *_: object) -> None:
        self._lock.release()
