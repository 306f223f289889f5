"""Refuse what a web page of another origin sends through a browser on this machine.

A service on 127.0.0.1 is out of reach for other machines, but not for the pages that a browser here shows. Such a page
can send requests to any local port (its `Origin`, or `Sec-Fetch-Site`, is foreign then), and by DNS rebinding it can
give this machine a name of its own and be of the same origin (its `Host` is foreign then). Programs send none of these
headers, or what belongs to the address that they call, and pass.

Only the standard library is imported here: every box and every page of the local stack uses this module.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from functools import lru_cache
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

_DEFAULT_PORTS = {"http": 80, "https": 443}
_SHORT_NAME = re.compile("[a-z0-9]([a-z0-9-]*[a-z0-9])?")
_OWN_SITE = (b"same-origin", b"none")


class SameOrigin:
    """An ASGI application in front of another one: foreign requests are answered with 403 and go no further.

    - `Host`: over a loopback connection, a loopback name (any port, for forwarded ones) or one of `hosts`. On other
      connections any name, unless `hosts` are given.
    - `Origin`, if sent: that of `Host`, a loopback name with this port, or one of `hosts`; never `null`.
    - Without it, `Sec-Fetch-Site` must not be foreign, except for following a link to a page.

    Args:
        application: answers all other requests, HTTP and WebSocket.
        hosts: further names that browsers may use, such as that of a proxy on this machine: `har.example.org`,
            or with a port, `har.example.org:8443`.
        short_names: also take names without a dot, such as a container's. Nobody can register one, so only somebody
            who controls this machine's network could rebind it.
    """

    def __init__(self, application: Application, hosts: Collection[str] = (), *, short_names: bool = False) -> None:
        self._application = application
        self._short_names = short_names
        self._hosts = frozenset(host.lower() for host in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 403, or pass the request on."""
        if scope["type"] not in ("http", "websocket"):
            await self._application(scope, receive, send)
            return
        problem = self._problem(scope)
        if problem is None:
            await self._application(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()  # the handshake; closing before it is accepted answers it with 403
            await send({"type": "websocket.close", "code": 1008})
        else:
            await _refuse(send, *problem)

    def _problem(self, scope: Scope) -> tuple[str, str, str] | None:
        """Field, expected and got of a foreign request; None: it may pass."""
        host = origin = site = None
        hosts = 0
        for name, value in scope["headers"]:
            if name == b"host":
                host = value
                hosts += 1
            elif name == b"origin":
                origin = value
            elif name == b"sec-fetch-site":
                site = value
        name, port = _split(host or b"")
        address, own_port = scope.get("server") or ("", None)
        if own_port is not None and (hosts != 1 or not self._answers_to(name, port, address)):
            return "Host", "a name of this machine, or one of serving.hosts", (host or b"none").decode("latin-1")
        if origin is not None:
            text = origin.decode("latin-1").lower()
            if not self._same(text, name, port, own_port):
                return "Origin", "a page of this address, or of one of serving.hosts", text
        elif site is not None and site not in _OWN_SITE and not _follows_a_link(scope):
            return "Sec-Fetch-Site", "a page of this address", site.decode("latin-1")
        return None

    def _answers_to(self, name: str, port: int | None, address: str) -> bool:
        if self._listed(name, port):
            return True
        if not _is_loopback(address):
            return bool(name) and not self._hosts
        return _is_loopback(name) or (self._short_names and _SHORT_NAME.fullmatch(name) is not None)

    def _listed(self, name: str, port: int | None) -> bool:
        return name in self._hosts or f"{name}:{port}" in self._hosts

    def _same(self, origin: str, name: str, port: int | None, own_port: int | None) -> bool:
        try:
            parts = urlsplit(origin)
            default = _DEFAULT_PORTS[parts.scheme]
            page, page_port = parts.hostname or "", parts.port or default
        except (KeyError, ValueError):  # such as "null", a browser's extension, or a port that is none
            return False
        if page == name and page_port == (port or default):
            return True
        if self._listed(page, page_port):
            return True
        return _is_loopback(page) and _is_loopback(name) and page_port == own_port


@lru_cache(maxsize=256)
def _split(host: bytes) -> tuple[str, int | None]:
    """Name and port of a Host header; the name is "" if it is none."""
    authority = host.decode("latin-1").lower()
    if "@" in authority or "/" in authority:
        return "", None
    try:
        parts = urlsplit(f"//{authority}")
        return parts.hostname or "", parts.port
    except ValueError:
        return "", None


@lru_cache(maxsize=256)
def _is_loopback(name: str) -> bool:
    if name == "localhost":
        return True
    try:
        address = ip_address(name)
    except ValueError:
        return False
    # How a socket for both families names an IPv4 connection: ::ffff:127.0.0.1
    mapped = getattr(address, "ipv4_mapped", None)
    return address.is_loopback or (mapped is not None and mapped.is_loopback)


def _follows_a_link(scope: Scope) -> bool:
    """Whether a browser opens a page in a tab, not in a frame of another page."""
    if scope["type"] != "http" or scope["method"] not in ("GET", "HEAD"):
        return False
    headers = dict(scope["headers"])
    return headers.get(b"sec-fetch-mode") == b"navigate" and headers.get(b"sec-fetch-dest") == b"document"


async def _refuse(send: Send, field: str, expected: str, got: str) -> None:
    remedy = "Open this service by its own address; name a proxy's host in serving.hosts (HAR_SERVING__HOSTS)."
    error = {"field": field, "expected": expected, "got": got[:200], "remedy": remedy}
    body = json.dumps({"error": error}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 403, "headers": headers})
    await send({"type": "http.response.body", "body": body})
