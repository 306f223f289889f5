"""Run a program that is no Python module as a `Child`: `python -m infra.local.program PROGRAM ARGUMENT …`.

It ends with the program's exit status. When it is asked to end, it asks the program, and waits for it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys


def main(command: list[str]) -> int:
    """Run the command; returns its exit status. If a signal ended it, the same ends this process."""
    process = subprocess.Popen(command, close_fds=False)  # it gets the sockets that were meant for it
    try:
        status = process.wait()
    finally:
        # `Child` kills whatever does not end in time.
        process.terminate()
        process.wait()
    if status < 0:
        with contextlib.suppress(OSError):  # SIGKILL has no handler
            signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
