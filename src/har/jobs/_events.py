"""Events that jobs announce; the caller of a job decides how they are sent."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from har.monitoring.decisions import DecisionRow
    from har.release import Record

PROMOTED = "har.model.promoted"


@dataclass(frozen=True)
class Event:
    """Something that happened in the project.

    Attributes:
        name: such as `har.model.promoted`.
        subject: what the event is about.
        payload: JSON values.
        id: the same each time that this event is sent.
    """

    name: str
    subject: Literal["model", "monitoring", "release"]
    payload: dict[str, Any]
    id: uuid.UUID = field(default_factory=uuid.uuid4)


Send = Callable[[Event], str]
"""Sends an event; returns "" once the receiver has it, else the reason why not."""


def promotion_event(version: int, *, back: bool = False) -> Event:
    """The event that a version became the champion.

    Args:
        version: the champion.
        back: it served before, and was put back by a person or by the monitoring.
    """
    return Event(PROMOTED, "model", {"version": version, "back": back})


def release_event(record: Record) -> Event:
    """The event of a step of a release, such as `har.release.ended`; its id is the same each time it is sent."""
    names = ("release", "version", "former", "step", "share", "verdict", "outcome", "who", "sentence")
    payload = {name: getattr(record, name) for name in names}
    return Event(f"har.release.{record.what}", "release", payload, uuid.uuid5(uuid.NAMESPACE_URL, record.id))


def decision_event(project: str, row: DecisionRow) -> Event:
    """The event of a decision; its id is the same for each attempt, however often it is sent."""
    name = f"har.decision.{project}.{row.decision_id}.{row.attempts}"
    payload = {**row.payload, "decision": row.decision_id, "date": row.date.isoformat()}
    return Event(row.event, "monitoring", payload, uuid.uuid5(uuid.NAMESPACE_URL, name))


def no_receiver(_event: Event) -> str:
    """A `Send` for a job that runs where no receiver is known."""
    return "no Prefect server is known here; `make up` starts one"
