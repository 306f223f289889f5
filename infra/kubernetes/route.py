"""Which colour of the online service gets which share: an object of the cluster, as a value and back.

With a gateway it is the HTTPRoute `online`, whose weights count; with components/haproxy the ConfigMap `split`, whose
rule the proxies follow. Annotations say the rest. All is written by one patch, so nobody ever sees half of it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

from har.release import BUCKETS, buckets
from infra.kubernetes.cluster import Cluster, ConflictError, Resource, Thing
from infra.serving.proxy import Split

Colour = Literal["blue", "green"]
COLOURS: tuple[Colour, Colour] = ("blue", "green")

NAME, SPLIT = "online", "split"
PORT = 3000
_KEY = "har.release/"
_TRIES = 5


def other(colour: Colour) -> Colour:
    """The other colour."""
    return COLOURS[1 - COLOURS.index(colour)]


def deployment(colour: Colour) -> str:
    """The name of a colour's Deployment, Service and autoscaler."""
    return f"{NAME}-{colour}"


@dataclass(frozen=True)
class State:
    """Who serves.

    Attributes:
        stable: serves all requests that the canary does not.
        canary: of the version that is being released; None: nothing is.
        former: of the version that served before, kept ready after a promotion; None: it is not kept.
        weight: the canary's, of 10,000.
        mirror: share of the requests of which the canary gets a copy.
        salt: of the release.
        until: when the canary's weight ends, in seconds since 1970.
    """

    stable: Colour = "blue"
    canary: Colour | None = None
    former: Colour | None = None
    weight: int = 0
    mirror: float = 0.0
    salt: str = ""
    until: float = 0.0

    def shared(self, share: float, mirror: float, until: float) -> State:
        """With another share of the canary."""
        return replace(self, weight=buckets(share), mirror=mirror, until=until)

    def is_held(self, now: float) -> bool:
        """Whether the lease has not run out."""
        return self.until > now

    def alone(self) -> State:
        """With the stable colour alone, and nothing being released."""
        return State(stable=self.stable)


class Route:
    """Who gets what, in a cluster.

    Args:
        cluster: the namespace.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._chosen: tuple[Resource, str] | None = None

    @property
    def is_by_subject(self) -> bool:
        """Whether a subject always meets the same version. A gateway draws one anew for each request.

        Raises:
            ReleaseError: the API does not answer.
        """
        return self._place()[0] == "configmaps"

    def read(self) -> State:
        """What it is now.

        Raises:
            ReleaseError: there is neither of the two objects, or the API does not answer.
        """
        return _state(self._cluster.require(*self._place()))

    def change(self, move: Callable[[State], State | None]) -> State:
        """Change it, on top of what it is at that moment.

        Args:
            move: from what it is to what it shall be; None: as it is. Called again if somebody else was faster.

        Raises:
            ReleaseError: the API does not answer, or others change it again and again.
        """
        for attempt in range(_TRIES):
            found = self._cluster.require(*self._place())
            before = _state(found)
            after = move(before)
            if after is None or after == before:
                return before
            try:
                self._cluster.patch(*self._place(), _patch(found, after))
            except ConflictError:
                if attempt == _TRIES - 1:
                    raise
                time.sleep(0.02 * (attempt + 1))
            else:
                return after
        raise AssertionError("the loop ends by return or raise")

    def _place(self) -> tuple[Resource, str]:
        if self._chosen is None:
            proxied = self._cluster.get("configmaps", SPLIT) is not None
            chosen: tuple[Resource, str] = ("configmaps", SPLIT) if proxied else ("httproutes", NAME)
            self._chosen = chosen
        return self._chosen


def split_of(found: Thing) -> Split:
    """The proxy's rule, of the ConfigMap `split`."""
    state = _state(found)
    return Split(
        stable=state.stable,
        canary=state.canary,
        former=state.former,
        share=state.weight / BUCKETS,
        until=math.ceil(state.until),
        salt=state.salt,
    )


def _note(found: Thing, name: str) -> str:
    return str((found["metadata"].get("annotations") or {}).get(_KEY + name, ""))


def _state(found: Thing) -> State:
    stable, canary, former = (_colour(_note(found, name)) for name in ("stable", "canary", "former"))
    stable = stable or "blue"
    if "spec" in found:
        weights = _weights(found)
        weight = round(weights.get(canary, 0) * BUCKETS / (sum(weights.values()) or 1)) if canary else 0
    else:
        weight = int(_note(found, "weight") or 0)
    return State(
        stable=stable,
        canary=canary,
        former=former,
        weight=weight,
        mirror=float(_note(found, "mirror") or 0),
        salt=_note(found, "salt"),
        until=float(_note(found, "until") or 0),
    )


def _colour(word: str) -> Colour | None:
    return next((colour for colour in COLOURS if colour == word), None)


def _weights(found: Thing) -> dict[Colour, int]:
    for rule in found["spec"].get("rules", []):
        weights = {colour: ref.get("weight", 1) for ref in rule.get("backendRefs", []) if (colour := _of(ref))}
        if weights:
            return weights
    return {}


def _of(ref: Thing) -> Colour | None:
    return next((colour for colour in COLOURS if ref.get("name") == deployment(colour)), None)


def _patch(found: Thing, state: State) -> Thing:
    """As a merge patch, which replaces the list of rules: all that is not ours in them stays."""
    notes: dict[str, str | None] = {
        "stable": state.stable,
        "canary": state.canary,
        "former": state.former,
        "salt": state.salt or None,
        "mirror": f"{state.mirror:g}" if state.mirror else None,
        "until": f"{state.until:.3f}" if state.until else None,
    }
    if "spec" not in found:
        notes["weight"] = str(state.weight) if state.weight else None
    changed: Thing = {
        "metadata": {
            "resourceVersion": found["metadata"]["resourceVersion"],
            "annotations": {_KEY + name: value for name, value in notes.items()},
        }
    }
    if "spec" in found:
        changed["spec"] = {"rules": [_rule(rule, state) for rule in found["spec"].get("rules", [])]}
    return changed


def _rule(rule: Thing, state: State) -> Thing:
    refs = rule.get("backendRefs", [])
    if not any(_of(ref) for ref in refs):
        return rule
    weights = {state.stable: BUCKETS - state.weight, other(state.stable): state.weight}
    kept = [ref for ref in refs if not _of(ref)]
    return {**rule, "backendRefs": [*({**_ref(colour), "weight": weights[colour]} for colour in COLOURS), *kept]}


def _ref(colour: Colour) -> dict[str, Any]:
    return {"name": deployment(colour), "port": PORT}
