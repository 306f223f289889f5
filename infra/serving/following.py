"""What the keeper decides about versions by itself: the first one, the end of a former one, and `latest` if so set.

With `release.automatic`, a new version comes by a release. Without it, the version that `latest` means replaces the
former one as soon as its replicas are ready, as it does where there is no HAProxy.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

from har.errors import ReleaseError
from har.settings import Settings
from infra.bentoml.store import Store
from infra.local.part import Say
from infra.local.services import packaged
from infra.serving.fleet import Fleet, Kind
from infra.serving.processes import Processes
from infra.serving.proxy import Backend, Split
from infra.serving.state import Place, Wanted

_SALT = "latest"
"""Marks the version beside the stable one as one that is followed, not released."""
_START_TIMEOUT_S = 180.0
_MOST_STARTS = 2


class Following:
    """Writes `serving.json` where no person and no flow does.

    Args:
        settings: of the project.
        place: its files.
        say: gets a line when something changes.
    """

    def __init__(self, settings: Settings, place: Place, say: Say) -> None:
        self._place, self._say = place, say
        self._folder, self._name = settings.path("bentoml"), f"{settings.project.name}-online"
        self._automatic = settings.release.automatic
        self._serving = Processes(settings)
        self._since = 0.0

    def tick(self, fleets: Mapping[Backend, Fleet], count: int) -> None:
        """Look at what is wanted, and at what `latest` means.

        Args:
            fleets: the replicas.
            count: how many of each version there should be.
        """
        wanted = self._place.wanted()
        if wanted.former and time.time() > wanted.former_until:
            self._serving.promote(keep_former=False)
        elif wanted.canary and wanted.salt == _SALT:
            self._replace(wanted, fleets[wanted.beside], count)
        elif not wanted.stable or self._is_gone(wanted, fleets):
            self._serve_first(wanted)
        elif not self._automatic and not wanted.canary:
            self._turn_to_latest(wanted)

    def latest(self) -> str:
        """The tag that `latest` means; "": nothing is packaged, or it is being packaged right now."""
        version = packaged(self._folder, self._name)
        return f"{self._name}:{version}" if version else ""

    def kind(self, wanted: Wanted, fleet: Fleet) -> Kind:
        """What a backend's new replicas are started as; those of another kind are replaced."""
        role = wanted.role(fleet.backend)
        if role == "canary":
            return "stable" if wanted.salt == _SALT else "canary"
        if wanted.former:  # both stay as they are until one of them ends
            return next((one.kind for one in fleet.members if one.tag == wanted.tag(fleet.backend)), "stable")
        return "stable"

    def _is_gone(self, wanted: Wanted, fleets: Mapping[Backend, Fleet]) -> bool:
        """Whether the stable version is no longer in the store, and nothing runs of it."""
        runs = any(member.part.runs for member in fleets[wanted.backend].members)
        return not runs and not Store(self._folder).holds(wanted.stable)

    def _serve_first(self, wanted: Wanted) -> None:
        latest = self.latest()
        if not latest or latest == wanted.stable:
            return
        with self._place.changing() as change:
            if change.wanted != wanted:
                return
            split = Split(stable=wanted.backend)
            split.write(self._place.map)
            change.write(stable=latest, canary="", former="", followed=latest)
        if wanted.stable:
            self._say(f"online service: {wanted.stable} is no longer there; {latest} serves in its place.")

    def _turn_to_latest(self, wanted: Wanted) -> None:
        latest = self.latest()
        if not latest or latest == wanted.followed:
            return
        if latest != wanted.stable:
            try:
                self._serving.begin(latest, salt=_SALT)
            except ReleaseError:  # somebody begins a release right now
                return
            self._since = time.monotonic()
        with self._place.changing() as change:
            change.write(followed=latest)

    def _replace(self, wanted: Wanted, fleet: Fleet, count: int) -> None:
        """Let the version that `latest` means take over once it is ready, or give it up."""
        self._since = self._since or time.monotonic()
        latest = self.latest()
        members = [member for member in fleet.members if member.tag == wanted.canary]
        waited_s = time.monotonic() - self._since
        failed = any(member.starts >= _MOST_STARTS for member in members if not member.part.ready)
        if latest and latest != wanted.canary:
            self._serving.withdraw()
        elif sum(member.ready for member in members) >= count:
            self._serving.promote(keep_former=False)
            self._say(f"online service {_version(wanted.canary)} serves in place of {_version(wanted.stable)}.")
        elif failed or waited_s > _START_TIMEOUT_S:
            self._serving.withdraw()
            problem = "ended before it was ready" if failed else f"was not ready within {waited_s:.0f} s"
            self._say(
                f"online service {_version(wanted.canary)}: {problem}; {_version(wanted.stable)} goes on serving until "
                "another version is packaged."
            )
        else:
            return
        self._since = 0.0


def _version(tag: str) -> str:
    return tag.partition(":")[2] or tag
