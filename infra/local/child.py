"""`Child` runs a module in a process that ends with its parent; this file is also what that process runs.

The child holds the reading end of a pipe whose writing end only the parent has. When the pipe closes, because `stop`
was called or because the parent ended (even by SIGKILL), the child ends itself and all processes that it started. Only
the standard library is imported here, because this file runs before the imports of the module.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib.util
import os
import runpy
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

GRACE_S = 5.0
"""Time for a process to end after it was asked to; then it is killed."""

LOGS = "STACK_LOGS"
"""`har.logs.VARIABLE`; nothing of `har` is imported here."""
LARGEST_LOG = 32 * 2**20
"""A larger log goes on from its beginning; what it held is kept under its name with `.1` at the end."""

_PARENTS_MARGIN_S = 2.0
_SERVICE = "STACK_SERVICE"
_PREFECT_LOGGING = "PREFECT_LOGGING_SETTINGS_PATH"
_ROOT = Path(__file__).resolve().parents[2]
_LOGS_CODE = (_ROOT / "src" / "har" / "logs.py", _ROOT / "har" / "logs.py")
"""In a project, and where the packages of this repository are installed."""


class Child:
    """A module that runs as with `python -m`, in a session of its own, with its output in a file."""

    def __init__(
        self,
        name: str,
        arguments: Sequence[str],
        *,
        environment: Mapping[str, str],
        log: Path,
        folder: Path | None = None,
        sockets: Sequence[int] = (),
    ) -> None:
        """Start the process.

        Args:
            name: its name in messages.
            arguments: the module, then its arguments.
            environment: all environment variables.
            log: file to append its output to.
            folder: its working directory; by default that of this process.
            sockets: file descriptors to inherit.
        """
        self.name = name
        self.log = log
        self._descendants: set[int] = set()
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            self._log_start = output.tell()
            self._process = subprocess.Popen(
                # -P: this file's folder must not be on the import path, because its modules have common names.
                [sys.executable, "-P", __file__, *arguments],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=_with_logs(environment, log.stem),
                cwd=folder,
                start_new_session=True,
                pass_fds=tuple(sockets),
            )

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def family(self) -> frozenset[int]:
        """The processes that it had started, and that ran, when it was polled last."""
        return frozenset(self._descendants)

    def poll(self) -> int | None:
        """The exit status, or None while the process runs; also records the processes that it has started."""
        status = self._process.poll()
        if status is None:
            self._descendants = set(descendants(self.pid))
            self._rotate()
        return status

    def _rotate(self) -> None:
        """Keep a large log under another name. Copied, not renamed: the process and what it started write to it."""
        with contextlib.suppress(OSError):  # a full disk: the log grows on, or stays as it is
            if self.log.stat().st_size > LARGEST_LOG:
                shutil.copyfile(self.log, self.log.with_name(f"{self.log.name}.1"))
                os.truncate(self.log, 0)
                self._log_start = 0

    def wait(self, timeout_s: float) -> int:
        """Wait for the process to end; returns its exit status.

        Raises:
            subprocess.TimeoutExpired: it still runs.
        """
        return self._process.wait(timeout_s)

    def tail(self, lines: int = 20) -> str:
        """The last lines of its output, as people read them."""
        from har.logs import readable

        with self.log.open("rb") as stream:
            stream.seek(self._log_start)
            text = stream.read().decode(errors="replace")
        return "\n".join(readable("\n".join(text.splitlines()[-lines:])).splitlines()[-lines:])

    def release(self) -> None:
        """Ask the process to end, without waiting."""
        self.poll()
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()

    def stop(self) -> None:
        """End the process and all that it started; those that still run after `GRACE_S` are killed."""
        self.release()
        try:
            self._process.wait(GRACE_S + _PARENTS_MARGIN_S)
        except subprocess.TimeoutExpired:
            _signal(self.pid, signal.SIGKILL)
            self._process.wait()
        # Processes that the module started and did not end, for example because it was killed.
        for pid in self._descendants:
            _signal(pid, signal.SIGKILL)


def _with_logs(environment: Mapping[str, str], service: str) -> dict[str, str]:
    """The variables of a child, with those that make its lines JSON."""
    if environment.get(LOGS) == "text":
        return dict(environment)
    found = {**environment, LOGS: "json", _SERVICE: environment.get(_SERVICE, service)}
    found.setdefault(_PREFECT_LOGGING, str(_ROOT / "flows" / "logging.yml"))
    return found


def _write_json_lines() -> None:
    """Let this process write JSON lines.

    `har.logs` is loaded from its file, under another name: a bento that is served imports its own copy of `har`.
    """
    code = next(path for path in _LOGS_CODE if path.is_file())
    spec = importlib.util.spec_from_file_location("_logs_of_child", code)
    if spec is None or spec.loader is None:
        raise ImportError(f"{code} cannot be loaded")
    logs = importlib.util.module_from_spec(spec)
    sys.modules["_logs_of_child"] = logs  # dataclasses and pickling look modules up there
    spec.loader.exec_module(logs)
    logs.start(service=os.environ.get(_SERVICE))


def descendants(pid: int) -> list[int]:
    """All descendants of the process `pid`, children before grandchildren."""
    parents = dict(_parents())
    found = [pid]
    for ancestor in found:
        found += [child for child, parent in parents.items() if parent == ancestor]
    return found[1:]


def _parents() -> Iterator[tuple[int, int]]:
    if Path("/proc/self/stat").exists():
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            with contextlib.suppress(OSError):  # it ended meanwhile
                # The second field, the name in brackets, may hold spaces and brackets itself.
                state = (entry / "stat").read_bytes().rpartition(b")")[2].split()
                if state[0] != b"Z":
                    yield int(entry.name), int(state[1])
    else:
        table = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
        for row in table.splitlines():
            pid, parent = row.split()
            yield int(pid), int(parent)


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def _end_when_closed(pipe: int) -> None:
    os.read(pipe, 1)
    me = os.getpid()
    processes = set(descendants(me))
    # This process last: the signal may end it at once.
    for pid in (*processes, me):
        _signal(pid, signal.SIGTERM)

    def kill_descendants() -> None:
        deadline = time.monotonic() + GRACE_S
        while time.monotonic() < deadline and processes & {pid for pid, _ in _parents()}:
            time.sleep(0.05)
        for pid in {*processes, *descendants(me)}:
            _signal(pid, signal.SIGKILL)

    # Normally, the main thread ends the process and this thread with it; the rest is for a main thread that hangs.
    atexit.register(kill_descendants)
    time.sleep(GRACE_S)
    kill_descendants()
    _signal(me, signal.SIGKILL)


def _run(arguments: list[str]) -> None:
    pipe = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    # Exit handlers, such as the one above, must also run in a module that does not handle SIGTERM.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    threading.Thread(target=_end_when_closed, args=(pipe,), name="end-with-parent", daemon=True).start()
    if os.environ.get(LOGS) == "json":
        _write_json_lines()
    sys.argv = arguments
    # The project's folder, so that modules are found as with `python -m`; last, so that installed ones come first.
    sys.path.append(str(Path(__file__).parents[1]))
    runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    _run(sys.argv[1:])
