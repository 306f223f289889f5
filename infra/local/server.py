"""Run a Prefect server on this machine during a block, for this process and all that it starts.

A folder has one server at a time. It asks for the login in its folder (see `infra.local.login`), and answers no page of
another origin (see `bentos.origin`).
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import FrameType

from filelock import FileLock, Timeout

from har.errors import ServerError
from har.files import without_question_mark, write_atomically
from infra.local.child import Child
from infra.local.environment import quiet_environment
from infra.local.login import login, login_file, open_mode, renew_login

HOST = "127.0.0.1"
START_TIMEOUT_S = 180.0
"""A first start migrates the database, which takes 12 s on an idle core and longer on a busy one."""

AUTH_VARIABLE = "PREFECT_API_AUTH_STRING"
"""Prefect's clients read the server's login from this variable."""

_PATIENCE = ("PREFECT_CLIENT_MAX_RETRIES", "PREFECT_API_REQUEST_TIMEOUT")
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
        ServerError: the port is in use, another server runs on this folder, or the server stopped or hung during its
            start.
    """
    with starting_server(home, port=port, log=log) as ready:
        yield ready()


@contextlib.contextmanager
def starting_server(
    home: Path, *, port: int = 0, log: Path | None = None, full: bool = False
) -> Iterator[Callable[[], str]]:
    """Like `local_server`, but yields at once a function that waits for the server and returns its URL.

    `full` also starts the pages, the scheduler and the triggers, which deployments need. The start uses one core, so
    that the caller can do other work meanwhile. A server of another process is not used: it would end with its owner.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(hold_home(home))
        stack.enter_context(sigterm_ends_blocks())
        server, url = start_server(home, port=port, log=log, full=full)
        stack.callback(server.stop)
        # Importing Prefect takes two seconds, during which the server starts.
        stack.enter_context(using_server(home, url))
        yield partial(_await_server, server, url, home)


@contextlib.contextmanager
def using_server(home: Path, url: str, *, own: bool = True) -> Iterator[None]:
    """Let Prefect, in this process and its children, use the server at `url`; queued events are sent at the end.

    Args:
        home: the folder of the project's server.
        url: of the API.
        own: it is the server on `home`, and gets its login; another server never does.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(variables(server_environment(home, url, own=own)))
        from prefect import settings

        # A Prefect that was imported before has read the variables already.
        names = ("PREFECT_API_URL", "PREFECT_HOME", AUTH_VARIABLE, *_PATIENCE)
        given = {getattr(settings, name): os.environ[name] for name in names if name in os.environ}
        stack.enter_context(settings.temporary_settings(given))
        stack.callback(_send_queued)
        yield


def start_server(
    home: Path, *, port: int = 0, log: Path | None = None, full: bool = False, hosts: Sequence[str] = ()
) -> tuple[Child, str]:
    """Start the server process; the caller must hold the lock, wait for the server and stop it.

    Args:
        home: the server's folder.
        port: 0: any free port.
        log: by default `home/logs/server.log`.
        full: also the pages, the scheduler and the other services.
        hosts: further names that browsers may use.

    Raises:
        ServerError: the port is in use.
    """
    with bound(port) as door:
        port = door.getsockname()[1]
        url = f"http://{HOST}:{port}/api"
        pages = [f"http://{name}:{port}" for name in (HOST, "localhost")]
        pages += [f"{scheme}://{name}" for name in hosts for scheme in ("http", "https")]
        environment = {
            **quiet_environment(),
            **os.environ,
            **server_environment(home, url),
            "PREFECT_SERVER_API_AUTH_STRING": login(home),
            "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": ",".join(pages),
            "PREFECT_UI_API_URL": url,
            "PREFECT_UI_STATIC_DIRECTORY": str(home / "ui"),
        }
        arguments = ["infra.local.serve", "--socket", str(door.fileno()), *(["--full"] if full else [])]
        arguments += [f"--host={name}" for name in hosts]
        server = Child(
            "Prefect server",
            arguments,
            environment=environment,
            log=log or home / "logs" / "server.log",
            sockets=[door.fileno()],
        )
    return server, url


def server_environment(home: Path, url: str, *, own: bool = True) -> dict[str, str]:
    """Environment variables for a process that uses the server at `url`; with the login if it is the one on `home`."""
    direct = [entry for entry in os.environ.get("NO_PROXY", "").split(",") if entry]
    return {
        "PREFECT_HOME": str(without_question_mark(home)),
        "PREFECT_API_URL": url,
        **({AUTH_VARIABLE: login(home)} if own else {}),
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
            remedy="Stop it first: Ctrl-C where `make up` or `make demo` runs; or wait until the demo ends.",
        )
    # A login that others could read; or the last server was killed, and whoever has its port now may have got the login
    # from a `prefect` command.
    if open_mode(login_file(home)) or (home / _NOTE).exists():
        renew_login(home)
    try:
        yield
    finally:
        (home / _NOTE).unlink(missing_ok=True)
        lock.release()


def note_server(home: Path, url: str) -> None:
    """Write the server's address for commands that use the server on the folder `home`."""
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
    return ServerError(
        where=child.name,
        problem=how_it_ended(status),
        remedy=_with_log(child, "Fix the error in its log and start again"),
    )


def how_it_ended(status: int) -> str:
    """An exit status in words."""
    return f"killed by {signal.Signals(-status).name}" if status < 0 else f"stopped with exit status {status}"


def require_free(port: int, remedy: str = "Choose another port, or 0 for any free one.") -> None:
    """Check that `port` is free.

    Raises:
        ServerError: it is in use.
    """
    bound(port, remedy).close()


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


def bound(port: int, remedy: str = "Choose another port, or 0 for any free one.") -> socket.socket:
    """A socket that listens on `port`.

    Raises:
        ServerError: the port is in use, or may not be used.
    """
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
    if home.stat().st_mode & 0o077:
        home.chmod(0o700)  # its database has the parameters and logs of all runs
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
    except (FileNotFoundError, ValueError, KeyError, TypeError):  # none, or not one that we wrote
        return None


def _await_server(server: Child, url: str, home: Path) -> str:
    wait_for(server, f"{url}/health")
    note_server(home, url)
    return url


@contextlib.contextmanager
def variables(values: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables during the block."""
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
