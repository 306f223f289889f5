"""Events that jobs announce; the caller of a job decides how they are sent."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from har.monitoring.decisions import DecisionRow

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
    subject: Literal["model", "monitoring"]
    payload: dict[str, Any]
    id: uuid.UUID = field(default_factory=uuid.uuid4)


Send = Callable[[Event], str]
"""Sends an event; returns "" once the receiver has it, else the reason why not."""


def promotion_event(version: int) -> Event:
    """The event that a version became the champion."""
    return Event(PROMOTED, "model", {"version": version})


def decision_event(project: str, row: DecisionRow) -> Event:
    """The event of a decision; its id is the same for each attempt, however often it is sent."""
    name = f"har.decision.{project}.{row.decision_id}.{row.attempts}"
    payload = {**row.payload, "decision": row.decision_id, "date": row.date.isoformat()}
    return Event(row.event, "monitoring", payload, uuid.uuid5(uuid.NAMESPACE_URL, name))


def no_receiver(_event: Event) -> str:
    """A `Send` for a job that runs where no receiver is known."""
    return "no Prefect server is known here; `make up` starts one"
