"""The prediction log: lines wait in a bounded queue, one thread appends them to files, `har collect` moves those away.

The writer holds an exclusive lock on its file until it closes the file, by rotation, at the end or by its death. A
file whose lock is free is complete, except for a last line without a newline if the writer died while writing it.
"""

from __future__ import annotations

import binascii
import contextlib
import fcntl
import itertools
import logging
import os
import secrets
import threading
import time
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from bentos.online._metrics import Metrics

logger = logging.getLogger("bentoml.har.journal")

_TICK_S = 0.2
"""Lines wait this long and are then written together: waking the thread for each costs more than the line itself."""
_RETRY_S = 5.0


class Journal:
    """Appends one JSON object per line; never blocks, and counts the lines that it drops.

    Args:
        folder: of the files; created if absent.
        queue: largest number of waiting lines.
        rotate_bytes: a file larger than this is closed.
        rotate_s: a file older than this is closed.
        metrics: counts lines written and dropped.
    """

    def __init__(self, folder: Path, *, queue: int, rotate_bytes: float, rotate_s: float, metrics: Metrics) -> None:
        self.folder = folder
        self._limit, self._rotate_bytes, self._rotate_s = queue, rotate_bytes, rotate_s
        self._metrics = metrics
        self._waiting: deque[bytes] = deque()
        self._stopping = threading.Event()
        # Process ids are not unique among containers that share a volume.
        self._writer = f"{os.getpid()}-{secrets.token_hex(4)}"
        self._numbers = itertools.count()
        self._file: int | None = None
        self._opened = self._blocked_until = 0.0
        self._size = 0
        self._thread = threading.Thread(target=self._write_all, name="journal", daemon=True)

    def start(self) -> None:
        """Start writing."""
        self._thread.start()

    def stop(self) -> None:
        """Write the waiting lines, and close the file."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join(timeout=10)

    def append(self, line: dict[str, Any]) -> bool:
        """Queue a line; False if it was dropped. Arrays become base64 of float32, little-endian."""
        if len(self._waiting) >= self._limit:
            self._metrics.log_dropped("queue", 1)
            return False
        # Serialised here: the writing thread would make requests wait for the interpreter's lock.
        self._waiting.append(orjson.dumps(line, _base64, orjson.OPT_APPEND_NEWLINE))
        return True

    def _write_all(self) -> None:
        while not (self._stopping.is_set() and not self._waiting):
            lines, size = [], 0
            while self._waiting and size <= self._rotate_bytes:
                lines.append(self._waiting.popleft())
                size += len(lines[-1])
            if lines:
                self._write(lines)
            if self._file is not None and time.monotonic() - self._opened > self._rotate_s:
                self._close()
            if size <= self._rotate_bytes:
                self._stopping.wait(_TICK_S)
        self._close()

    def _write(self, lines: list[bytes]) -> None:
        if time.monotonic() < self._blocked_until:
            self._metrics.log_dropped("disk", len(lines))
            return
        content = b"".join(lines)
        try:
            file = self._open() if self._file is None else self._file
            if os.write(file, content) < len(content):
                raise OSError("only a part was written")
        except OSError as error:
            # The next line must not continue a partly written one, so it goes to a new file.
            self._close()
            self._blocked_until = time.monotonic() + _RETRY_S
            self._metrics.log_dropped("disk", len(lines))
            logger.warning("prediction log %s: %s; retrying in %g s", self.folder, error, _RETRY_S)
            return
        self._size += len(content)
        self._metrics.log_written(len(lines))
        if self._size > self._rotate_bytes:
            self._close()

    def _open(self) -> int:
        self.folder.mkdir(parents=True, exist_ok=True)
        name = f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{self._writer}-{next(self._numbers)}.jsonl"
        # It gets its name only once it is locked; a collector would take an unlocked file for a complete one.
        hidden = self.folder / f".{name}"
        file = os.open(hidden, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o640)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            hidden.rename(self.folder / name)
        except OSError:
            os.close(file)
            raise
        self._file, self._size, self._opened = file, 0, time.monotonic()
        return file

    def _close(self) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError):  # a full disk may be reported here again
                os.close(self._file)
            self._file = None


def _base64(value: object) -> str:
    if isinstance(value, np.ndarray):
        return binascii.b2a_base64(np.ascontiguousarray(value, "<f4").data, newline=False).decode()
    raise TypeError(type(value).__name__)
