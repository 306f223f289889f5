"""The pages of people through a real HAProxy: a visit with TLS, and streams that are silent for long."""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from guarded_support import needs_haproxy, proxied
from live_support import STRIDE, Streaming, answers_until, message, now_us, serve_streaming, state_of

from har.inference import Package
from har.tokens import add_token
from infra.serving.proxy._rules import Rules
from infra.serving.proxy.certificates import make_certificate

pytestmark = [needs_haproxy, pytest.mark.stack]


@pytest.fixture
def served(package: Package, tmp_path: Path) -> Iterator[Streaming]:
    with serve_streaming(package, tmp_path / "served", pages="token") as served:
        answer = answers_until(now_us(), 1, ("WALK",))[0]
        served.store.write([state_of("anna", answer)], {"anna": [answer]})
        yield served


def states(lines: Iterator[str]) -> Iterator[str]:
    """The activities that a stream tells as states."""
    name = ""
    for line in lines:
        name = line.removeprefix("event: ") if line.startswith("event: ") else name
        if line.startswith("data: ") and name == "state":
            yield json.loads(line.removeprefix("data: "))["answer"]["activity"]


@pytest.mark.parametrize("silent_s", [0.5, pytest.param(9.0, marks=pytest.mark.release)])
def test_a_visitor_with_tls_sees_what_comes_in(served: Streaming, tmp_path: Path, silent_s: float) -> None:
    """The proxy waits 7 s for an answer; a stream in which nothing happens for longer stays open."""
    made = make_certificate(tmp_path / "tls", ["localhost"])
    trusting = ssl.create_default_context(cafile=str(made.authority))
    rules = Rules.of(served.service.settings, here=())
    (tmp_path / "proxy").mkdir()
    token = add_token(served.service.settings.path("feedback_token"), "gym")
    behind = urlsplit(served.url).port
    with (
        proxied(tmp_path / "proxy", rules, certificate=made.path, service=behind) as port,
        httpx.Client(base_url=f"https://localhost:{port}", verify=trusting, timeout=15) as client,
    ):
        assert client.get("/live").status_code == 200
        assert client.get("/subjects").status_code == 401
        begun = client.post("/login", headers={"Authorization": f"Bearer {token}"})
        assert begun.headers["set-cookie"].endswith("; Secure")
        assert [one["subject"] for one in client.get("/subjects").json()["subjects"]] == ["anna"]
        with client.stream("GET", "/subjects/anna/live") as stream:
            activities = states(stream.iter_lines())
            assert next(activities) == "WALK"
            time.sleep(silent_s)
            later = answers_until(now_us() + STRIDE, 1, ("RUN",))[0]
            served.store.write([state_of("anna", replace(later, abstained=False))], {"anna": [later]})
            assert next(activities) == "RUN"
        assert client.post("/samples", json=message("anna")).status_code == 401
        sent = client.post("/samples", json=message("anna"), headers={"Authorization": f"Bearer {token}"})
        assert (sent.status_code, sent.json()["durable"]) == (202, 0)
    logged = (tmp_path / "proxy" / "haproxy.log").read_text()
    assert r"\/subjects\/NAME" in logged
    assert "anna" not in logged
