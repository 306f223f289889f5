"""What a cluster serves at this moment, so that applying the manifests again does not undo a release."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from infra.kubernetes.cluster import Cluster
from infra.kubernetes.route import COLOURS, NAME, SPLIT, deployment

_OURS = "har.release/"


@dataclass(frozen=True)
class Live:
    """As the manifests have to have it.

    Attributes:
        images: of blue and green.
        patch: annotations and rules of what divides requests, replicas of blue and green.
    """

    images: dict[str, str]
    patch: dict[str, Any]


def read(cluster: Cluster) -> Live:
    """What is served.

    Raises:
        ReleaseError: the manifests were never applied, or the API does not answer.
    """
    route = cluster.get("configmaps", SPLIT) or cluster.require("httproutes", NAME)
    notes = route["metadata"].get("annotations") or {}
    deployments = {colour: cluster.require("deployments", deployment(colour)) for colour in COLOURS}
    images: dict[str, str] = {}
    for colour, found in deployments.items():
        containers = found["spec"]["template"]["spec"]["containers"]
        images[colour] = next(one["image"] for one in containers if one["name"] == NAME)
    return Live(
        images=images,
        patch={
            "annotations": {name: value for name, value in notes.items() if name.startswith(_OURS)},
            "rules": route.get("spec", {}).get("rules", []),
            "replicas": {colour: found["spec"].get("replicas", 1) for colour, found in deployments.items()},
        },
    )
