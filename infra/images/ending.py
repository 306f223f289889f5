"""End a command in a sentence and exit status 2 where it is refused."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

from har.errors import HarError

REFUSED, INTERRUPTED = 2, 130


@contextlib.contextmanager
def refusals() -> Iterator[None]:
    """Print a `HarError` of the block, without a traceback.

    Raises:
        SystemExit: the block was refused (2), or ended by Ctrl-C (130).
    """
    try:
        yield
    except HarError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(REFUSED)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
