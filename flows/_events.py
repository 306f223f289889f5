"""What jobs announce, as Prefect events: a deployment in prefect.yaml may wait for them."""

from __future__ import annotations

import asyncio
from typing import Any

from har.jobs import Event, Send
from har.settings import Settings

_TIMEOUT_S = 20.0


def sender(settings: Settings) -> Send:
    """Sends this project's events to the server of Prefect's settings, and waits until it has them."""

    def send(event: Event) -> str:
        try:
            asyncio.run(asyncio.wait_for(_send(prefect_values(settings, event)), _TIMEOUT_S))
        except Exception as error:  # noqa: BLE001  whatever is wrong with the server, what happened has happened
            return f"{type(error).__name__}: {error}"
        return ""

    return send


def prefect_values(settings: Settings, event: Event) -> dict[str, Any]:
    """An event as Prefect's `Event` takes it."""
    resource = {
        "prefect.resource.id": f"har.{event.subject}.{settings.project.name}",
        "prefect.resource.name": settings.project.name,
    }
    return {"event": event.name, "resource": resource, "payload": event.payload, "id": event.id}


async def _send(values: dict[str, Any]) -> None:
    from prefect.events import Event as PrefectEvent
    from prefect.events.clients import get_events_client
    from prefect.types import DateTime

    # Every event confirmed: without that, one that the server never got would count as sent.
    async with get_events_client(reconnection_attempts=0, checkpoint_every=1) as client:
        await client.emit(PrefectEvent(occurred=DateTime.now("UTC"), **values))
