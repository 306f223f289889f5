"""Run a command in the worker with the addresses and logins of the stack, such as `har models`."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from infra.compose.inside._client import client_environment
from infra.compose.inside._entry import run


def main(command: Sequence[str]) -> None:
    """Become the command; never returns."""
    os.environ.update(client_environment())
    os.makedirs(os.environ["TMPDIR"], exist_ok=True)  # noqa: PTH103  a string of the environment
    os.execvp(command[0], list(command))  # noqa: S606  the caller's own command


if __name__ == "__main__":
    run(lambda: main(sys.argv[1:]))
