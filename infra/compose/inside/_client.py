"""What a process needs to use the stack's Prefect and MLflow from inside."""

from __future__ import annotations

import os
from pathlib import Path

from infra.compose.inside._secrets import FOLDER, secret
from infra.local.environment import quiet_environment

PREFECT = "http://prefect:4200/api"
MLFLOW = "http://mlflow:5000"


def client_environment(secrets: Path = FOLDER) -> dict[str, str]:
    """Addresses and logins of Prefect and MLflow, and patience for their restarts.

    Raises:
        SettingsError: the login cannot be read.
    """
    login = secret("login", secrets)
    user, _, password = login.partition(":")
    return {
        **quiet_environment(chatter=True),
        "MLFLOW_LOGGING_LEVEL": "CRITICAL",
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
        "PREFECT_API_URL": PREFECT,
        "PREFECT_API_AUTH_STRING": login,
        "MLFLOW_TRACKING_URI": MLFLOW,
        "MLFLOW_TRACKING_USERNAME": user,
        "MLFLOW_TRACKING_PASSWORD": password,
        "PREFECT_LOGGING_LEVEL": "INFO",
        "PREFECT_WORKER_QUERY_SECONDS": "2",
        # A database or server that is away for a minute or two costs time, not the run. With the defaults a request
        # is repeated for about a minute, and not at all after 500, which Prefect answers when Postgres is away.
        "PREFECT_CLIENT_MAX_RETRIES": "8",
        "PREFECT_CLIENT_RETRY_EXTRA_CODES": "500,502,504",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "8",
        # On a volume: the temporary files of a large job do not fit into the container's memory.
        "TMPDIR": str(Path(os.environ.get("HAR_ROOT", ".")) / "runs" / "tmp"),
    }
