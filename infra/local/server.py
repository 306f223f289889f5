"""Run a Prefect server on this machine during a block, for this process and all that it starts.

A folder has one server at a time. A second process that needs a server for the same folder uses the first one.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import FrameType

from filelock import FileLock, Timeout

from har.errors import ServerError
from har.files import without_question_mark, write_atomically
from infra.local.child import Child
from infra.local.environment import quiet_environment

HOST = "127.0.0.1"
START_TIMEOUT_S = 180.0
"""A first start migrates the database, which takes 12 s on an idle core and longer on a busy one."""

_DRAIN_TIMEOUT_S = 10.0
_NOTE = "server.json"
_LOCK = "server.lock"


@contextlib.contextmanager
def local_server(home: Path, *, port: int = 0, log: Path | None = None) -> Iterator[str]:
    """Run a Prefect server; yields the URL of its API.

    Args:
        home: the server's folder, with its database (PREFECT_HOME).
        port: 0: any free port.
        log: by default `home/logs/server.log`.

    Raises:
        ServerError: the port is in use, or the server stopped or hung during its start.
    """
    with starting_server(home, port=port, log=log) as ready:
        yield ready()


@contextlib.contextmanager
def starting_server(
    home: Path, *, port: int = 0, log: Path | None = None, full: bool = False
) -> Iterator[Callable[[], str]]:
    """Like `local_server`, but yields at once a function that waits for the server and returns its URL.

    `full` also starts the pages, the scheduler and the triggers, which deployments need. The start uses one core, so
    that the caller can do other work meanwhile.
    """
    with contextlib.ExitStack() as stack:
        found = _lock_or_find(home)
        if isinstance(found, str):
            url = found
            ready = partial(str, url)
        else:
            stack.callback(found.release)
            stack.enter_context(sigterm_ends_blocks())
            server, url = start_server(home, port=port, log=log, full=full)
            stack.callback(server.stop)
            stack.callback((home / _NOTE).unlink, missing_ok=True)
            ready = partial(_await_server, server, url, home)
        # Importing Prefect takes two seconds, during which the server starts.
        stack.enter_context(using_server(home, url))
        yield ready


@contextlib.contextmanager
def using_server(home: Path, url: str) -> Iterator[None]:
    """Let Prefect, in this process and its children, use the server at `url`; queued events are sent at the end."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(_variables(server_environment(home, url)))
        from prefect.settings import PREFECT_API_URL, PREFECT_HOME, temporary_settings

        stack.enter_context(temporary_settings({PREFECT_API_URL: url, PREFECT_HOME: home}))
        stack.callback(_send_queued)
        yield


def start_server(home: Path, *, port: int = 0, log: Path | None = None, full: bool = False) -> tuple[Child, str]:
    """Start the server process; the caller must hold the lock, wait for the server and stop it.

    Args:
        home: the server's folder.
        port: 0: any free port.
        log: by default `home/logs/server.log`.
        full: also the pages, the scheduler and the other services.

    Raises:
        ServerError: the port is in use.
    """
    with _bound(port) as bound:
        url = f"http://{HOST}:{bound.getsockname()[1]}/api"
        environment = {
            **quiet_environment(),
            **os.environ,
            **server_environment(home, url),
            "PREFECT_UI_API_URL": url,
            "PREFECT_UI_STATIC_DIRECTORY": str(home / "ui"),
        }
        arguments = ["infra.local.serve", "--socket", str(bound.fileno()), *(["--full"] if full else [])]
        server = Child(
            "Prefect server",
            arguments,
            environment=environment,
            log=log or home / "logs" / "server.log",
            sockets=[bound.fileno()],
        )
    return server, url


def server_environment(home: Path, url: str) -> dict[str, str]:
    """Environment variables for a process that uses the server at `url`."""
    direct = [entry for entry in os.environ.get("NO_PROXY", "").split(",") if entry]
    return {
        "PREFECT_HOME": str(without_question_mark(home)),
        "PREFECT_API_URL": url,
        "NO_PROXY": ",".join(dict.fromkeys([*direct, HOST, "localhost"])),
    }


def running_server(home: Path) -> str | None:
    """The API's URL of the server that runs on the folder `home`; None: there is none."""
    lock = _try_lock(home) if home.is_dir() else None
    if lock is not None:
        lock.release()
        return None
    return _read_note(home)


@contextlib.contextmanager
def hold_home(home: Path) -> Iterator[None]:
    """Hold the lock of the folder `home`.

    Raises:
        ServerError: another server runs on it.
    """
    lock = _try_lock(home)
    if lock is None:
        url = _read_note(home)
        raise ServerError(
            where=str(home),
            problem=f"a Prefect server runs on this folder already{f' at {url}' if url else ''}",
            remedy="Use it, or stop it first: Ctrl-C where `make up` or `make demo` runs.",
        )
    try:
        yield
    finally:
        (home / _NOTE).unlink(missing_ok=True)
        lock.release()


def note_server(home: Path, url: str) -> None:
    """Write the server's address for other processes that need a server on the folder `home`."""
    write_atomically(home / _NOTE, json.dumps({"url": url, "pid": os.getpid()}))


def wait_for(child: Child, address: str, timeout_s: float = START_TIMEOUT_S) -> None:
    """Wait until `address` answers.

    Raises:
        ServerError: the child stopped, or did not answer in time; has the end of its log.
    """
    import httpx

    began = time.monotonic()
    # A proxy cannot reach this machine's ports.
    with httpx.Client(timeout=5, trust_env=False) as client:
        while time.monotonic() - began < timeout_s:
            status = child.poll()
            if status is not None:
                raise ended(child, status)
            with contextlib.suppress(httpx.TransportError):
                if client.get(address).status_code == 200:
                    return
            time.sleep(0.05)
    raise ServerError(
        where=child.name,
        problem=f"did not answer at {address} within {timeout_s:g} s",
        remedy=_with_log(child, "Start it again when this machine is less busy"),
    )


def ended(child: Child, status: int) -> ServerError:
    """The error for a child that stopped by itself, with the end of its log."""
    reason = f"killed by {signal.Signals(-status).name}" if status < 0 else f"stopped with exit status {status}"
    return ServerError(
        where=child.name,
        problem=reason,
        remedy=_with_log(child, "Fix the error in its log and start again"),
    )


def require_free(port: int, remedy: str = "Choose another port, or 0 for any free one.") -> None:
    """Check that `port` is free.

    Raises:
        ServerError: it is in use.
    """
    _bound(port, remedy).close()


@contextlib.contextmanager
def sigterm_ends_blocks() -> Iterator[None]:
    """Let SIGTERM raise SystemExit in the main thread, so that `finally` blocks run, unless it has another handler."""
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield
        return

    def leave(number: int, _frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _with_log(child: Child, remedy: str) -> str:
    tail = child.tail()
    return f"{remedy}. {child.log} ends:\n{tail}" if tail else f"{remedy}. {child.log} is empty."


def _bound(port: int, remedy: str = "Choose another port, or 0 for any free one.") -> socket.socket:
    result = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    # Without it, a port stays in use for a minute after its server ended.
    result.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        result.bind((HOST, port))
        result.listen(128)
    except OSError as error:
        result.close()
        raise ServerError(where=f"port {port}", expected="a free port", got=str(error), remedy=remedy) from error
    return result


def _try_lock(home: Path, timeout_s: float = 0) -> FileLock | None:
    home.mkdir(parents=True, exist_ok=True)
    lock = FileLock(home / _LOCK, timeout=timeout_s, thread_local=False)
    try:
        lock.acquire()
    except Timeout:
        return None
    return lock


def _send_queued() -> None:
    """Send queued logs and events while the server runs; after it, Prefect would retry for a minute at exit."""
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker

    EventsWorker.drain_all(timeout=_DRAIN_TIMEOUT_S, at_exit=False)
    APILogWorker.drain_all(timeout=_DRAIN_TIMEOUT_S, at_exit=False)


def _read_note(home: Path) -> str | None:
    try:
        return str(json.loads((home / _NOTE).read_text(encoding="utf-8"))["url"])
    except FileNotFoundError:
        return None


def _lock_or_find(home: Path) -> FileLock | str:
    """The lock for starting a server on `home`, or the URL of the server that another process runs on it."""
    began = time.monotonic()
    while time.monotonic() - began < START_TIMEOUT_S:
        lock = _try_lock(home)
        if lock is not None:
            return lock
        url = _read_note(home)
        if url is not None:
            return url
        time.sleep(0.1)
    raise ServerError(
        where=str(home),
        problem=f"another process has not started its Prefect server within {START_TIMEOUT_S:g} s",
        remedy="End that process, then try again.",
    )


def _await_server(server: Child, url: str, home: Path) -> str:
    wait_for(server, f"{url}/health")
    note_server(home, url)
    return url


@contextlib.contextmanager
def _variables(values: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
