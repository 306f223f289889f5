"""What the proxy lets through, with a real HAProxy: routes, sizes, rates, slow clients, and what answers carry."""

from __future__ import annotations

import base64
import hashlib
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from guarded_support import needs_haproxy, proxied, speak
from serving_support import write_settings

from bentos._front import BENTOML_PATHS
from bentos._page import PAGE
from bentos.online.label import FILES as LABEL_FILES
from bentos.online.label import PATHS as LABEL_PATHS
from bentos.online.stream import FILES
from infra.serving.proxy import _rules
from infra.serving.proxy._rules import LOOPBACK, PAGE_SCRIPT, PATHS, UNANNOUNCED_BYTES, Rules

pytestmark = [needs_haproxy, pytest.mark.stack]

SIZES = {"/predict": 60_000, "/predict/raw": 40_000, "/feedback": 500}


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Without a limit on the rate."""
    with proxied(tmp_path_factory.mktemp("proxy"), Rules(SIZES, here=())) as port:
        yield port


@pytest.fixture
def client(port: int) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=15) as client:
        yield client


def refused(answer: httpx.Response, status: int) -> dict[str, str]:
    """The refusal, in the service's form."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    content = answer.json()
    assert set(content) == {"error", "request_id"}
    assert content["request_id"] == answer.headers["x-request-id"] != ""
    assert set(content["error"]) == {"field", "expected", "got", "remedy"}
    return dict(content["error"])


@pytest.mark.parametrize("path", ["/", "/model", "/docs.json", "/readyz", "/static_content/swagger-ui.css"])
def test_the_routes_of_the_service_pass(client: httpx.Client, path: str) -> None:
    assert client.get(path).json()["path"] == path


@pytest.mark.parametrize("path", ["/metrics", "/metrics/", "/../metrics", "/%6detrics", "/predict/", "/x"])
def test_no_other_route_exists_from_outside(client: httpx.Client, path: str) -> None:
    assert refused(client.get(path), 404)["field"] == "path"


@pytest.mark.parametrize(
    "path", ["/subjects", "/subjects/s01", "/subjects/J%C3%B6rg.2/live", "/live", "/pages/live.js"]
)
def test_the_routes_of_people_pass(client: httpx.Client, path: str) -> None:
    assert client.get(path).json()["path"] == path


@pytest.mark.parametrize(
    "path", ["/subjects/", "/subjects/a/b", "/subjects/a/live/", "/subjects//live", "/pages/", "/pages/x"]
)
def test_nothing_else_beside_them_passes(client: httpx.Client, path: str) -> None:
    assert refused(client.get(path), 404)["field"] == "path"


@pytest.mark.parametrize("target", ["//metrics", "http://a/metrics", "/./metrics", "/model/../metrics"])
def test_no_spelling_of_a_route_leads_around_it(port: int, target: str) -> None:
    answer = speak(port, f"GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 404 ")


@pytest.mark.parametrize(("path", "size"), SIZES.items())
def test_a_body_has_the_size_of_its_route(client: httpx.Client, path: str, size: int) -> None:
    assert client.post(path, content=bytes(size)).json()["size"] == size
    error = refused(client.post(path, content=bytes(size + 1)), 413)
    assert error["expected"] == f"{size} bytes at most"
    assert error["got"] == f"{size + 1} bytes"


def test_a_route_that_takes_no_body_gets_none(client: httpx.Client) -> None:
    assert refused(client.request("GET", "/model", content=b"a"), 413)["expected"] == "none"


def test_the_size_is_refused_before_the_body_is_sent(port: int) -> None:
    """The client announces a gigabyte and has sent nothing of it when the answer is there."""
    began = time.monotonic()
    got = speak(port, b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: 1073741824\r\n\r\n", timeout_s=2)
    assert got.startswith(b"HTTP/1.1 413 ")
    assert time.monotonic() - began < 4


def test_a_body_without_a_length_ends_where_the_proxy_holds_no_more(client: httpx.Client) -> None:
    def parts(size: int) -> Iterator[bytes]:
        for _ in range(size // 1000):
            yield bytes(1000)

    small = UNANNOUNCED_BYTES // 1000 * 1000
    assert client.post("/predict", content=parts(small)).json()["size"] == small
    error = refused(client.post("/predict", content=parts(200_000)), 413)
    assert error["remedy"] == "Send the header Content-Length."
    refused(client.post("/feedback", content=parts(1000)), 413)


def test_a_length_that_is_not_the_bodys_smuggles_no_second_request(port: int) -> None:
    both = (
        b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"0\r\n\r\nGET /metrics HTTP/1.1\r\nHost: a\r\n\r\n"
    )
    assert b"Secret" not in speak(port, both, timeout_s=2)
    two = b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcde"
    assert speak(port, two, timeout_s=2).startswith(b"HTTP/1.1 400 ")


def test_headers_have_a_size_and_a_number(client: httpx.Client) -> None:
    long = {f"X-{number}": "a" * 1200 for number in range(6)}
    assert client.get("/model", headers=long).status_code == 200
    # More than the proxy's buffer holds is refused by HAProxy itself, without a body of ours.
    refused(client.get("/model", headers={"X-Long": "a" * 40_000}), 431)
    assert client.get("/model", headers={"X-Long": "a" * 70_000}).status_code == 400
    assert client.get("/model", headers={f"X-{number}": "a" for number in range(100)}).status_code == 400


@pytest.mark.release
def test_who_sends_slowly_is_sent_away(port: int) -> None:
    """Neither unfinished headers nor an unfinished body hold a place for long, and the service sees neither."""
    begun = (b"GET /model HTTP/1.1\r\nHo", b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nabc")
    began = time.monotonic()
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda text: speak(port, text), begun))
    assert all(answer.startswith(b"HTTP/1.1 408 ") for answer in answers)
    assert b'"error"' in answers[1]
    assert time.monotonic() - began < 14


def test_answers_name_no_server_and_bind_the_browser(client: httpx.Client) -> None:
    for answer in (client.get("/"), client.get("/metrics"), client.post("/predict", content=bytes(70_000))):
        assert "server" not in answer.headers
        assert "Secret" not in str(answer.headers)
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert client.post("/predict", content=b"{}").headers["cache-control"] == "no-store"


def test_the_request_has_one_id_on_its_whole_way(client: httpx.Client) -> None:
    answer = client.get("/model", headers={"X-Request-Id": "mine-1"})
    assert answer.json()["headers"]["x-request-id"] == answer.headers["x-request-id"] == "mine-1"
    for headers in ({}, {"X-Request-Id": "with blank"}, {"X-Request-Id": 'a"b'}):
        answer = client.get("/model", headers=headers)
        assert re.fullmatch("[0-9a-f-]{36}", answer.json()["headers"]["x-request-id"])
    refused(client.get("/x", headers={"X-Request-Id": '","a":"'}), 404)


def test_who_is_elsewhere_is_announced_by_the_proxy_alone(client: httpx.Client) -> None:
    forged = {"X-Forwarded-For": "127.0.0.1", "Forwarded": "for=127.0.0.1", "X-Real-IP": "127.0.0.1"}
    got = client.get("/model", headers=forged).json()["headers"]
    assert got["x-forwarded-for"] == "127.0.0.1"  # where this test runs
    assert "forwarded" not in got
    assert "x-real-ip" not in got


def test_a_client_here_is_announced_as_nobody_else(tmp_path: Path) -> None:
    """So that the service knows that it needs no token; another proxy's headers stay."""
    with (
        proxied(tmp_path, Rules(SIZES, 6), local=True) as port,
        httpx.Client(base_url=f"http://127.0.0.1:{port}") as client,
    ):
        assert "x-forwarded-for" not in client.get("/model").json()["headers"]
        headers = client.get("/model", headers={"X-Forwarded-For": "203.0.113.9"}).json()["headers"]
        assert headers["x-forwarded-for"] == "203.0.113.9"
        assert all(client.get("/model").status_code == 200 for _ in range(30))
    assert Rules(SIZES).here == LOOPBACK


@pytest.mark.release
def test_a_client_may_ask_so_often(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_rules, "RATE_S", 2)
    with (
        proxied(tmp_path, Rules(SIZES, 300, here=())) as port,
        httpx.Client(base_url=f"http://127.0.0.1:{port}") as client,
    ):
        first = [client.get("/model") for _ in range(10)]
        assert [answer.status_code for answer in first] == [200] * 10
        error = refused(client.get("/model"), 429)
        assert error["expected"].startswith("at most 10 in 2 s from one address")
        # Another connection and made-up tokens are the same client.
        answer = httpx.get(f"http://127.0.0.1:{port}/model", headers={"Authorization": "Bearer made-up"})
        refused(answer, 429)
        assert answer.headers["retry-after"] == "2"
        time.sleep(4.2)
        assert client.get("/model").status_code == 200


def test_a_token_may_ask_so_often_from_wherever_it_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two addresses of this machine send the same token, and each stays below what an address may send."""
    monkeypatch.setattr(_rules, "RATE_S", 10)
    with proxied(tmp_path, Rules(SIZES, 60, here=())) as port:
        found = []
        for number in range(12):
            transport = httpx.HTTPTransport(local_address=f"127.0.0.{2 + number % 2}")
            with httpx.Client(transport=transport) as client:
                token = {"Authorization": "Bearer one"}
                found.append(client.get(f"http://127.0.0.1:{port}/model", headers=token))
    assert [answer.status_code for answer in found] == [200] * 10 + [429] * 2
    assert "from one token" in found[-1].json()["error"]["expected"]


def test_the_limits_hold_what_the_models_take(tmp_path: Path) -> None:
    settings = write_settings(tmp_path / "project")
    limits = Rules.of(settings)
    values = settings.serving.max_windows * settings.length * len(settings.sensors.channels)
    assert limits.body_bytes["/predict/raw"] >= 4 * values
    assert limits.body_bytes["/predict"] >= 32 * values
    assert limits.body_bytes["/samples"] == settings.stream.message_bytes
    assert limits.requests_per_minute == settings.serving.requests_per_minute


def test_the_proxy_knows_the_routes_and_the_page_of_the_service() -> None:
    metrics = {"/metrics", "/metrics/"}
    own = {"/", "/model", "/model/card", "/predict", "/predict/raw", "/feedback", "/samples"}
    people = {"/subjects", "/login", "/logout", "/live", *(f"/pages/{name}" for name in FILES if name != "live.html")}
    labels = {*LABEL_PATHS, *(f"/pages/{name}" for name in LABEL_FILES)}
    assert set(PATHS) == own | people | labels | BENTOML_PATHS - metrics
    script = re.search(rb"<script>(.*?)</script>", PAGE)
    assert script
    assert f"sha256-{base64.b64encode(hashlib.sha256(script[1]).digest()).decode()}" == PAGE_SCRIPT
