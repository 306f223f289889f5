"""Use a Prefect server that another process runs: found wanting at once, and missed within seconds when it goes."""

from __future__ import annotations

import contextlib
import os
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from har.errors import HarError, ServerError, reason
from infra.local.server import AUTH_VARIABLE, running_server, server_environment, using_server, variables

_ANSWER_S = 10.0
_HASTE = {"PREFECT_CLIENT_MAX_RETRIES": "1", "PREFECT_API_REQUEST_TIMEOUT": "30"}
"""By default, Prefect repeats each request for a minute, and a flow makes a number of them."""


@contextlib.contextmanager
def borrowing_server(home: Path, url: str) -> Iterator[None]:
    """Let Prefect in this process use the server at `url` during the block.

    Args:
        home: the folder of the project's own server; its login is used if `url` is that server.
        url: of the API.

    Raises:
        ServerError: the server cannot be reached, refuses the login, or goes away during the block.
    """
    own = _is_same(url, running_server(home))
    with variables({**_HASTE, **server_environment(home, url, own=own)}):
        problem = _problem(url)
    if problem:
        raise _unusable(url, problem)
    try:
        with variables(_HASTE), using_server(home, url, own=own):
            yield
    except HarError:
        raise
    except Exception as error:
        with variables(server_environment(home, url, own=own)):
            problem = _problem(url)
        if problem:
            raise _unusable(url, f"{problem} any more") from error
        raise


def _problem(url: str) -> str:
    """Why the server at `url` cannot be used; "" if it can."""
    import httpx

    headers = {}
    if secret := os.environ.get(AUTH_VARIABLE):
        headers["Authorization"] = f"Basic {b64encode(secret.encode()).decode()}"
    elif key := os.environ.get("PREFECT_API_KEY"):
        headers["Authorization"] = f"Bearer {key}"
    try:
        answer = httpx.get(f"{url}/admin/version", headers=headers, timeout=_ANSWER_S)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return f"it does not answer ({reason(error)})"
    # Prefect Cloud has no such route, and answers all the same.
    return f"it refuses the login ({answer.status_code})" if answer.status_code in (401, 403) else ""


def _unusable(url: str, problem: str) -> ServerError:
    given = f"correct PREFECT_API_URL and {AUTH_VARIABLE} or unset them" if "PREFECT_API_URL" in os.environ else ""
    return ServerError(
        where=f"Prefect server at {url}",
        problem=problem,
        remedy=f"Start it (`make up`), {given or 'or omit --via-prefect'}: commands need no server to do their work.",
    )


def _is_same(url: str, own: str | None) -> bool:
    """Whether both are the API of the server on this machine that has this port."""
    if own is None:
        return False
    given, known = urlsplit(url), urlsplit(own)
    local = given.hostname in ("127.0.0.1", "localhost")
    return local and (given.scheme, given.port) == (known.scheme, known.port)
