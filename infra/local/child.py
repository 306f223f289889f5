"""`Child` runs a module in a process that ends with its parent; this file is also what that process runs.

The child holds the reading end of a pipe whose writing end only the parent has. When the pipe closes, because `stop`
was called or because the parent is gone (SIGKILL included), the child ends itself and everything that it started. The
standard library alone is imported here: this file runs before the module's own imports.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import runpy
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

GRACE_S = 5.0
"""How long a process may take to end by itself before it is killed."""

_PARENTS_MARGIN_S = 2.0


class Child:
    """A module that runs as `python -m` would run it, in its own session, with its output in a file."""

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
        """Start it.

        Args:
            name: what messages call it.
            arguments: the module, then its arguments.
            environment: all its variables.
            log: file that its output is appended to.
            folder: its working directory; by default this one's.
            sockets: descriptors that it inherits under the same numbers.
        """
        self.name = name
        self.log = log
        self._family: set[int] = set()
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            self._log_start = output.tell()
            self._process = subprocess.Popen(
                # -P: the folder of this file must not come first on the path, its modules have common names.
                [sys.executable, "-P", __file__, *arguments],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(environment),
                cwd=folder,
                start_new_session=True,
                pass_fds=tuple(sockets),
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def poll(self) -> int | None:
        """Its exit status, None while it runs; notes what it has started so far."""
        status = self._process.poll()
        if status is None:
            self._family = set(descendants(self.pid))
        return status

    def wait(self, timeout_s: float) -> int:
        """Its exit status once it has ended.

        Raises:
            subprocess.TimeoutExpired: it has not.
        """
        return self._process.wait(timeout_s)

    def tail(self, lines: int = 20) -> str:
        """The last lines that it wrote."""
        with self.log.open("rb") as stream:
            stream.seek(self._log_start)
            text = stream.read().decode(errors="replace")
        return "\n".join(text.splitlines()[-lines:])

    def release(self) -> None:
        """Tell it to end, without waiting."""
        self.poll()
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()

    def stop(self) -> None:
        """End it and all it started: asked first, killed after `GRACE_S`."""
        self.release()
        try:
            self._process.wait(GRACE_S + _PARENTS_MARGIN_S)
        except subprocess.TimeoutExpired:
            _signal(self.pid, signal.SIGKILL)
            self._process.wait()
        # What the module started and left behind, for instance because it was killed itself.
        for pid in self._family:
            _signal(pid, signal.SIGKILL)


def descendants(pid: int) -> list[int]:
    """Every process that descends from `pid`, itself left out; children before grandchildren."""
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
    family = set(descendants(me))
    # Itself last: the signal may end it on the spot.
    for pid in (*family, me):
        _signal(pid, signal.SIGTERM)

    def kill_family() -> None:
        deadline = time.monotonic() + GRACE_S
        while time.monotonic() < deadline and family & {pid for pid, _ in _parents()}:
            time.sleep(0.05)
        for pid in {*family, *descendants(me)}:
            _signal(pid, signal.SIGKILL)

    # The main thread ends the process, and this one with it, unless it hangs.
    atexit.register(kill_family)
    time.sleep(GRACE_S)
    kill_family()
    _signal(me, signal.SIGKILL)


def _run(arguments: list[str]) -> None:
    pipe = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    # A module that does not handle SIGTERM shall still run its exit handlers, ours among them.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    threading.Thread(target=_end_when_closed, args=(pipe,), name="end-with-parent", daemon=True).start()
    sys.argv = arguments
    # As `python -m` in the project's folder would find it; last, so that nothing installed is hidden.
    sys.path.append(str(Path(__file__).parents[1]))
    runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    _run(sys.argv[1:])
