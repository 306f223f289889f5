"""Figures of the release and the replicas, from the files that say what is wanted and what runs."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any, get_args

from har.settings import Settings
from infra.observability.figures._metric import Gauge, gauge
from infra.serving.state import Condition, Place, Replica

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
"""Of the present or last release: `held`: a step could end, but evidence is missing; `keeping`: the new version serves
everybody, and the former one is still ready."""

IN_PROGRESS = ("starting", "running", "held", "paused", "keeping")
_STEPS = ("running", "held", "paused")


def release(settings: Settings) -> list[Gauge]:
    """The state of the present or last release, and the replicas."""
    place = Place(settings)
    state = _read(place.store / "release.json")
    now = _state(state)
    split = place.split()
    in_step = now in _STEPS
    share = split.share_at() if place.map.exists() else float(state.get("share") or 0.0) * (now in IN_PROGRESS)
    rows = [
        ("release_version", "The version that is or was released last", state.get("version")),
        ("release_share", "Share of the subjects whom the new version serves", share),
        ("release_step", "Number of the release's step, from 0", state.get("step") if in_step else None),
        ("release_step_began_timestamp_seconds", "When this step began", state.get("step_began") if in_step else None),
        (
            "release_held_since_timestamp_seconds",
            "Since when the step could have ended, if evidence were not missing",
            state.get("hold_since") if in_step else None,
        ),
        (
            "release_lease_timestamp_seconds",
            "Until when the new version serves its share without being renewed",
            split.until if in_step and split.until else None,
        ),
        ("release_ended_timestamp_seconds", "When the last release ended", state.get("ended")),
        (
            "release_trouble",
            "1: the release cannot be watched as it should be",
            int(bool(state.get("trouble")) and now in IN_PROGRESS),
        ),
    ]
    states = {name: float(name == now) for name in STATES}
    return [
        gauge("release_state", "1 for the state of the present or last release", states, labels=["state"]),
        *(gauge(*row) for row in rows),
        *_replicas(place, settings.serving.replicas),
    ]


def _replicas(place: Place, usual: int) -> list[Gauge]:
    """Figures of the replicas; of none while nobody keeps them."""
    running = place.running()
    found = running.replicas if running.is_kept else ()
    memory: dict[str, float] = defaultdict(float)
    starts: dict[str, float] = defaultdict(float)
    for replica in found:
        memory[replica.role] = max(memory[replica.role], replica.memory_mb * 1e6)
        starts[replica.role] += replica.starts
    wanted = (place.wanted().replicas or usual) if running.is_kept else None
    return [
        gauge("replicas", "Replicas of the online service", _count(found), labels=["role", "state"]),
        gauge("replicas_wanted", "How many replicas each version should have", wanted),
        gauge("replica_starts", "Processes that were started for the replicas of a role", starts, labels=["role"]),
        gauge("replica_memory_bytes", "Memory of the largest replica of a role", memory, labels=["role"]),
    ]


def _count(replicas: tuple[Replica, ...]) -> dict[tuple[str, ...], float]:
    counted = Counter((replica.role, str(replica.condition)) for replica in replicas)
    roles = {role for role, _ in counted}
    return {(role, condition): counted[role, condition] for role in roles for condition in get_args(Condition)}


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


def _read(path: Path) -> dict[str, Any]:
    """A file of the release; empty before the first. Its writers replace it as a whole."""
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return content
