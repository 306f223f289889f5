"""Prefect's server on Postgres: `python -m infra.compose.inside.prefect_server`, the service `prefect`."""

from __future__ import annotations

import os

from infra.compose.inside._entry import run
from infra.compose.inside._secrets import allowed_hosts, database, secret
from infra.compose.inside._waiting import wait_for_port
from infra.local.environment import quiet_environment

PORT = 4200


def main() -> None:
    """Wait for the database, then serve until a signal ends it."""
    wait_for_port("postgres", 5432)
    os.environ.update(
        {
            **quiet_environment(),
            "PREFECT_API_DATABASE_CONNECTION_URL": database("asyncpg", "prefect"),
            "PREFECT_SERVER_API_AUTH_STRING": secret("login"),
            # Relative: the page is asked for under the machine's name and port, which the container does not know.
            "PREFECT_UI_API_URL": "/api",
            "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": "",
            "PREFECT_UI_STATIC_DIRECTORY": "/tmp/prefect-ui",  # noqa: S108  a tmpfs of this container alone
        }
    )
    # Prefect reads its settings when it is imported.
    from infra.local.serve import serve

    serve(["--bind=0.0.0.0", f"--port={PORT}", "--full", *(f"--host={name}" for name in allowed_hosts("prefect"))])


if __name__ == "__main__":
    run(main)
