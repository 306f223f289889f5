"""Serve MLflow's pages on an inherited socket, with a login and for this address only; `infra.local.stack` runs this.

MLflow's own application is used, not `mlflow server`: that takes every page on this machine (any port of localhost) for
one of its own, and every address of a private network for its name, and it asks for no login.

Variables: MLFLOW_BACKEND_STORE_URI (the database), STACK_LOGIN (`user:password`). Neither is an argument, because
other users can read arguments.
"""

from __future__ import annotations

import argparse
import os

import uvicorn

from bentos.origin import SameOrigin
from infra.local.door import add_door, door
from infra.local.pages import Login, OwnSite

LOGIN_VARIABLE = "STACK_LOGIN"
_PROXIED = "mlflow-artifacts:/"
"""Where runs keep their files, for clients that reach them through the server alone."""


def serve(arguments: list[str] | None = None) -> None:
    """Serve until a signal ends it; the arguments are those of the command."""
    parser = argparse.ArgumentParser()
    add_door(parser)
    parser.add_argument("--artifacts", required=True, help="the folder of model files")
    parser.add_argument("--serve-artifacts", action="store_true", help="clients send and get files through this server")
    parser.add_argument("--host", action="append", default=[], help="a further name that browsers may use")
    options = parser.parse_args(arguments)
    login = os.environ.pop(LOGIN_VARIABLE)
    # `SameOrigin` is stricter than these; MLflow's own checks must not refuse the further names.
    os.environ["MLFLOW_SERVER_ALLOWED_HOSTS"] = "*"
    origins = [f"{scheme}://{host}" for host in options.host for scheme in ("http", "https")]
    os.environ["MLFLOW_SERVER_CORS_ALLOWED_ORIGINS"] = ",".join(origins)
    database = os.environ["MLFLOW_BACKEND_STORE_URI"]

    from mlflow.server.constants import (
        ARTIFACT_ROOT_ENV_VAR,
        ARTIFACTS_DESTINATION_ENV_VAR,
        BACKEND_STORE_URI_ENV_VAR,
        SERVE_ARTIFACTS_ENV_VAR,
    )
    from mlflow.server.handlers import initialize_backend_stores

    # As `mlflow server` sets them for its workers, with --serve-artifacts or --no-serve-artifacts.
    root = options.artifacts
    if options.serve_artifacts:
        os.environ[SERVE_ARTIFACTS_ENV_VAR] = "true"
        os.environ[ARTIFACTS_DESTINATION_ENV_VAR] = options.artifacts
        root = _PROXIED
    os.environ[BACKEND_STORE_URI_ENV_VAR] = database
    os.environ[ARTIFACT_ROOT_ENV_VAR] = root
    initialize_backend_stores(database, None, root)

    from mlflow.server.fastapi_app import app

    application = SameOrigin(OwnSite(Login(app, login)), options.host)
    configuration = uvicorn.Config(
        application, log_level="warning", log_config=None, access_log=False, timeout_graceful_shutdown=2
    )
    uvicorn.Server(configuration).run(sockets=[door(options)])


if __name__ == "__main__":
    serve()
