"""Serve MLflow's pages on an inherited socket, with a login and for this address only; `infra.local.stack` runs this.

MLflow's own application is used, not `mlflow server`: that takes every page on this machine (any port of localhost) for
one of its own, and every address of a private network for its name, and it asks for no login.

Variables: MLFLOW_BACKEND_STORE_URI (the database), STACK_LOGIN (`user:password`). Neither is an argument, because
other users can read arguments.
"""

from __future__ import annotations

import argparse
import base64
import hmac
import os
import socket

import uvicorn

from bentos.origin import Application, Receive, SameOrigin, Scope, Send

LOGIN_VARIABLE = "STACK_LOGIN"
_OPEN = ("/health", "/version")


class Login:
    """An ASGI application in front of another one: a browser asks its user for the login, by HTTP's own dialogue."""

    def __init__(self, application: Application, login: str) -> None:
        self._application = application
        self._expected = b"Basic " + base64.b64encode(login.encode())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on if it has the login or asks for the server's health; otherwise answer 401."""
        if scope["type"] == "lifespan" or scope["path"] in _OPEN:
            await self._application(scope, receive, send)
            return
        given = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
        if hmac.compare_digest(given, self._expected):
            await self._application(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008})
        else:
            body = b"The login is in the file that `har up` names.\n"
            headers = [
                (b"www-authenticate", b'Basic realm="MLflow of this project", charset="UTF-8"'),
                (b"content-type", b"text/plain"),
                (b"content-length", str(len(body)).encode()),
            ]
            await send({"type": "http.response.start", "status": 401, "headers": headers})
            await send({"type": "http.response.body", "body": body})


def _serve() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--socket", type=int, required=True)
    parser.add_argument("--artifacts", required=True, help="the folder of model files")
    parser.add_argument("--host", action="append", default=[], help="a further name that browsers may use")
    options = parser.parse_args()
    login = os.environ.pop(LOGIN_VARIABLE)
    # `SameOrigin` is stricter than these; MLflow's own checks must not refuse the further names.
    os.environ["MLFLOW_SERVER_ALLOWED_HOSTS"] = "*"
    origins = [f"{scheme}://{host}" for host in options.host for scheme in ("http", "https")]
    os.environ["MLFLOW_SERVER_CORS_ALLOWED_ORIGINS"] = ",".join(origins)
    database = os.environ["MLFLOW_BACKEND_STORE_URI"]

    from mlflow.server import ARTIFACT_ROOT_ENV_VAR, BACKEND_STORE_URI_ENV_VAR
    from mlflow.server.handlers import initialize_backend_stores

    # As `mlflow server --no-serve-artifacts` sets them for its workers.
    os.environ[BACKEND_STORE_URI_ENV_VAR] = database
    os.environ[ARTIFACT_ROOT_ENV_VAR] = options.artifacts
    initialize_backend_stores(database, None, options.artifacts)

    from mlflow.server.fastapi_app import app

    application = SameOrigin(Login(app, login), options.host)
    configuration = uvicorn.Config(application, log_level="warning", access_log=False, timeout_graceful_shutdown=2)
    uvicorn.Server(configuration).run(sockets=[socket.socket(fileno=options.socket)])


if __name__ == "__main__":
    _serve()
