"""What a release needs of the place where the online service runs; `infra` has one adapter for each kind of place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

Role = Literal["stable", "canary"]
"""`stable` serves all subjects whom the canary does not."""


@dataclass(frozen=True)
class Served:
    """What a place serves at this moment.

    Attributes:
        stable: what `start` was given for the version that serves: a bento's tag or an image; "" before the first.
        canary: the same of the new version; "" if none is being released.
        share: of the subjects whom the canary serves, 0 to 1; 0 as soon as the lease has run out.
        mirror: share of the stable version's requests of which the canary gets a copy.
        salt: of the split by subject.
        lease_until: until when `share` and `mirror` hold without being renewed, in seconds since 1970.
        replicas: ready replicas of each role.
    """

    stable: str = ""
    canary: str = ""
    share: float = 0.0
    mirror: float = 0.0
    salt: str = ""
    lease_until: float = 0.0
    replicas: Mapping[Role, int] | None = None


@dataclass(frozen=True)
class Counts:
    """What a version's replicas did since they began; only differences mean something.

    Attributes:
        requests: answered or failed, as the proxy counts them; 0 where there is no proxy.
        failed: answered 5xx, or not answered: no connection, a broken one, a timeout.
        refused: of `requests`, answered 429 or 503 because the service had no room.
        starts: how many processes were started, so that a replica that crashes is seen.
        memory_mb: resident memory of the largest replica; 0 where it is not known.
        in_flight: requests at this moment, over all replicas.
    """

    requests: int = 0
    failed: int = 0
    refused: int = 0
    starts: int = 0
    memory_mb: float = 0.0
    in_flight: int = 0


class Serving(Protocol):
    """A place where the online service runs in replicas, with a rule that divides the subjects between two versions.

    Every method but `start` returns within a second; each can be repeated.
    """

    @property
    def name(self) -> str:
        """In messages, such as "processes behind HAProxy on http://127.0.0.1:3000"."""

    def now(self) -> Served:
        """What it serves."""

    def start(self, tag: str, *, salt: str) -> None:
        """Start the canary's replicas beside the stable ones, with share 0; returns once all are ready.

        Raises:
            ReleaseError: it is not there, does not become ready, or another version is being released.
        """

    def share(self, share: float, *, mirror: float = 0.0, lease_s: float) -> None:
        """Let the canary serve a share of the subjects, until the lease runs out; called again, it renews the lease."""

    def withdraw(self) -> None:
        """Let the stable version serve everybody, at once; the canary's replicas end when their requests are done."""

    def promote(self, *, keep_former: bool = True) -> None:
        """Let the canary be the stable version.

        With `keep_former`, the former version's replicas stay, and `withdraw` puts it back at once; called again
        without, they end.
        """

    def scale(self, replicas: int) -> None:
        """How many replicas each version has from now on; replicas are added and drained without a failed request."""

    def counts(self) -> Mapping[Role, Counts]:
        """What each version's replicas did."""

    def addresses(self) -> Mapping[Role, list[str]]:
        """Where each ready replica answers, for its metrics: `http://host:port`."""
