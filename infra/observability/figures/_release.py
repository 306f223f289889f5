"""Figures of the release and the replicas, from the files that say what is wanted and what runs."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import get_args

from har.release import Releases, State
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
    state = Releases(place.store).state()
    now = _word(state)
    split = place.split()
    step = state if now in _STEPS else None
    share = split.share_at() if place.map.exists() else state.share if state and now in IN_PROGRESS else 0.0
    rows = [
        ("release_version", "The version that is or was released last", state.version if state else None),
        ("release_share", "Share of the subjects whom the new version serves", share),
        ("release_step", "Number of the release's step, from 0", step.step if step else None),
        ("release_step_began_timestamp_seconds", "When this step began", step.step_began if step else None),
        (
            "release_held_since_timestamp_seconds",
            "Since when the step could have ended, if evidence were not missing",
            step.hold_since if step else None,
        ),
        (
            "release_lease_timestamp_seconds",
            "Until when the new version serves its share without being renewed",
            split.until if step and split.until else None,
        ),
        ("release_ended_timestamp_seconds", "When the last release ended", state.ended if state else None),
        (
            "release_trouble",
            "1: the release cannot be watched as it should be",
            float(bool(state and state.trouble and now in IN_PROGRESS)),
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


def _word(state: State | None) -> str:
    """One of `STATES`."""
    if state is None:
        return "none"
    if state.phase == "ended":
        return state.outcome or "aborted"
    if state.paused_by:
        return "paused"
    if state.phase == "step":
        return "held" if state.hold_since else "running"
    return state.phase
