"""`har.release.Serving` in Kubernetes: two Deployments, blue and green, and a route that divides requests.

With a gateway, the share is one of requests: it draws a version for each anew, so a subject may meet both, and its
history is of neither. With components/haproxy the split is by subject, as everywhere else.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path

from har.errors import HarError, ReleaseError
from har.files import write_atomically
from har.release import BUCKETS, Counts, Role, Served
from har.settings import Settings
from infra.kubernetes.cluster import STRATEGIC, Cluster, Thing
from infra.kubernetes.pods import Figures, address_of, image_of, is_ready, pods_of, trouble
from infra.kubernetes.route import COLOURS, NAME, PORT, Colour, Route, State, deployment, other

START_TIMEOUT_S = 300.0
_POLL_S = 0.5
_PAUSED = "autoscaling.keda.sh/paused-replicas"
_LOOKS_ON = {"HAR_SERVING__SHADOW": "previous", "HAR_SERVING__SHADOW_SHARE": "1"}
"""Of a canary: the former version answers all its requests, too, which is the evidence about it."""


class KubernetesServing:
    """The online service of a namespace.

    Args:
        cluster: the namespace.
        registry: prefix of the images' names, as the setting images.registry has it; a bento's tag becomes an image.
        mirror: the file that tells the stable pods where copies of requests go, as this process sees it (the setting
            serving.mirror); it is in the volume `journal`, which they share. None: no copies are sent.
        start_timeout_s: a canary that is not ready after this long does not start.
    """

    def __init__(
        self,
        cluster: Cluster,
        *,
        registry: str = "",
        mirror: Path | None = None,
        start_timeout_s: float = START_TIMEOUT_S,
    ) -> None:
        self._cluster = cluster
        self._mirror = mirror
        self._registry = registry.rstrip("/")
        self._start_timeout_s = start_timeout_s
        self._route = Route(cluster)
        self._figures: dict[Colour, Figures] = {}

    @property
    def name(self) -> str:
        """In messages."""
        return f"namespace {self._cluster.namespace} of {self._cluster.address}"

    @property
    def is_by_subject(self) -> bool:
        """Whether a subject always meets the same version.

        Raises:
            ReleaseError: the API does not answer.
        """
        return self._route.is_by_subject

    def now(self) -> Served:
        """What it serves."""
        state = self._route.read()
        held = state.is_held(time.time())
        roles = _roles(state)
        return Served(
            stable=self._tag(state.stable),
            canary=self._tag(state.canary) if state.canary else "",
            share=state.weight / BUCKETS if held else 0.0,
            mirror=state.mirror if held else 0.0,
            salt=state.salt,
            lease_until=state.until,
            replicas={role: len(self._ready(roles[role])) if role in roles else 0 for role in ("stable", "canary")},
        )

    def start(self, tag: str, *, salt: str) -> None:
        """Start the canary's pods with no weight; returns once all of them are ready.

        Raises:
            ReleaseError: its image cannot be had, it does not become ready, or another version is being released.
        """
        image = self._image(tag)
        state = self._route.change(lambda found: self._claimed(found, image, salt))
        colour = other(state.stable)
        try:
            self._run(colour, image, self._replicas(state.stable) or 1)
            self._await_ready(colour, image)
        except HarError:
            self._abandon(colour)
            raise

    def share(self, share: float, *, mirror: float = 0.0, lease_s: float) -> None:
        """Let the canary serve a share of the requests, until the lease runs out.

        The stable pods send the copies. A gateway's would be of no use: it drops the answers, which are the evidence,
        and the canary would log predictions that nobody asked for.

        Raises:
            ReleaseError: no version is being released, or the API does not answer.
        """
        copies = mirror if self._mirror else 0.0
        until = time.time() + lease_s

        def shared(found: State) -> State:
            if found.canary is None:
                raise ReleaseError(
                    where=self.name,
                    expected="a version that is being released",
                    got="none",
                    remedy="Start it: har release start.",
                )
            return found.shared(share, copies, until)

        state = self._route.change(shared)
        self._copy_to(state.canary, copies)

    def withdraw(self) -> None:
        """Let the stable version serve everybody, or after a promotion the former one; the other one's pods end.

        Raises:
            ReleaseError: the former version has no pod that is ready, or the API does not answer.
        """
        ended: list[Colour] = []

        def withdrawn(found: State) -> State | None:
            ended.clear()
            if found.canary is not None:
                ended.append(found.canary)
                return found.alone()
            if found.former is not None:
                if not self._ready(found.former):
                    raise ReleaseError(
                        where=deployment(found.former),
                        expected="a pod of the former version that is ready",
                        got="none",
                        remedy="Release the former version: har release start --version N.",
                    )
                ended.append(found.stable)
                return State(stable=found.former)
            return None

        self._route.change(withdrawn)
        self._copy_to(None, 0.0)
        for colour in ended:
            self._end(colour)

    def promote(self, *, keep_former: bool = True) -> None:
        """Let the canary be the stable version; with `keep_former` the former one's pods stay.

        Raises:
            ReleaseError: the canary has no pod that is ready, or the API does not answer.
        """

        def promoted(found: State) -> State | None:
            if found.canary is None:
                return None if keep_former else found.alone()
            if not self._ready(found.canary):
                raise ReleaseError(
                    where=deployment(found.canary),
                    expected="a pod that is ready",
                    got="none",
                    remedy="See why: kubectl describe pods. Then start the release again.",
                )
            return State(stable=found.canary, former=found.stable if keep_former else None)

        state = self._route.change(promoted)
        self._copy_to(None, 0.0)
        if not keep_former:
            self._end(other(state.stable))
            # Nothing is compared any more. The pods are replaced one by one, and none is missed.
            self._run(state.stable, "", None, looks_on=False)

    def scale(self, replicas: int) -> None:
        """How many replicas each version has at least; an autoscaler may add to them.

        Raises:
            ReleaseError: fewer than one, or the API does not answer.
        """
        if replicas < 1:
            raise ReleaseError(
                where="replicas", expected="one or more", got=str(replicas), remedy="Choose another number."
            )
        state = self._route.read()
        for colour in COLOURS:
            self._bound(colour, replicas)
        for colour in COLOURS:
            if colour not in (state.stable, state.canary, state.former):
                continue
            self._cluster.patch("deployments", deployment(colour), {"spec": {"replicas": replicas}})

    def counts(self) -> Mapping[Role, Counts]:
        """What each version's pods say that they did."""
        roles = _roles(self._route.read())
        return {
            role: self._figures.setdefault(colour, Figures()).of(pods_of(self._cluster, colour))
            for role, colour in roles.items()
        }

    def addresses(self) -> Mapping[Role, list[str]]:
        """Where each ready pod answers; only from inside of the cluster."""
        roles = _roles(self._route.read())
        return {
            role: [address for pod in self._ready(roles[role]) if (address := address_of(pod))] if role in roles else []
            for role in ("stable", "canary")
        }

    def _claimed(self, found: State, image: str, salt: str) -> State | None:
        if found.canary is not None:
            beside = self._image_of(found.canary)
            if beside != image:
                raise ReleaseError(
                    where=self.name,
                    expected="no other release",
                    got=f"the release of {self._bare(beside)}",
                    remedy="Promote it or abort it first: har release promote, har release abort.",
                )
        colour = other(found.stable)
        return State(stable=found.stable, canary=colour, salt=salt)

    def _copy_to(self, canary: Colour | None, share: float) -> None:
        if self._mirror is None:
            return
        if canary and share:
            content = json.dumps({"address": f"http://{deployment(canary)}:{PORT}", "share": share})
            if not self._mirror.is_file() or self._mirror.read_text(encoding="utf-8") != content:
                write_atomically(self._mirror, content)
        else:
            self._mirror.unlink(missing_ok=True)

    def _abandon(self, colour: Colour) -> None:
        """End a canary that did not start, unless somebody else has gone on with it."""
        state = self._route.change(lambda found: found.alone() if found.canary == colour else None)
        if state.canary is None and colour not in (state.stable, state.former):
            self._end(colour)

    def _await_ready(self, colour: Colour, image: str) -> None:
        give_up = time.monotonic() + self._start_timeout_s
        while True:
            found = self._cluster.require("deployments", deployment(colour))
            if _is_rolled_out(found) and _image(found) == image:
                return
            problem = trouble(pods_of(self._cluster, colour), image)
            if self._route.read().canary != colour:
                problem = "it was withdrawn while it started"
            elif not problem and time.monotonic() > give_up:
                problem = f"it was not ready within {self._start_timeout_s:g} s"
            if problem:
                raise ReleaseError(
                    where=self._bare(image),
                    problem=f"it does not start: {problem}",
                    remedy=f"See its pods: kubectl describe pods -l har.release/colour={colour}, kubectl logs.",
                )
            time.sleep(_POLL_S)

    def _run(self, colour: Colour, image: str, replicas: int | None, *, looks_on: bool = True) -> None:
        """Change a colour's Deployment: its image, how many replicas, and whether the former version looks on."""
        names = _LOOKS_ON.items()
        env = [{"name": key, "value": value} if looks_on else {"name": key, "$patch": "delete"} for key, value in names]
        container = {"name": NAME, "env": env, **({"image": image} if image else {})}
        spec: Thing = {"template": {"spec": {"containers": [container]}}}
        if replicas is not None:
            spec["replicas"] = replicas
        self._cluster.patch("deployments", deployment(colour), {"spec": spec}, kind=STRATEGIC)
        if replicas is not None and self._cluster.get("scaledobjects", deployment(colour)):
            self._cluster.patch("scaledobjects", deployment(colour), {"metadata": {"annotations": {_PAUSED: None}}})

    def _end(self, colour: Colour) -> None:
        """End a colour's pods when their requests are done."""
        if self._cluster.get("scaledobjects", deployment(colour)):
            self._cluster.patch("scaledobjects", deployment(colour), {"metadata": {"annotations": {_PAUSED: "0"}}})
        self._cluster.patch("deployments", deployment(colour), {"spec": {"replicas": 0}})

    def _bound(self, colour: Colour, replicas: int) -> None:
        """Tell a colour's autoscaler the least number of replicas."""
        for resource, least, most in (
            ("horizontalpodautoscalers", "minReplicas", "maxReplicas"),
            ("scaledobjects", "minReplicaCount", "maxReplicaCount"),
        ):
            found = self._cluster.get(resource, deployment(colour))  # type: ignore[arg-type]
            if found is not None:
                limit = max(replicas, found["spec"].get(most, replicas))
                change = {"spec": {least: replicas, most: limit}}
                self._cluster.patch(resource, deployment(colour), change)  # type: ignore[arg-type]

    def _ready(self, colour: Colour) -> list[Thing]:
        image = self._image_of(colour)
        return [pod for pod in pods_of(self._cluster, colour) if is_ready(pod) and image_of(pod) == image]

    def _replicas(self, colour: Colour) -> int:
        return int(self._cluster.require("deployments", deployment(colour))["spec"].get("replicas", 1))

    def _image_of(self, colour: Colour) -> str:
        return _image(self._cluster.require("deployments", deployment(colour)))

    def _tag(self, colour: Colour) -> str:
        return self._bare(self._image_of(colour))

    def _image(self, tag: str) -> str:
        return f"{self._registry}/{tag}" if self._registry and "/" not in tag else tag

    def _bare(self, image: str) -> str:
        return image.removeprefix(f"{self._registry}/") if self._registry else image


def serving(settings: Settings) -> KubernetesServing:
    """The place where a release works in Kubernetes: the cluster that this process runs in, or kubectl's.

    Args:
        settings: `images.registry` is the prefix of the images' names, and `serving.mirror` the file about copies.

    Raises:
        ReleaseError: there is no cluster to be found, or the package `kubernetes` is not installed.
    """
    mirror = Path(settings.serving.mirror) if settings.serving.mirror else None
    return KubernetesServing(Cluster.open(), registry=settings.images.registry, mirror=mirror)


def _roles(state: State) -> dict[Role, Colour]:
    found: dict[Role, Colour] = {"stable": state.stable}
    if state.canary is not None:
        found["canary"] = state.canary
    return found


def _image(found: Thing) -> str:
    containers = found["spec"]["template"]["spec"]["containers"]
    return str(next((one["image"] for one in containers if one["name"] == NAME), ""))


def _is_rolled_out(found: Thing) -> bool:
    """Whether all replicas are of the newest kind and ready, as `kubectl rollout status` tells it."""
    wanted, status = found["spec"].get("replicas", 1), found.get("status", {})
    return bool(
        wanted
        and status.get("observedGeneration", 0) >= found["metadata"].get("generation", 1)
        and status.get("updatedReplicas", 0) == wanted
        and status.get("replicas", 0) == wanted
        and status.get("availableReplicas", 0) == wanted
    )
