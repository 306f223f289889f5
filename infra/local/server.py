"""A Prefect server on this machine, for this process and all it starts; it ends with the block that asked for it.

One server uses a folder at a time. A second process that asks for the same folder gets the address of the first.
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
from har.files import write_atomically
from infra.local.child import Child
from infra.local.environment import quiet_environment

HOST = "127.0.0.1"
START_TIMEOUT_S = 180.0
"""A first start migrates the database: 12 s on an idle core, longer on a busy one."""

_DRAIN_TIMEOUT_S = 10.0
_NOTE = "server.json"
_LOCK = "server.lock"


@contextlib.contextmanager
def local_server(home: Path, *, port: int = 0, log: Path | None = None) -> Iterator[str]:
    """A Prefect server for this process; yields the URL of its API.

    Args:
        home: its folder, database included (PREFECT_HOME).
        port: 0 takes a free one.
        log: by default `home/logs/server.log`.

    Raises:
        ServerError: the port is taken, or the server ended or hung while starting.
    """
    with starting_server(home, port=port, log=log) as ready:
        yield ready()


@contextlib.contextmanager
def starting_server(
    home: Path, *, port: int = 0, log: Path | None = None, full: bool = False
) -> Iterator[Callable[[], str]]:
    """As `local_server`, but yields at once: call the result to wait for the server and get its URL.

    `full` also starts the pages, the scheduler and the triggers, which deployments need.

    The start is bound by one core (imports and migrations), so there is time for other work until then.
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
        # Prefect takes two seconds to import, and the server is starting meanwhile.
        stack.enter_context(using_server(home, url))
        yield ready


@contextlib.contextmanager
def using_server(home: Path, url: str) -> Iterator[None]:
    """Let Prefect, here and in what this process starts, use the server at `url`; what is queued is sent at the end."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(_variables(server_environment(home, url)))
        from prefect.settings import PREFECT_API_URL, PREFECT_HOME, temporary_settings

        stack.enter_context(temporary_settings({PREFECT_API_URL: url, PREFECT_HOME: home}))
        stack.callback(_send_what_is_queued)
        yield


def start_server(home: Path, *, port: int = 0, log: Path | None = None, full: bool = False) -> tuple[Child, str]:
    """Start the process only; the caller holds the lock, waits and stops.

    Args:
        home: its folder.
        port: 0 takes a free one.
        log: by default `home/logs/server.log`.
        full: also the pages, the scheduler and the other services.

    Raises:
        ServerError: the port is taken.
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
    """Variables that make a process use the server at `url`."""
    direct = [entry for entry in os.environ.get("NO_PROXY", "").split(",") if entry]
    return {
        "PREFECT_HOME": str(home),
        "PREFECT_API_URL": url,
        "NO_PROXY": ",".join(dict.fromkeys([*direct, HOST, "localhost"])),
    }


def running_server(home: Path) -> str | None:
    """The URL of the API that now serves the folder `home`, if one does."""
    lock = _try_lock(home) if home.is_dir() else None
    if lock is not None:
        lock.release()
        return None
    return _read_note(home)


@contextlib.contextmanager
def hold_home(home: Path) -> Iterator[None]:
    """Be the one whose server uses the folder `home`.

    Raises:
        ServerError: another process is.
    """
    lock = _try_lock(home)
    if lock is None:
        raise ServerError(
            where=str(home),
            expected="no other Prefect server on this folder",
            got=f"one at {_read_note(home) or 'an address that it has not told yet'}",
            remedy="Use that one, or stop it first: Ctrl-C where `make up` or `make demo` runs.",
        )
    try:
        yield
    finally:
        (home / _NOTE).unlink(missing_ok=True)
        lock.release()


def note_server(home: Path, url: str) -> None:
    """Let others who ask for the folder `home` find the server."""
    write_atomically(home / _NOTE, json.dumps({"url": url, "pid": os.getpid()}))


def wait_for(child: Child, address: str, timeout_s: float = START_TIMEOUT_S) -> None:
    """Return once `address` answers.

    Raises:
        ServerError: the child ended first, or time ran out; with the end of its log.
    """
    import httpx

    began = time.monotonic()
    # A proxy for the outside world cannot see this machine's ports.
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
        expected=f"an answer from {address} within {timeout_s:g} s",
        got="none",
        remedy=_with_log(child, "Is this machine very busy? Start again"),
    )


def ended(child: Child, status: int) -> ServerError:
    """The error for a child that ended by itself, with the end of its log."""
    return ServerError(
        where=child.name,
        expected="a process that runs until it is stopped",
        got=f"killed by {signal.Signals(-status).name}" if status < 0 else f"exit status {status}",
        remedy=_with_log(child, "Fix what its log says and start again"),
    )


def require_free(port: int, remedy: str = "Choose another port, or 0 for any free one.") -> None:
    """Check that `port` can be bound.

    Raises:
        ServerError: it cannot.
    """
    _bound(port, remedy).close()


@contextlib.contextmanager
def sigterm_ends_blocks() -> Iterator[None]:
    """Let SIGTERM raise SystemExit in the main thread, so that `finally` runs; where nobody else handles it."""
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
    # Without it, a port stays taken for a minute after a server on it ended.
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


def _send_what_is_queued() -> None:
    """Deliver logs and events while there is a server; at exit, without one, Prefect tries for another minute."""
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
    """The right to start a server on `home`, or the URL of the one that another process has there."""
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
        expected=f"the server that another process starts on this folder within {START_TIMEOUT_S:g} s",
        got="none",
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
