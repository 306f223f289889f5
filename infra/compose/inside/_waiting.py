"""Wait for the services that a service needs: not every engine starts them in order, and any of them may restart."""

from __future__ import annotations

import socket
import time
import urllib.request
from collections.abc import Callable

from har.errors import ServerError, reason

_POLL_S = 1.0
_ANSWER_S = 5.0


def wait_for_port(host: str, port: int, timeout_s: float = 300.0) -> None:
    """Wait until something listens on `host:port`.

    Raises:
        ServerError: not in time.
    """
    _until(lambda: socket.create_connection((host, port), timeout=_ANSWER_S).close(), f"{host}:{port}", timeout_s)


def wait_for_answer(address: str, timeout_s: float = 300.0) -> None:
    """Wait until `address` answers with 200.

    Raises:
        ServerError: not in time.
    """
    _until(lambda: answer(address), address, timeout_s)


def answer(address: str) -> bytes:
    """The body of the answer at `address`, asked for without a proxy.

    Raises:
        OSError: no answer, or not with 200.
    """
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(address, timeout=_ANSWER_S) as got:
        return bytes(got.read())


def _until(attempt: Callable[[], object], where: str, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            attempt()
        except OSError as error:
            if time.monotonic() > deadline:
                raise ServerError(
                    where=where,
                    problem=f"did not answer within {timeout_s:g} s ({reason(error)})",
                    remedy="See its log: python -m infra.compose logs.",
                ) from error
        else:
            return
        time.sleep(_POLL_S)
