"""Send the events of jobs to Prefect, where they can start deployments (see the triggers in prefect.yaml)."""

from __future__ import annotations

import asyncio
from typing import Any

from har.jobs import Event, Send
from har.settings import Settings

_TIMEOUT_S = 20.0


def sender(settings: Settings) -> Send:
    """A function that sends this project's events to the configured Prefect server and waits until it has them."""

    def send(event: Event) -> str:
        try:
            asyncio.run(asyncio.wait_for(_send(prefect_values(settings, event)), _TIMEOUT_S))
        except Exception as error:  # noqa: BLE001  a job must not fail because its event cannot be sent
            return f"{type(error).__name__}: {error}"
        return ""

    return send


def prefect_values(settings: Settings, event: Event) -> dict[str, Any]:
    """The arguments of Prefect's `Event`."""
    resource = {
        "prefect.resource.id": f"har.{event.subject}.{settings.project.name}",
        "prefect.resource.name": settings.project.name,
    }
    return {"event": event.name, "resource": resource, "payload": event.payload, "id": event.id}


async def _send(values: dict[str, Any]) -> None:
    from prefect.events import Event as PrefectEvent
    from prefect.events.clients import get_events_client
    from prefect.types import DateTime

    # checkpoint_every=1 waits for the server to confirm each event.
    async with get_events_client(reconnection_attempts=0, checkpoint_every=1) as client:
        await client.emit(PrefectEvent(occurred=DateTime.now("UTC"), **values))
