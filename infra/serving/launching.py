"""How a replica is started: `bentoml serve` of its bento on a port of its own, with what its role adds."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from har.settings import Settings
from infra.bentoml.store import SHARED_PORT, environment
from infra.local.child import Child
from infra.local.server import HOST
from infra.serving.fleet import Launch, Member
from infra.serving.state import Place

_SETTINGS = "_sections.py"


def launch(settings: Settings, logs: Path) -> Launch:
    """Starts replicas of the project's bentos; each writes a log of its own.

    Args:
        settings: of the project.
        logs: folder for the logs.
    """
    store, place = settings.path("bentoml"), Place(settings)

    def start(member: Member) -> Child:
        knows = _known_to(store, member.tag)
        variables = {"HAR_SERVING__MIRROR": str(place.mirror)} if knows("mirror") else {}
        if member.kind == "canary" and knows("shadow"):
            # The former version answers all that the canary answers, for the comparison.
            variables |= {"HAR_SERVING__SHADOW": "previous", "HAR_SERVING__SHADOW_SHARE": "1"}
        return Child(
            f"{member.backend} {member.name}",
            ["bentoml", "serve", member.tag, "--host", HOST, "--port", str(member.port)],
            environment={
                **os.environ,
                **environment(store),
                "HAR_ROOT": str(settings.root),
                SHARED_PORT: "1",
                **variables,
            },
            log=logs / f"online-{member.backend}-{member.name}.log",
            folder=settings.root,
        )

    return start


def _known_to(store: Path, tag: str) -> Callable[[str], bool]:
    """Whether a bento's own code knows a key of `[serving]`; it refuses variables that it does not know."""
    name, _, version = tag.partition(":")
    files = (store / "bentos" / name / version).glob(f"**/har/settings/{_SETTINGS}")
    text = "\n".join(path.read_text(encoding="utf-8") for path in files)
    return lambda key: f"\n    {key}: " in text
