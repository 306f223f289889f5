"""Which requests pass `SameOrigin`: those of programs and of a service's own page, and no other page's."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bentos.origin import SameOrigin

LOCAL = ("127.0.0.1", 3000)
OUTSIDE = ("172.17.0.2", 3000)


def status(
    *headers: tuple[str, str],
    hosts: tuple[str, ...] = (),
    server: tuple[str, int | None] = LOCAL,
    method: str = "POST",
    kind: str = "http",
    short_names: bool = False,
) -> int:
    """200 if the request reaches the application, else the status (HTTP) or the code (WebSocket) of the refusal."""
    sent: list[dict[str, Any]] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        sent.append({"status": 200})

    async def receive() -> dict[str, Any]:
        return {"type": f"{kind}.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers]
    scope = {"type": kind, "method": method, "path": "/predict", "headers": raw, "server": server}
    asyncio.run(SameOrigin(application, hosts, short_names=short_names)(scope, receive, send))
    return int(sent[0].get("status") or sent[0]["code"])


@pytest.mark.parametrize(
    "host", ["127.0.0.1:3000", "localhost:3000", "LOCALHOST:3000", "localhost", "[::1]:3000", "127.0.0.1:8080"]
)
def test_a_program_on_this_machine_passes(host: str) -> None:
    assert status(("Host", host)) == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:3000",
        "127.0.0.1.evil.example:3000",
        "localhost.evil.example",
        "10.evil.example",
        "192.168.1.5:3000",
        "localhost@evil.example",
        "evil.example/localhost",
        "localhost:99999",
        "",
        "0.0.0.0:3000",
        "rebound",
    ],
)
def test_another_name_for_this_machine_is_refused(host: str) -> None:
    assert status(("Host", host)) == 403
    assert status(("Host", host), kind="websocket") == 1008


def test_no_host_or_two_are_refused() -> None:
    assert status() == 403
    assert status(("Host", "localhost:3000"), ("Host", "evil.example")) == 403


def test_services_may_be_called_by_a_name_without_a_dot() -> None:
    assert status(("Host", "har-online:3000"), short_names=True) == 200
    assert status(("Host", "evil.example:3000"), short_names=True) == 403
    assert status(("Host", "har-online:3000"), ("Origin", "http://other:3000"), short_names=True) == 403


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "http://127.0.0.1:3001",
        "http://localhost:3001",
        "http://localhost",
        "null",
        "file://",
        "chrome-extension://abcdef",
        "http://127.0.0.1:3000.evil.example",
        "http://evil.example:3000",
        "",
    ],
)
def test_a_page_of_another_origin_is_refused(origin: str) -> None:
    host = ("Host", "127.0.0.1:3000")
    for method in ("GET", "POST", "PATCH", "OPTIONS"):
        assert status(host, ("Origin", origin), method=method) == 403
    assert status(host, ("Origin", origin), kind="websocket") == 1008
    # Not even where the name is the attacker's choice: the connection came over another interface.
    assert status(("Host", "har.example.org"), ("Origin", origin), server=OUTSIDE) == 403


@pytest.mark.parametrize("origin", ["http://127.0.0.1:3000", "http://localhost:3000"])
def test_the_services_own_page_passes_by_either_name(origin: str) -> None:
    for host in ("127.0.0.1:3000", "localhost:3000"):
        assert status(("Host", host), ("Origin", origin), ("Sec-Fetch-Site", "cross-site")) == 200
        assert status(("Host", host), ("Origin", origin), kind="websocket") == 200


def test_a_forwarded_port_is_of_the_same_origin() -> None:
    assert status(("Host", "localhost:8080"), ("Origin", "http://localhost:8080")) == 200
    assert status(("Host", "localhost:8080"), ("Origin", "http://localhost:8081")) == 403


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_request_without_origin_shows_by_its_site_whose_page_sent_it(site: str) -> None:
    host, fetched = ("Host", "127.0.0.1:3000"), ("Sec-Fetch-Site", site)
    for mode, kind in (("no-cors", "script"), ("no-cors", "image"), ("navigate", "iframe"), ("cors", "empty")):
        assert status(host, fetched, ("Sec-Fetch-Mode", mode), ("Sec-Fetch-Dest", kind), method="GET") == 403
    link = (("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "document"))
    assert status(host, fetched, *link, method="GET") == 200
    assert status(host, fetched, *link, method="POST") == 403
    for own in ("same-origin", "none"):
        assert status(host, ("Sec-Fetch-Site", own), method="GET") == 200


def test_a_proxys_name_is_taken_where_it_is_configured() -> None:
    host, origin = ("Host", "har.example.org"), ("Origin", "https://har.example.org")
    assert status(host, origin) == 403
    assert status(host, origin, hosts=("HAR.example.org",)) == 200
    assert status(("Host", "127.0.0.1:3000"), origin, hosts=("har.example.org",)) == 200
    assert status(host, ("Origin", "https://evil.example"), hosts=("har.example.org",)) == 403
    assert status(("Host", "har.example.org:8443"), hosts=("har.example.org:8443",)) == 200
    assert status(("Host", "har.example.org:9"), hosts=("har.example.org:8443",)) == 403


def test_over_another_interface_any_name_is_taken_unless_names_are_configured() -> None:
    host = ("Host", "anything.example:3000")
    assert status(host, server=OUTSIDE) == 200
    assert status(host, ("Origin", "http://anything.example:3000"), server=OUTSIDE) == 200
    assert status(host, server=OUTSIDE, hosts=("har.example.org",)) == 403
    # A socket for IPv4 and IPv6 has another name for 127.0.0.1.
    assert status(host, server=("::ffff:127.0.0.1", 3000)) == 403
    assert status(("Host", "localhost:3000"), server=("::ffff:127.0.0.1", 3000)) == 200


def test_a_service_behind_a_socket_file_has_no_host_to_check() -> None:
    assert status(server=("service.sock", None)) == 200
    assert status(("Origin", "https://evil.example"), server=("service.sock", None)) == 403
