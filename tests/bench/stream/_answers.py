"""Watches the store of a run from outside: when each answer is there, and how many messages wait."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_LOOK_S = 0.01
_WAITING_S = 0.25


class Answers:
    """Reads the outbox every hundredth of a second, in which an answer is with the settlement of its window.

    Args:
        folder: of the store.
        shards: how many files it has.
    """

    def __init__(self, folder: Path, shards: int) -> None:
        self._paths = [folder / f"shard-{number:02}.sqlite" for number in range(shards)]
        self._files: dict[Path, sqlite3.Connection] = {}
        self._last: dict[Path, int] = {}
        self._seen: list[tuple[float, list[int]]] = []
        self.waiting: list[tuple[float, int]] = []
        self.count = 0
        self.lost = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End."""
        self._over.set()
        self._thread.join()
        for file in self._files.values():
            file.close()

    def __enter__(self) -> Answers:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def rows(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Of all answers, when each was seen and when its window ended, s since 1970, in the order seen."""
        seen = [np.full(len(ends), at) for at, ends in list(self._seen)]
        ends = [np.array(one, np.float64) / 1e6 for _, one in list(self._seen)]
        if not seen:
            return np.empty(0), np.empty(0)
        return np.concatenate(seen), np.concatenate(ends)

    def first_after(self, moment: float) -> float | None:
        """When the first answer after a moment was seen."""
        return next((at for at, _ in list(self._seen) if at > moment), None)

    def wait_for(self, count: int, timeout_s: float, *, idle_s: float = 15.0) -> bool:
        """Until there are so many answers; false: too long, or none came for `idle_s` although it had begun."""
        deadline = time.monotonic() + timeout_s
        known, since = self.count, time.monotonic()
        while self.count < count:
            now = time.monotonic()
            if self.count != known:
                known, since = self.count, now
            if now > deadline or (self.count and now - since > idle_s):
                return False
            time.sleep(0.02)
        return True

    def first_waiting(self) -> float | None:
        """When messages were there first."""
        return next((at for at, count in list(self.waiting) if count), None)

    def _run(self) -> None:
        next_look = 0.0
        while not self._over.wait(_LOOK_S):
            waiting = 0
            look = time.monotonic() >= next_look
            for path in self._paths:
                with contextlib.suppress(sqlite3.OperationalError):  # it is being made
                    file = self._file(path)
                    if file is None:
                        continue
                    self._read(path, file)
                    if look:
                        waiting += file.execute("SELECT value FROM meta WHERE name='waiting'").fetchone()[0]
            if look:
                self.waiting.append((time.time(), waiting))
                # Until the first message is there, its moment matters.
                next_look = time.monotonic() + (_WAITING_S if waiting else 0.0)

    def _file(self, path: Path) -> sqlite3.Connection | None:
        if path not in self._files and path.exists():
            self._files[path] = sqlite3.connect(
                f"file:{path}?mode=ro", uri=True, timeout=1, isolation_level=None, check_same_thread=False
            )
        return self._files.get(path)

    def _read(self, path: Path, file: sqlite3.Connection) -> None:
        last = self._last.get(path, 0)
        rows = file.execute("SELECT id, end_us FROM predictions WHERE id>?", (last,)).fetchall()
        if rows:
            at = time.time()
            self._last[path] = rows[-1][0]
            self.lost += rows[-1][0] - last - len(rows)
            self._seen.append((at, [row[1] for row in rows]))
            self.count += len(rows)
