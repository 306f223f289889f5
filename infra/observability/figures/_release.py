"""Figures of the release and the replicas, from the files that say what is wanted and what runs."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from har.settings import Settings
from infra.observability.figures._metric import Gauge, gauge

STATES = (
    "none",
    "starting",
    "running",
    "held",
    "paused",
    "keeping",
    "promoted",
    "rolled back",
    "held too long",
    "aborted",
)
"""Of the present or last release: `held`: a step has lasted long enough, but evidence is missing."""

IN_PROGRESS = ("starting", "running", "held", "paused", "keeping")


def release(settings: Settings) -> list[Gauge]:
    """The state of the present or last release, and the replicas."""
    folder = settings.path("bentoml")
    state = _read(folder / "release.json")
    serving = _read(folder / "serving.json")
    replicas = _read(folder / "replicas.json").get("replicas", [])
    now = _state(state)
    going_on = now in IN_PROGRESS
    memory: dict[str, float] = defaultdict(float)
    for replica in replicas:
        memory[replica["role"]] = max(memory[replica["role"]], float(replica.get("memory_mb") or 0) * 1e6)
    return [
        gauge(
            "release_state", "1 for the state of the release", {name: name == now for name in STATES}, labels=["state"]
        ),
        gauge("release_version", "The version that is or was released last", state.get("version")),
        gauge("release_share", "Share of the subjects whom the new version serves", _share(state, going_on)),
        gauge("release_step", "Number of the release's step, from 0", state.get("step") if going_on else None),
        gauge(
            "release_step_began_timestamp_seconds",
            "When this step began",
            state.get("step_began") if going_on else None,
        ),
        gauge(
            "release_held_since_timestamp_seconds",
            "Since when the step could have ended, if evidence were not missing",
            state.get("hold_since") if going_on else None,
        ),
        gauge("release_ended_timestamp_seconds", "When the last release ended", state.get("ended")),
        gauge(
            "release_trouble",
            "1: the release cannot be watched as it should be",
            int(bool(state.get("trouble")) and going_on),
        ),
        gauge(
            "release_lease_timestamp_seconds",
            "Until when the new version serves anybody without being renewed",
            serving.get("until") if going_on else None,
        ),
        gauge("replicas", "Replicas of the online service", _count(replicas), labels=["role", "state"]),
        gauge("replicas_wanted", "How many replicas each version should have", serving.get("replicas")),
        gauge("replica_memory_bytes", "Memory of the largest replica of a role", memory, labels=["role"]),
    ]


def _state(state: dict[str, Any]) -> str:
    if not state:
        return "none"
    phase = state.get("phase")
    if phase == "ended":
        outcome = str(state.get("outcome") or "aborted")
        return outcome if outcome in STATES else "aborted"
    if state.get("paused_by"):
        return "paused"
    if phase == "step":
        return "held" if state.get("hold_since") else "running"
    return str(phase) if phase in STATES else "running"


def _share(state: dict[str, Any], going_on: bool) -> float:
    return float(state.get("share") or 0.0) if going_on else 0.0


def _count(replicas: list[dict[str, Any]]) -> dict[tuple[str, ...], float]:
    states = Counter(
        (str(replica["role"]), "ejected" if replica.get("ejected") else "ready" if replica.get("ready") else "starting")
        for replica in replicas
    )
    roles = {role for role, _ in states}
    return {(role, state): states[role, state] for role in roles for state in ("ready", "starting", "ejected")}


def _read(path: Path) -> dict[str, Any]:
    """A file of the release; empty before the first. Its writers replace it as a whole."""
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return content
