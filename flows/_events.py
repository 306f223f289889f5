"""What happened in the project, as Prefect events: a deployment in prefect.yaml may wait for them."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import os
from typing import Any

from har.settings import Settings

PROMOTED = "har.model.promoted"
_TIMEOUT_S = 20.0


def promotion(settings: Settings, version: int) -> dict[str, Any]:
    """The event that a version serves from now on, as `prefect.events.emit_event` takes it."""
    return {
        "event": PROMOTED,
        "resource": {
            "prefect.resource.id": f"har.model.{settings.project.name}",
            "prefect.resource.name": settings.project.name,
        },
        "payload": {"version": version},
    }


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
            asyncio.run(asyncio.wait_for(_send(promotion(settings, version)), _TIMEOUT_S))
    except Exception as error:  # noqa: BLE001  the promotion is done; whatever is wrong with the server cannot undo it
        return (
            f"The Prefect server did not take the news ({type(error).__name__}: {error}). Package by hand: har package."
        )
    return ""


async def _send(values: dict[str, Any]) -> None:
    from prefect.events import Event
    from prefect.events.clients import get_events_client

    # Every event confirmed: without that, one that the server never got would count as sent.
    async with get_events_client(reconnection_attempts=0, checkpoint_every=1) as client:
        await client.emit(Event(occurred=dt.datetime.now(dt.UTC), **values))
