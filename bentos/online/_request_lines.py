"""One log line per answered request, with the id under which the proxy, the prediction log and the lake know it.

A line through Python's `logging` would cost a tenth of a request's time; these are serialised at once, wait in a list,
and are written together several times a second by a thread.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import sys
import time
from collections.abc import Callable

import orjson

from har.settings import Settings

logger = logging.getLogger("bentoml.har.requests")

_WAITING = 20_000
"""Lines that may wait for a reader that has stopped to read; further ones are counted."""
_WRITTEN_AT_ONCE = 4096
"""Bytes of one write to a pipe that no other process's lines can cut in two (POSIX, PIPE_BUF on Linux)."""


class RequestLines:
    """The lines of one worker process.

    Args:
        settings: `logs`.
        as_json: JSON, or text for a terminal.
        name_of: how a line names a subject; None: not at all.
        output: file descriptor to write to; by default the standard output.
    """

    def __init__(
        self, settings: Settings, *, as_json: bool, name_of: Callable[[str], str | None], output: int | None = None
    ) -> None:
        self._least_status = {"all": 0, "failed": 400}.get(settings.logs.requests, 1000)
        self._compose = _json if as_json else _text
        self._name_of = name_of
        self._output = output
        self._waiting: list[bytes] = []
        self._lost = 0
        self._writing = asyncio.Lock()

    def add(
        self,
        path: str,
        status: int,
        seconds: float,
        request_id: str,
        subject: str | None = None,
        answer: tuple[int, bool] | None = None,
    ) -> None:
        """Note a request; only from the event loop's thread.

        Args:
            path: its route.
            status: of its answer; 499: the client went away before.
            seconds: from its arrival to its answer.
            request_id: its id.
            subject: whom it was about, if it said so.
            answer: the version that answered, and whether it was a fallback.
        """
        if status < self._least_status:
            return
        if len(self._waiting) >= _WAITING:
            self._lost += 1
            return
        name = None if subject is None else self._name_of(subject)
        self._waiting.append(self._compose(path, status, 1000 * seconds, request_id, name, answer))

    async def flush(self) -> None:
        """Write the waiting lines; a slow reader holds up no request."""
        if self._waiting and not self._writing.locked():
            async with self._writing:
                await asyncio.to_thread(self.write)

    def write(self) -> None:
        """Write the waiting lines in this thread."""
        lines, self._waiting = self._waiting, []
        lost, self._lost = self._lost, 0
        output = self._descriptor()
        begun: list[bytes] = []
        size = 0
        try:
            for line in lines:
                if begun and size + len(line) > _WRITTEN_AT_ONCE:
                    _write(output, b"".join(begun))
                    begun, size = [], 0
                begun.append(line)
                size += len(line)
            if begun:
                _write(output, b"".join(begun))
        except OSError as error:  # the reader of a pipe has gone, or the disk is full
            logger.warning("lines of %d requests could not be written: %s", len(lines), error)
        if lost:
            logger.warning("lines of %d requests were dropped: nobody read the others in time", lost)

    def _descriptor(self) -> int:
        if self._output is None:
            self._output = sys.stdout.fileno()
        return self._output


def _write(output: int, content: bytes) -> None:
    while content:
        content = content[os.write(output, content) :]


def _level(status: int) -> str:
    return "INFO" if status < 400 else "WARNING" if status < 500 else "ERROR"


def _stamp() -> str:
    second, micros = divmod(time.time_ns() // 1000, 1_000_000)
    return f"{_second(second)}.{micros:06d}Z"


@functools.lru_cache(maxsize=4)
def _second(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))


def _json(
    path: str, status: int, ms: float, request_id: str, subject: str | None, answer: tuple[int, bool] | None
) -> bytes:
    line: dict[str, str | int | float] = {
        "time": _stamp(),
        "level": _level(status),
        "logger": logger.name,
        "message": f"POST {path} {status}",
        "service": "online",
        "request_id": request_id,
    }
    if subject is not None:
        line["subject"] = subject
    if answer is not None:
        line |= {"model_version": answer[0], "fallback": answer[1]}
    return orjson.dumps({**line, "path": path, "status": status, "ms": round(ms, 2)}, option=orjson.OPT_APPEND_NEWLINE)


def _text(
    path: str, status: int, ms: float, request_id: str, subject: str | None, answer: tuple[int, bool] | None
) -> bytes:
    about = "" if subject is None else f", subject {subject}"
    by = "" if answer is None else f", version {answer[0]}{' as fallback' if answer[1] else ''}"
    head = f"{_stamp()} [{_level(status)}] POST {path} {status}"
    return f"{head}, {ms:.1f} ms, request {request_id}{about}{by}\n".encode()
