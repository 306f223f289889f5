"""Take the canary's weight away when its lease has run out: `python -m infra.kubernetes.keeper`, in `keeper`.

A gateway does not know leases. So this looks at the route about twice a second; whatever has become of the release, the
stable version serves everybody then. While the API server is away nobody can change the route, this process included.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from pathlib import Path

from har.errors import HarError
from infra.kubernetes.cluster import Cluster
from infra.kubernetes.route import Route, State

SEEN = Path("/tmp/seen")  # noqa: S108  a volume of this container alone
"""Touched each time the route was read; the probes look at its age."""
_EVERY_S = 0.5


def expire(route: Route) -> bool:
    """Withdraw a weight whose lease has run out; returns whether there was one.

    Raises:
        ReleaseError: there is no route, or the API does not answer.
    """
    taken = False

    def expired(found: State) -> State | None:
        nonlocal taken
        taken = bool(found.weight or found.mirror) and not found.is_held(time.time())
        return found.shared(0.0, 0.0, found.until) if taken else None

    route.change(expired)
    return taken


def main(seen: Path = SEEN) -> None:
    """Look until a signal ends it."""
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    route = Route(Cluster.open())
    trouble = ""
    while not stopping.wait(_EVERY_S):
        try:
            if expire(route):
                print("The lease ran out: the stable version serves everybody.", flush=True)
            seen.touch()
            trouble = ""
        except HarError as error:
            if str(error) != trouble:  # once, and not twice a second
                print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
            trouble = str(error)


if __name__ == "__main__":
    try:
        main()
    except HarError as error:
        sys.exit(f"{type(error).__name__}: {error}")
