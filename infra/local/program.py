"""Run a program that is no Python module as a `Child`: `python -m infra.local.program PROGRAM ARGUMENT …`.

It ends with the program's exit status. When it is asked to end, it asks the program, and waits for it. What the program
says on its standard error becomes lines of the log as the child's own are; its standard output is the log itself, so
that a program which logs a line per request costs nothing here.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from typing import IO

_RELAY_S = 1.0


def main(command: list[str]) -> int:
    """Run the command; returns its exit status. If a signal ended it, the same ends this process."""
    # It gets the sockets that were meant for it.
    process = subprocess.Popen(command, close_fds=False, stderr=subprocess.PIPE, text=True, errors="replace")
    assert process.stderr is not None  # noqa: S101  a pipe was asked for
    relay = threading.Thread(target=_pass_on, args=(process.stderr,), name="relay", daemon=True)
    relay.start()
    try:
        status = process.wait()
    finally:
        # `Child` kills whatever does not end in time.
        process.terminate()
        process.wait()
        # Not for ever: a process that the program left behind may hold the pipe.
        relay.join(_RELAY_S)
    if status < 0:
        with contextlib.suppress(OSError):  # SIGKILL has no handler
            signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    return status


def _pass_on(said: IO[str]) -> None:
    for line in said:
        sys.stderr.write(line if line.endswith("\n") else f"{line}\n")
        sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
