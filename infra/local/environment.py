"""The one list of variables that keep every process we start from phoning home, and from talking over our own words."""

from __future__ import annotations

_NO_TELEMETRY = {
    "DO_NOT_TRACK": "true",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "WHYLOGS_NO_ANALYTICS": "1",
    "BENTOML_DO_NOT_TRACK": "true",  # BentoML does not take "1"
    "ORT_DISABLE_TELEMETRY": "1",  # read when ONNX Runtime is imported; its own call to disable comes too late
}

_NO_CHATTER = {
    "PREFECT_LOGGING_LEVEL": "WARNING",
    "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "GIT_PYTHON_REFRESH": "quiet",
}


_PATIENCE = {"PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180"}
"""Prefect's own 20 s are not enough for a first start on a busy machine."""


def quiet_environment(*, chatter: bool = False) -> dict[str, str]:
    """Variables for a process to be started, or for this one before it imports Prefect and MLflow.

    Args:
        chatter: leave the log levels alone; telemetry is off either way.
    """
    return {**_NO_TELEMETRY, **_PATIENCE, **({} if chatter else _NO_CHATTER)}
