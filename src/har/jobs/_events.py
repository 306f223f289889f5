"""What a job announces: values that whoever runs it can send."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from har.monitoring import DecisionRow

PROMOTED = "har.model.promoted"


@dataclass(frozen=True)
class Event:
    """Something that happened in the project.

    Attributes:
        name: such as `har.model.promoted`.
        subject: what it is about.
        payload: JSON values.
        id: equal each time the same event is sent.
    """

    name: str
    subject: Literal["model", "monitoring"]
    payload: dict[str, Any]
    id: uuid.UUID = field(default_factory=uuid.uuid4)


Send = Callable[[Event], str]
"""Sends an event: "" once the receiver has it, else why it did not arrive."""


def promotion(version: int) -> Event:
    """The event that a version serves from now on."""
    return Event(PROMOTED, "model", {"version": version})


def of_decision(project: str, row: DecisionRow) -> Event:
    """The event of a decision; each attempt has one id, however often it is sent."""
    name = f"har.decision.{project}.{row.decision_id}.{row.attempts}"
    payload = {**row.payload, "decision": row.decision_id, "date": row.date.isoformat()}
    return Event(row.event, "monitoring", payload, uuid.uuid5(uuid.NAMESPACE_URL, name))


def nobody_listens(_event: Event) -> str:
    """For a job that runs where no receiver is known."""
    return "no Prefect server is known here; `make up` starts one"
