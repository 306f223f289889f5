"""A health check without curl: `python -m infra.compose.inside.probe ADDRESS` ends with 0 if it answers with 200."""

from __future__ import annotations

import sys

from har.errors import reason
from infra.compose.inside._waiting import answer


def main(address: str) -> int:
    """Ask once; returns the exit status."""
    try:
        answer(address)
    except OSError as error:
        print(f"{address}: {reason(error)}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
