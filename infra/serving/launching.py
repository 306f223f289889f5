"""How a replica is started: `bentoml serve` of its bento on a port of its own, with what its role adds."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from har.settings import Settings
from infra.bentoml.store import SHARED_PORT, environment
from infra.local.child import Child
from infra.local.server import HOST
from infra.serving.fleet import Launch, Member
from infra.serving.state import Place

SETTINGS_CODE = "har/settings/_sections.py"
"""Where a bento's own code says which keys of `[serving]` it knows."""
_CANARY = {"shadow": "previous", "shadow_share": "1"}
"""The former version answers all that the canary answers, for the comparison."""


def launch(settings: Settings, logs: Path) -> Launch:
    """Starts replicas of the project's bentos; each writes a log of its own.

    Args:
        settings: of the project.
        logs: folder for the logs.
    """
    store, place = settings.path("bentoml"), Place(settings)

    def start(member: Member) -> Child:
        given = {"mirror": str(place.mirror)}
        variables = known_variables(_code_of(store, member.tag), given, canary=member.kind == "canary")
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


def known_variables(code: str, given: Mapping[str, str], *, canary: bool) -> dict[str, str]:
    """The variables of a replica, without keys that its release does not know: it would refuse to start.

    Args:
        code: content of the release's `SETTINGS_CODE`.
        given: keys of `[serving]` and their values.
        canary: whether it is one, and the former version looks on.
    """

    def knows(key: str) -> bool:
        return f"\n    {key}: " in code

    wanted = {**given, **(_CANARY if canary and knows("shadow") else {})}
    return {f"HAR_SERVING__{key.upper()}": value for key, value in wanted.items() if knows(key)}


def _code_of(store: Path, tag: str) -> str:
    name, _, version = tag.partition(":")
    files = (store / "bentos" / name / version).glob(f"**/{SETTINGS_CODE}")
    return "\n".join(path.read_text(encoding="utf-8") for path in files)
