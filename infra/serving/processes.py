"""`har.release.Serving` for processes behind HAProxy: any process of the project may drive it.

What is decided is written first (the map's file, `serving.json`) and then told to the running proxy, so that a proxy
that starts meanwhile decides the same. Replicas are started and ended by the keeper, which follows `serving.json`.
"""

from __future__ import annotations

import contextlib
import time
from collections import defaultdict
from collections.abc import Mapping

from har.errors import ReleaseError, ServerError
from har.release import Counts, Role, Served
from har.settings import Settings
from infra.bentoml.store import Store
from infra.serving.proxy import Backend, Split
from infra.serving.state import Mirrored, Place, Replica, Wanted

_START_TIMEOUT_S = 180.0
_MOST_STARTS = 3
"""A canary whose process ended twice before it was ready does not start."""
_POLL_S = 0.1
_FORMER_MARGIN_S = 120.0
MOST = 16
"""Replicas that a version can have."""
SLOTS = 2 * MOST
"""Of a backend in the proxy: while replicas are replaced, there are old and new ones."""
_ROLES: tuple[Role, ...] = ("stable", "canary")


class Processes:
    """The online service of a project's folder, as `make up` or `python -m infra.delivery.online.site` runs it.

    Args:
        settings: of the project.
        place: its files; by default those in the project's store.
    """

    def __init__(self, settings: Settings, place: Place | None = None) -> None:
        self.place = place or Place(settings)
        self._store = Store(settings.path("bentoml"))
        self._usual_replicas = settings.serving.replicas
        self._keep_former_s = settings.release.keep_former_s
        self._counted: defaultdict[Role, _Rising] = defaultdict(_Rising)

    @property
    def name(self) -> str:
        """In messages."""
        return f"processes behind HAProxy on {self.place.running().address or 'no port yet'}"

    @property
    def address(self) -> str:
        """Where clients reach the service; "": it has never run."""
        return self.place.running().address

    @property
    def is_kept(self) -> bool:
        """Whether `make up` or the site runs, with HAProxy."""
        return self.place.running().is_kept

    def now(self) -> Served:
        """What it serves."""
        wanted, split = self.place.wanted(), self.place.split()
        share = split.share_at()
        copies = self.place.mirrored()
        mirror = copies.share if wanted.canary and copies.until > time.time() else 0.0
        return Served(
            stable=wanted.stable,
            canary=wanted.canary,
            share=share,
            mirror=mirror,
            salt=wanted.salt,
            lease_until=split.until,
            replicas={role: len(self._ready(role)) for role in _ROLES},
        )

    def start(self, tag: str, *, salt: str) -> None:
        """Start the canary's replicas beside the stable ones; returns once all are ready.

        Raises:
            ReleaseError: it is not there, does not become ready, or another version is being released.
        """
        self.begin(tag, salt=salt)
        self._await_ready(tag)

    def begin(self, tag: str, *, salt: str) -> None:
        """`start` without waiting.

        Raises:
            ReleaseError: it is not there, or another version is being released.
        """
        self._require_there(tag)
        with self.place.changing() as change:
            wanted = change.wanted
            if wanted.canary != tag or wanted.salt != salt:
                self._require_free(wanted, tag)
                # First the rule: nobody falls back to a version whose replicas end.
                self._apply(Split(stable=wanted.backend, canary=wanted.beside, salt=salt))
                change.write(canary=tag, former="", salt=salt, former_until=0.0)

    def share(self, share: float, *, mirror: float = 0.0, lease_s: float) -> None:
        """Let the canary serve a share of the subjects until the lease runs out.

        Raises:
            ReleaseError: no version is being released.
        """
        with self.place.changing() as change:
            wanted = change.wanted
            if not wanted.canary:
                raise ReleaseError(
                    where=self.name,
                    expected="a version that is being released",
                    got="none",
                    remedy="Start it: har release start.",
                )
            until = time.time() + lease_s
            self._apply(Split(stable=wanted.backend, canary=wanted.beside, share=share, until=until, salt=wanted.salt))
            mirrored = self._mirrored() if mirror else ""
            if mirrored:
                self.place.copy(Mirrored(mirrored, mirror, until))
            else:
                self.place.mirror.unlink(missing_ok=True)

    def withdraw(self) -> None:
        """Let the stable version, or after a promotion the former one, serve everybody at once."""
        with self.place.changing() as change:
            wanted = change.wanted
            if wanted.canary:
                self._apply(Split(stable=wanted.backend, salt=wanted.salt))
                change.write(canary="")
            elif wanted.former:
                self._apply(Split(stable=wanted.beside, salt=wanted.salt))
                change.write(stable=wanted.former, former="", backend=wanted.beside, former_until=0.0)
            self.place.mirror.unlink(missing_ok=True)

    def promote(self, *, keep_former: bool = True) -> None:
        """Let the canary be the stable version; the former one stays ready, or ends.

        Raises:
            ReleaseError: none of the canary's replicas is ready.
        """
        with self.place.changing() as change:
            wanted = change.wanted
            former = wanted.stable if wanted.canary else wanted.former
            if wanted.canary:
                if not self._ready("canary"):
                    raise ReleaseError(
                        where=wanted.canary,
                        expected="a replica that is ready",
                        got="none",
                        remedy="See its log, and start the release again.",
                    )
                backend, beside = wanted.beside, wanted.backend
                self._apply(Split(stable=backend, former=beside if keep_former and former else None, salt=wanted.salt))
                change.write(stable=wanted.canary, canary="", backend=backend)
                self.place.mirror.unlink(missing_ok=True)
            elif not keep_former:
                self._apply(Split(stable=wanted.backend, salt=wanted.salt))
            until = time.time() + self._keep_former_s + _FORMER_MARGIN_S
            change.write(former=former if keep_former else "", former_until=until if keep_former else 0.0)

    def scale(self, replicas: int) -> None:
        """How many replicas each version has from now on; 0: as har.toml says.

        Raises:
            ReleaseError: fewer, or more than the proxy has slots for.
        """
        if not 0 <= replicas <= MOST:
            raise ReleaseError(
                where="replicas", expected=f"1 to {MOST}", got=str(replicas), remedy="Choose another number."
            )
        with self.place.changing() as change:
            change.write(replicas=replicas)

    def counts(self) -> Mapping[Role, Counts]:
        """What each version's replicas did, since this object was made or longer; it never falls."""
        wanted, running = self.place.wanted(), self.place.running()
        try:
            stats, refusals = self.place.runtime.stats(), self.place.runtime.refusals()
        except ServerError:  # it is being started again: what it will count begins with 0
            stats, refusals = {}, {}
        found: dict[Role, Counts] = {}
        for role, backend in _backends(wanted).items():
            row = stats.get((backend, "BACKEND"), {})
            refused = refusals.get(backend, 0)
            own = [replica for replica in running.replicas if replica.backend == backend]
            now = {
                "requests": int(row.get("req_tot") or 0),
                "failed": int(row.get("hrsp_5xx") or 0),
                "refused": refused,
            }
            risen = self._counted[role].add(wanted.tag(backend), now) if row else self._counted[role].total
            found[role] = Counts(
                **risen,
                starts=running.restarts.get(wanted.tag(backend), 0),
                memory_mb=max((replica.memory_mb for replica in own), default=0.0),
                in_flight=int(row.get("scur") or 0),
            )
        return found

    def addresses(self) -> Mapping[Role, list[str]]:
        """Where each ready replica answers."""
        return {role: [replica.address for replica in self._ready(role)] for role in _ROLES}

    def _require_there(self, tag: str) -> None:
        if not self._store.holds(tag):
            raise ReleaseError(
                where=tag, expected="a bento of this project's store", got="none", remedy="Package it: har package."
            )

    def _mirrored(self) -> str:
        """Where the stable replicas reach one of the canary; "": none is ready."""
        return next((replica.address for replica in self._ready("canary")), "")

    def _ready(self, role: Role) -> list[Replica]:
        wanted = self.place.wanted()
        backend = _backends(wanted).get(role)
        tag = wanted.stable if role == "stable" else wanted.canary
        found = self.place.running().replicas
        return [replica for replica in found if (replica.backend, replica.tag) == (backend, tag) and replica.ready]

    def _require_free(self, wanted: Wanted, tag: str) -> None:
        if wanted.canary and wanted.canary != tag:
            raise ReleaseError(
                where=self.name,
                expected="no other release",
                got=f"the release of {wanted.canary}",
                remedy="Promote it or abort it first: har release promote, har release abort.",
            )
        if not wanted.stable:
            raise ReleaseError(
                where=self.name,
                expected="a version that serves",
                got="none",
                remedy="The first version that is packaged is served at once: har package.",
            )
        if wanted.stable == tag:
            raise ReleaseError(
                where=tag, expected="another version than the one that serves", got="the same", remedy="Nothing to do."
            )

    def _await_ready(self, tag: str) -> None:
        """Wait for the keeper to bring up all replicas of the canary.

        Raises:
            ReleaseError: they do not start, or nobody starts them.
        """
        give_up = time.monotonic() + _START_TIMEOUT_S
        while True:
            wanted, running = self.place.wanted(), self.place.running()
            own = [replica for replica in running.replicas if replica.tag == tag and replica.backend == wanted.beside]
            if wanted.canary != tag:
                problem = "was withdrawn while it started"
            elif not running.is_kept:
                problem = "nobody starts its replicas: neither make up nor the site runs"
            elif any(replica.starts >= _MOST_STARTS for replica in own if not replica.ready):
                problem = f"ended {_MOST_STARTS - 1} times before it was ready"
            elif time.monotonic() > give_up:
                problem = f"was not ready within {_START_TIMEOUT_S:g} s"
            elif running.changes == wanted.changes and sum(replica.ready for replica in own) >= (
                wanted.replicas or self._usual_replicas
            ):
                return
            else:
                time.sleep(_POLL_S)
                continue
            raise ReleaseError(where=tag, problem=problem, remedy="See the logs of its replicas, online-*.log.")

    def _apply(self, split: Split) -> None:
        """Write a rule and let it hold. A proxy that is being started again reads it, and the keeper makes sure."""
        split.write(self.place.map)
        with contextlib.suppress(ServerError):
            self.place.runtime.split(split)


class _Rising:
    """Counters that begin with 0 again when the proxy is restarted or the slot gets another version."""

    def __init__(self) -> None:
        self._tag, self._last = "", {"requests": 0, "failed": 0, "refused": 0}
        self.total = dict(self._last)

    def add(self, tag: str, now: Mapping[str, int]) -> dict[str, int]:
        """The total, with what has come since the last call."""
        restarted = now["requests"] < self._last["requests"]
        if tag != self._tag:
            self._tag, self.total = tag, dict(now)
        else:
            for name, value in now.items():
                self.total[name] += value if restarted else value - self._last[name]
        self._last = dict(now)
        return self.total


def _backends(wanted: Wanted) -> dict[Role, Backend]:
    return {"stable": wanted.backend, **({"canary": wanted.beside} if wanted.canary else {})}
