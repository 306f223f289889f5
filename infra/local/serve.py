"""Serve Prefect's API, and with --full its pages, on an inherited socket; `infra.local.server` runs this as a child.

A container has no socket to inherit and says --bind and --port. `create_app` is called directly because `prefect server
start` takes a second process and three more seconds.
"""

from __future__ import annotations

import argparse
import os

import uvicorn

# By default, the server forgets at a restart who holds the places of deployments that run one at a time, and each place
# that a killed run held is lost for ever. In files, it is free again after five minutes.
os.environ.setdefault("PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE", "prefect.server.concurrency.lease_storage.filesystem")

from prefect.server.api.server import create_app

from bentos.origin import SameOrigin
from infra.local.door import add_door, door
from infra.local.pages import OwnSite


def serve(arguments: list[str] | None = None) -> None:
    """Serve until a signal ends it; the arguments are those of the command."""
    parser = argparse.ArgumentParser()
    add_door(parser)
    parser.add_argument("--full", action="store_true", help="also the pages, the scheduler and the other services")
    parser.add_argument("--host", action="append", default=[], help="a further name that browsers may use")
    options = parser.parse_args(arguments)
    # Prefect itself checks neither Host nor Origin; its login is set by the variables of `start_server`.
    own = door(options)
    names = [f"{name}:{own.getsockname()[1]}" for name in ("127.0.0.1", "localhost")] + options.host
    api = [f"{scheme}://{name}" for name in names for scheme in ("http", "https", "ws", "wss")]
    pages = OwnSite(create_app(ephemeral=not options.full, final=True), api)
    application = SameOrigin(pages, options.host)
    configuration = uvicorn.Config(
        application, log_level="warning", log_config=None, access_log=False, lifespan="on", timeout_graceful_shutdown=2
    )
    uvicorn.Server(configuration).run(sockets=[own])


if __name__ == "__main__":
    serve()
