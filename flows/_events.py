"""What happened in the project, as Prefect events: a deployment in prefect.yaml may wait for them."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import os
import uuid
from typing import TYPE_CHECKING, Any

from har.errors import HarError
from har.settings import Settings

if TYPE_CHECKING:
    from har.monitoring.decisions import DecisionRow

PROMOTED = "har.model.promoted"
_TIMEOUT_S = 20.0


def promotion(settings: Settings, version: int) -> dict[str, Any]:
    """The event that a version serves from now on, as `prefect.events.emit_event` takes it."""
    return {"event": PROMOTED, "resource": _resource(settings, "model"), "payload": {"version": version}}


def of_decision(settings: Settings, row: DecisionRow) -> dict[str, Any]:
    """The event of a decision; however often it is sent, it has one id."""
    return {
        "event": row.event,
        "resource": _resource(settings, "monitoring"),
        "payload": {**row.payload, "decision": row.decision_id, "date": row.date.isoformat()},
        "id": uuid.uuid5(uuid.NAMESPACE_URL, f"har.decision.{settings.project.name}.{row.decision_id}.{row.attempts}"),
    }


def send(event: dict[str, Any]) -> str:
    """Send an event to the server of Prefect's settings and wait until it has it.

    Returns:
        Why it did not arrive; "" if it did.
    """
    try:
        asyncio.run(asyncio.wait_for(_send(event), _TIMEOUT_S))
    except Exception as error:  # noqa: BLE001  whatever is wrong with the server, what happened has happened
        return f"{type(error).__name__}: {error}"
    return ""


def announce_promotion(settings: Settings, version: int) -> str:
    """Tell the server of PREFECT_API_URL, or the local one if it is up, that a version serves from now on.

    Returns:
        What people should know about it: "" if the event arrived or nobody is there to hear it.
    """
    from flows._server import local_server, running_server

    home = settings.root / ".prefect"
    if os.environ.get("PREFECT_API_URL"):
        from prefect.settings import PREFECT_API_URL, temporary_settings

        server: contextlib.AbstractContextManager[Any] = temporary_settings(
            {PREFECT_API_URL: os.environ["PREFECT_API_URL"]}
        )
    elif running_server(home):
        server = local_server(home)
    else:
        return ""
    try:
        with server:
            why_not = send(promotion(settings, version))
    except HarError as error:
        why_not = str(error)
    return f"The Prefect server did not take the news ({why_not}). Package by hand: har package." if why_not else ""


def _resource(settings: Settings, kind: str) -> dict[str, str]:
    return {
        "prefect.resource.id": f"har.{kind}.{settings.project.name}",
        "prefect.resource.name": settings.project.name,
    }


async def _send(values: dict[str, Any]) -> None:
    from prefect.events import Event
    from prefect.events.clients import get_events_client

    # Every event confirmed: without that, one that the server never got would count as sent.
    async with get_events_client(reconnection_attempts=0, checkpoint_every=1) as client:
        await client.emit(Event(occurred=dt.datetime.now(dt.UTC), **values))
