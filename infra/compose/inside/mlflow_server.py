"""MLflow's server on Postgres, with files through it: `python -m infra.compose.inside.mlflow_server`."""

from __future__ import annotations

import os

from har.settings import load_settings
from har.storage import use_service
from infra.compose.inside._entry import run
from infra.compose.inside._secrets import allowed_hosts, database, secret
from infra.compose.inside._waiting import wait_for_port
from infra.local.environment import quiet_environment
from infra.local.serve_mlflow import LOGIN_VARIABLE, serve

PORT = 5000
FILES = "/srv/artifacts"


def main() -> None:
    """Wait for the database, then serve until a signal ends it."""
    wait_for_port("postgres", 5432)
    os.environ.update(
        {
            **quiet_environment(),
            "MLFLOW_BACKEND_STORE_URI": database("psycopg", "mlflow"),
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            LOGIN_VARIABLE: secret("login"),
        }
    )
    use_service(load_settings().service)  # its pages show model files on object storage
    hosts = (f"--host={name}" for name in allowed_hosts("mlflow"))
    serve(["--bind=0.0.0.0", f"--port={PORT}", f"--artifacts={FILES}", "--serve-artifacts", *hosts])


if __name__ == "__main__":
    run(main)
