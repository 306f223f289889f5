"""Whatever arrives, the answer is JSON with a 2xx or a 4xx, and the service lives on."""

from __future__ import annotations

import json
import socket
import struct
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from serving_support import ACTIVITIES, CHANNELS, LENGTH, Service, movements

from har.plausibility import NO_SIGNAL, RANGE_SLACK

pytestmark = pytest.mark.stack

ONE = 4 * LENGTH * CHANNELS
LIMITS = RANGE_SLACK * np.array([16 * 9.80665] * 3 + [34.9] * 3, np.float32)
JSON = {"content-type": "application/json"}

quickly = settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def decent(response: httpx.Response) -> dict[str, Any]:
    """The body of an answer that is an answer or a proper refusal."""
    assert 200 <= response.status_code < 300 or 400 <= response.status_code < 500, response.text
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    assert ("error" in body) == (response.status_code >= 400)
    assert "Traceback" not in response.text
    if "error" in body:
        assert body["error"].keys() == {"field", "expected", "got", "remedy"}
    elif "predictions" in body:
        for one in body["predictions"]:
            assert one["activity"] in (*ACTIVITIES, NO_SIGNAL)
            total = 0 if one["activity"] == NO_SIGNAL else 1
            assert sum(one["probabilities"].values()) == pytest.approx(total, abs=1e-4)
    return body


any_shape = st.one_of(
    st.tuples(st.integers(-1, 300), st.just(LENGTH), st.just(CHANNELS)).map(lambda t: ",".join(map(str, t))),
    st.lists(st.integers(-10, 10**12), max_size=5).map(lambda t: ",".join(map(str, t))),
    st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=30),
)
any_body = st.one_of(
    st.binary(max_size=3 * ONE),
    st.binary(min_size=ONE, max_size=ONE),
    st.integers(0, 3 * ONE).map(lambda size: movements(3).tobytes()[:size]),
)
query_text = st.text(st.characters(codec="utf-8"), max_size=40)
# Control characters in a header are refused by uvicorn itself, before there is a request.
header_text = st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=40)


@quickly
@given(
    body=any_body,
    shape=any_shape,
    query=st.dictionaries(st.sampled_from(["subject", "session", "start", "shape", "x"]), query_text, max_size=3),
    kind=st.sampled_from(
        ["application/octet-stream", "application/octet-stream; x=y", "APPLICATION/OCTET-STREAM", "a"]
    ),
    request_id=header_text,
    as_header=st.booleans(),
)
def test_raw_route(
    service: Service, body: bytes, shape: str, query: dict[str, str], kind: str, request_id: str, as_header: bool
) -> None:
    headers = {"content-type": kind, "x-request-id": request_id.encode("latin-1").strip()}
    if as_header:
        headers["x-shape"] = shape.encode("utf-8").strip()
    else:
        query = {**query, "shape": shape}
    decent(service.client.post("/predict/raw", content=body, params=query, headers=headers))


@quickly
@given(bits=st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=8), places=st.randoms(use_true_random=False))
def test_every_bit_pattern_of_a_float(service: Service, bits: list[int], places: Any) -> None:
    windows = movements(2)
    flat = windows.reshape(-1)
    for pattern in bits:
        flat[places.randrange(flat.size)] = np.frombuffer(struct.pack("<I", pattern), "<f4")[0]
    response = service.raw(windows)
    decent(response)
    with np.errstate(invalid="ignore"):
        assert (response.status_code == 200) == bool((np.abs(windows) <= LIMITS).all())


json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=5)),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=12,
)


@quickly
@given(
    body=st.one_of(
        json_values,
        st.fixed_dictionaries(
            {},
            optional={
                "windows": json_values,
                "activity": st.sampled_from(ACTIVITIES) | json_values,
                "request_id": json_values,
                "subject": json_values,
                "session": json_values,
                "start": json_values,
                "end": json_values,
            },
        ),
    ),
    path=st.sampled_from(["/predict", "/feedback"]),
)
def test_any_json(service: Service, body: Any, path: str) -> None:
    decent(service.client.post(path, content=json.dumps(body).encode("utf-8", "surrogatepass"), headers=JSON))


@quickly
@given(where=st.integers(0, 2000), what=st.binary(min_size=1, max_size=4), cut=st.integers(0, 4))
def test_a_good_body_with_some_bytes_replaced(service: Service, where: int, what: bytes, cut: int) -> None:
    body = json.dumps({"windows": movements(1).round(2).tolist(), "subject": "s01"}).encode()
    where %= len(body)
    decent(service.client.post("/predict", content=body[:where] + what + body[where + cut :], headers=JSON))


@settings(quickly, max_examples=60)
@given(data=st.binary(max_size=200), sent=st.integers(0, 400), announced=st.integers(0, 400))
def test_connections_that_break_off(service: Service, data: bytes, sent: int, announced: int) -> None:
    address = urlsplit(service.url)
    head = f"POST /predict/raw?shape=1,16,6 HTTP/1.1\r\nHost: x\r\nContent-Length: {announced}\r\n"
    with socket.create_connection((address.hostname, address.port), timeout=5) as connection:
        connection.sendall(head.encode() + b"Content-Type: application/octet-stream\r\n\r\n" + (data * 9)[:sent])
    assert service.client.get("/livez").status_code == 200


def test_after_all_that_it_still_answers(service: Service) -> None:
    assert service.client.get("/readyz").status_code == 200
    assert len(service.predict(movements(3))["predictions"]) == 3
    assert service.metric("har_requests_total", route="/predict/raw", status="500") == 0
    assert service.metric("har_requests_total", route="/predict", status="500") == 0
