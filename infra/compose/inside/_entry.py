"""How an entry point of the stack ends: a known error is one line in the log, and the engine starts it again."""

from __future__ import annotations

import sys
from collections.abc import Callable

from har.errors import HarError

STATUS_OF_AN_ERROR = 1


def run(main: Callable[[], None]) -> None:
    """Call `main`, and end this process with a line for a known error.

    Raises:
        SystemExit: after such an error.
    """
    try:
        main()
    except HarError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        raise SystemExit(STATUS_OF_AN_ERROR) from error
