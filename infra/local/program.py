"""Run a program that is no Python module as a `Child`: `python -m infra.local.program PROGRAM ARGUMENT …`.

It ends with the program's exit status. When it is asked to end, it asks the program, and waits for it.
"""

from __future__ import annotations

import subprocess
import sys


def main(command: list[str]) -> int:
    """Run the command; returns its exit status."""
    process = subprocess.Popen(command)
    try:
        return process.wait()
    finally:
        # `Child` kills whatever does not end in time.
        process.terminate()
        process.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
