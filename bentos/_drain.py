"""Stop serving without losing a request: readiness goes first, then keep-alive, then the listening socket."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import psutil

STATE = "bentos.drain"
"""Its place in the lifespan's state, where connections find it."""

QUIET_S = 0.5
"""The server stops listening once no request has come for this time…"""
LONGEST_S = 2.0
"""…or after this time in any case."""

_WORKER = "_bentoml_impl.worker.service"
_CHECK_S = 0.005

Factory = Callable[[], asyncio.Protocol]


class Drain:
    """What SIGTERM does to a worker process.

    1. `begun`: `/readyz` answers 503, and every answer ends its connection. Requests are still accepted and answered.
    2. `stopped`: when it is quiet, or time is up, uvicorn shuts down. Requests that have begun are answered; idle
       connections are closed a second later, because a request may be on its way.
    3. The last of the service's processes ends the listening for all of them, so that new connections are refused. The
       arbiter holds the socket open until it ends, and would reset whatever came in between.

    Args:
        listener: the descriptor of the listening socket; None: it is not known, and not shut.
    """

    def __init__(self, listener: int | None = None) -> None:
        self.begun = self.stopped = False
        self._descriptor = listener
        self._last = 0.0
        self._stop: Callable[[], object] = lambda: None
        self._factory: Factory | None = None
        self._task: asyncio.Task[None] | None = None

    def install(self) -> None:
        """Take SIGTERM over from the server; in a thread, where signals do not arrive, nothing."""
        if threading.current_thread() is not threading.main_thread():
            return
        previous: Any = signal.getsignal(signal.SIGTERM)
        if callable(previous):
            self._stop = lambda: previous(signal.SIGTERM, None)
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self.begin)

    def begin(self) -> None:
        """Begin to stop; a second call changes nothing."""
        if not self.begun:
            self.begun = True
            self._last = asyncio.get_running_loop().time()
            self._task = asyncio.create_task(self._run())

    def note_request(self) -> None:
        """A request has come since `begin`."""
        self._last = asyncio.get_running_loop().time()

    def serve_by(self, factory: Factory) -> None:
        """Let `factory` make the connections that are accepted last."""
        self._factory = factory

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        latest = loop.time() + LONGEST_S
        while loop.time() < min(latest, self._last + QUIET_S):
            await asyncio.sleep(_CHECK_S)
        self.stopped = True
        listener = None if self._descriptor is None else socket.socket(fileno=os.dup(self._descriptor))
        _mark_closed(os.getpid())
        self._stop()
        if listener is not None:
            with listener:
                while _is_open(self._descriptor):  # the server closes it at its next tick, a tenth of a second
                    await asyncio.sleep(_CHECK_S)
                if _is_last():
                    await self._end_listening(listener)

    async def _end_listening(self, listener: socket.socket) -> None:
        listener.setblocking(False)
        accepted = []
        with contextlib.suppress(BlockingIOError):
            while True:
                accepted.append(listener.accept()[0])
        with contextlib.suppress(OSError):  # another process did so at the same time
            listener.shutdown(socket.SHUT_RDWR)
        for connection in accepted:
            if self._factory is None:
                connection.close()
            else:
                await asyncio.get_running_loop().connect_accepted_socket(self._factory, connection)


def listener_of_worker() -> int | None:
    """The descriptor of the socket that BentoML's worker command listens on; None elsewhere."""
    context = click.get_current_context(silent=True)
    found = context.params.get("fd") if context is not None else None
    return found if isinstance(found, int) else None


def _is_open(descriptor: int | None) -> bool:
    try:
        os.fstat(-1 if descriptor is None else descriptor)
    except OSError:
        return False
    return True


def _mark(pid: int) -> Path | None:
    """A file that says that a worker listens no more, in the folder that the service's workers share."""
    folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    return Path(folder) / f"closed-{pid}" if folder else None


def _mark_closed(pid: int) -> None:
    mark = _mark(pid)
    if mark is not None:
        with contextlib.suppress(OSError):  # the folder may be gone already
            mark.touch()


def _is_last() -> bool:
    """Whether no other worker of this service listens. If only this one was told to end, the others still do."""
    with contextlib.suppress(psutil.Error):
        for other in psutil.Process(os.getppid()).children():
            mark = _mark(other.pid)
            if other.pid == os.getpid() or (mark is not None and mark.exists()):
                continue
            with contextlib.suppress(psutil.Error):  # it ended meanwhile
                if other.status() != psutil.STATUS_ZOMBIE and _WORKER in other.cmdline():
                    return False
    return True
