"""Environment variables that switch off telemetry and needless log output in all processes that we start."""

from __future__ import annotations

_NO_TELEMETRY = {
    "DO_NOT_TRACK": "true",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "WHYLOGS_NO_ANALYTICS": "1",
    "BENTOML_DO_NOT_TRACK": "true",  # BentoML does not take "1"
    "ORT_DISABLE_TELEMETRY": "1",  # read when ONNX Runtime is imported; its own call to disable comes too late
}

_QUIET_LOGS = {
    "PREFECT_LOGGING_LEVEL": "WARNING",
    "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
    "MLFLOW_LOGGING_LEVEL": "CRITICAL",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "GIT_PYTHON_REFRESH": "quiet",
}


_TIMEOUTS = {"PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180"}
"""Prefect's default of 20 s is too short for a first start on a busy machine."""


def quiet_environment(*, chatter: bool = False) -> dict[str, str]:
    """The variables for a new process, or for this one before it imports Prefect and MLflow.

    Args:
        chatter: do not set log levels; telemetry is off in any case.
    """
    return {**_NO_TELEMETRY, **_TIMEOUTS, **({} if chatter else _QUIET_LOGS)}
