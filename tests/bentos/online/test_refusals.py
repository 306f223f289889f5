"""What the service does not take: always a 4xx with field, expected, got and remedy, never a fault or a traceback."""

from __future__ import annotations

import gzip
import json
import socket
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest
from serving_support import CHANNELS, LENGTH, OCTETS, Service, movements

pytestmark = pytest.mark.stack

GOOD: list[Any] = movements(1).tolist()
JSON = {"content-type": "application/json"}


def refused(response: httpx.Response, status: int, *, field: str, expected: str = "", got: str = "") -> None:
    """The answer has this status and names these things; it has a request id, and no trace of the code."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    error = response.json()["error"]
    assert error.keys() == {"field", "expected", "got", "remedy"}
    assert all(isinstance(value, str) and value for value in error.values())
    assert field in error["field"]
    assert expected in error["expected"]
    assert got in error["got"]
    assert response.json()["request_id"] == response.headers["x-request-id"]
    assert "Traceback" not in response.text
    assert ".py" not in response.text
    assert len(response.content) < 2000


def changed(where: tuple[int, ...], value: Any) -> list[Any]:
    """One good window with one thing replaced."""
    windows = json.loads(json.dumps(GOOD))
    target = windows
    for index in where[:-1]:
        target = target[index]
    target[where[-1]] = value
    return windows


@pytest.mark.parametrize(
    ("windows", "field", "expected", "got"),
    [
        (None, "windows", "a list", "null"),
        (3, "windows", "a list", "3"),
        ("1,2,3", "windows", "a list", "1,2,3"),
        ({}, "windows", "a list", "an object"),
        ([], "windows", "a list", "empty"),
        ([[]], "windows[0]", "16 samples", "0"),
        ([1.5], "windows[0]", "16 samples", "1.5"),
        (GOOD[0], "windows[0]", "16 samples", "6"),
        ([[*GOOD[0], GOOD[0][0]]], "windows[0]", "16 samples", "17"),
        ([GOOD[0], GOOD[0][:-1]], "windows[1]", "16 samples", "15"),
        (changed((0, 3), GOOD[0][3][:3]), "windows[0][3]", "6 channels", "3"),
        (changed((0, 3), 1.0), "windows[0][3]", "6 channels", "1.0"),
        (changed((0, 3), None), "windows[0][3]", "6 channels", "null"),
        (changed((0, 3, 2), None), "windows[0][3][2]", "finite number", "null"),
        (changed((0, 3, 2), "1.5"), "windows[0][3][2]", "finite number", "1.5"),
        (changed((0, 3, 2), True), "windows[0][3][2]", "finite number", "true"),
        (changed((0, 3, 2), False), "windows[0][3][2]", "finite number", "false"),
        (changed((0, 3, 2), [1.0]), "windows[0][3][2]", "finite number", "a list"),
        (changed((0, 3, 2), {}), "windows[0][3][2]", "finite number", "an object"),
        (changed((0, 3, 2), 1e7), "accel_z", "finite number", "10000000"),
        (changed((0, 3, 2), 1e300), "windows[0][3][2]", "finite number", "1e+300"),
        (changed((0, 3, 2), 10**18), "windows[0][3][2]", "finite number", "1"),
        (changed((0, 3, 2), -1e7), "windows[0][3][2]", "m/s^2", "-1"),
        (changed((0, 3, 5), 1e7), "gyro_z", "rad/s", "1"),
    ],
)
def test_windows_that_are_none(service: Service, windows: Any, field: str, expected: str, got: str) -> None:
    response = service.client.post("/predict", json={"windows": windows})
    refused(response, 422, field=field, expected=expected, got=got)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"windows",
        b'{"windows": [[[NaN]]]}',
        b'{"windows": [[[Infinity]]]}',
        b'{"windows": [[[1,]]]}',
        b'{"windows": "\xff"}',
        b"\x00" * 100,
        b"\xef\xbb\xbf{}",
        b'{"windows": ' + b"[" * 5000,
        b'{"windows": ' + b"[" * 5000 + b"]" * 5000 + b"}",
        b'{"windows": "\\ud800"}',
    ],
)
def test_malformed_json(service: Service, body: bytes) -> None:
    response = service.client.post("/predict", content=body, headers=JSON)
    refused(response, 400, field="body", expected="JSON")


@pytest.mark.parametrize("number", ["1e400", "-1e400", "9" * 400, "1e39"])
def test_numbers_that_no_float_can_hold(service: Service, number: str) -> None:
    body = json.dumps({"windows": changed((0, 0, 0), 12345)}).replace("12345", number)
    response = service.client.post("/predict", content=body, headers=JSON)
    assert response.status_code in (400, 422)
    refused(response, response.status_code, field="")


@pytest.mark.parametrize("body", [[], 1, "x", None, True, GOOD])
def test_json_that_is_no_object(service: Service, body: Any) -> None:
    response = service.client.post("/predict", content=json.dumps(body), headers=JSON)
    refused(response, 422, field="body", expected="a JSON object")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "windows"),
        ({"window": GOOD}, "window"),
        ({"windows": GOOD, "model": "other"}, "model"),
        ({"windows": GOOD, "x" * 5000: 1}, "x" * 10),
        ({"windows": GOOD, "subject": None}, "subject"),
        ({"windows": GOOD, "subject": 7}, "subject"),
        ({"windows": GOOD, "subject": ""}, "subject"),
        ({"windows": GOOD, "subject": "../s01"}, "subject"),
        ({"windows": GOOD, "subject": "s 01"}, "subject"),
        ({"windows": GOOD, "subject": "s01\n"}, "subject"),
        ({"windows": GOOD, "subject": "s" * 65}, "subject"),
        ({"windows": GOOD, "session": "a b"}, "session"),
        ({"windows": GOOD, "session": []}, "session"),
        ({"windows": GOOD, "start": "yesterday"}, "start"),
        ({"windows": GOOD, "start": "2026-01-31T09:00:00"}, "start"),
        ({"windows": GOOD, "start": "2026-02-31T09:00:00Z"}, "start"),
        ({"windows": GOOD, "start": "2026-01-31"}, "start"),
        ({"windows": GOOD, "start": "0001-01-01T00:00:00+23:59"}, "start"),
        ({"windows": GOOD, "start": 1769850000}, "start"),
    ],
)
def test_fields_that_are_missing_unknown_or_wrong(service: Service, body: dict[str, Any], field: str) -> None:
    refused(service.client.post("/predict", json=body), 422, field=field)


def test_too_many_windows(service: Service) -> None:
    many = movements(257)
    refused(service.client.post("/predict", json={"windows": many.tolist()}), 413, field="windows", got="257")
    refused(service.raw(many), 413, field="", expected="")


@pytest.mark.parametrize(("path", "kind"), [("/predict", JSON), ("/predict/raw", OCTETS), ("/feedback", JSON)])
@pytest.mark.parametrize("announced", [True, False], ids=["announced", "chunked"])
def test_too_large_a_body(service: Service, path: str, kind: dict[str, str], announced: bool) -> None:
    body = b" " * 3_000_000
    content: Any = body if announced else (body[first : first + 65536] for first in range(0, len(body), 65536))
    with httpx.Client(base_url=service.url, timeout=10) as client:
        response = client.post(path, content=content, headers=kind, params={"shape": "1,16,6"} if "raw" in path else {})
    refused(response, 413, field="body", expected="bytes at most")


def test_a_large_body_is_refused_before_it_has_arrived(service: Service) -> None:
    address = urlsplit(service.url)
    with socket.create_connection((address.hostname, address.port), timeout=5) as connection:
        connection.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n")
        connection.sendall(b"Content-Length: 4000000000\r\n\r\n{")
        assert connection.recv(4096).startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize("kind", [None, "", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
@pytest.mark.parametrize("path", ["/predict", "/predict/raw", "/feedback"])
def test_other_media_types(service: Service, path: str, kind: str | None) -> None:
    headers = {} if kind is None else {"content-type": kind}
    refused(service.client.post(path, content=b"{}", headers=headers), 415, field="Content-Type")


def test_a_compressed_body(service: Service) -> None:
    headers = {**JSON, "content-encoding": "gzip"}
    body = gzip.compress(json.dumps({"windows": GOOD}).encode())
    refused(service.client.post("/predict", content=body, headers=headers), 415, field="Content-Encoding")
    plain = {**JSON, "content-encoding": "identity"}
    assert service.client.post("/predict", json={"windows": [GOOD[0]]}, headers=plain).status_code == 200


@pytest.mark.parametrize(
    ("shape", "status", "expected"),
    [
        (None, 400, "N,16,6"),
        ("", 400, "N,16,6"),
        ("1,16", 400, "N,16,6"),
        ("1,16,6,1", 400, "N,16,6"),
        ("1;16;6", 400, "N,16,6"),
        ("a,16,6", 400, "N,16,6"),
        ("1.0,16,6", 400, "N,16,6"),
        ("-1,16,6", 400, "N,16,6"),
        ("١,16,6", 400, "N,16,6"),
        ("9" * 30 + ",16,6", 400, "N,16,6"),
        ("0,16,6", 422, "N,16,6"),
        ("1,15,6", 422, "N,16,6"),
        ("1,6,16", 422, "N,16,6"),
        ("2,16,3", 422, "N,16,6"),
        ("999999999,16,6", 413, "256"),
    ],
)
def test_shapes_that_are_not_the_models(service: Service, shape: str | None, status: int, expected: str) -> None:
    query = {} if shape is None else {"shape": shape}
    response = service.client.post("/predict/raw", content=movements(1).tobytes(), params=query, headers=OCTETS)
    refused(response, status, field="", expected=expected)


@pytest.mark.parametrize("size", [0, 1, 4 * LENGTH * CHANNELS - 1, 4 * LENGTH * CHANNELS + 4, 8 * LENGTH * CHANNELS])
def test_raw_bodies_of_another_size(service: Service, size: int) -> None:
    response = service.client.post("/predict/raw?shape=1,16,6", content=bytes(size), headers=OCTETS)
    refused(response, 422, field="body", expected=f"{4 * LENGTH * CHANNELS} bytes", got=f"{size} bytes")


@pytest.mark.parametrize(
    ("value", "got"), [(np.nan, "nan"), (np.inf, "inf"), (-np.inf, "-inf"), (3e38, "e+38"), (1.1e6, "1100000")]
)
def test_raw_values_that_no_sensor_gives(service: Service, value: float, got: str) -> None:
    windows = movements(3)
    windows[2, 5, 1] = value
    refused(service.raw(windows), 422, field="windows[2][5][1] (accel_y)", expected="finite number", got=got)


@pytest.mark.parametrize(
    "query",
    [
        "shape=1,16,6&shape=1,16,6",
        "shape=1,16,6&colour=red",
        "shape=1,16,6&subject=a%20b",
        "shape=1,16,6&subject=%ff",
        "shape=1,16,6&start=now",
        "shape=1,16,6&start=2026-01-31T09:00:00",
        "shape",
        "&",
        "%",
    ],
)
def test_queries_that_say_nothing_known(service: Service, query: str) -> None:
    for _ in range(2):  # a query that is remembered is one that was valid
        response = service.client.post(f"/predict/raw?{query}", content=movements(1).tobytes(), headers=OCTETS)
        assert response.status_code in (400, 422)
        refused(response, response.status_code, field="")


INTERVAL = {"subject": "s01", "start": "2026-01-31T09:00:00Z", "end": "2026-01-31T09:05:00Z"}


@pytest.mark.parametrize(
    ("body", "field", "expected"),
    [
        ({}, "activity", ""),
        ({"activity": "FLY", "request_id": "a"}, "activity", "SIT, WALK, RUN"),
        ({"activity": "sit", "request_id": "a"}, "activity", "SIT, WALK, RUN"),
        ({"activity": None, "request_id": "a"}, "activity", ""),
        ({"activity": 1, "request_id": "a"}, "activity", ""),
        ({"activity": ["SIT"], "request_id": "a"}, "activity", ""),
        ({"activity": "SIT"}, "request_id", "either"),
        ({"activity": "SIT", "request_id": "a", **INTERVAL}, "request_id", "either"),
        ({"activity": "SIT", "request_id": "a", "subject": "s01"}, "request_id", "either"),
        ({"activity": "SIT", "request_id": None}, "request_id", ""),
        ({"activity": "SIT", "request_id": ""}, "request_id", ""),
        ({"activity": "SIT", "request_id": "a b"}, "request_id", ""),
        ({"activity": "SIT", "subject": "s01", "start": INTERVAL["start"]}, "", "either"),
        ({"activity": "SIT", **INTERVAL, "end": INTERVAL["start"]}, "end", "later"),
        ({"activity": "SIT", **INTERVAL, "end": "2026-01-31T08:00:00Z"}, "end", "later"),
        ({"activity": "SIT", **INTERVAL, "end": "2026-01-31T10:04:00+02:00"}, "end", "later"),
        ({"activity": "SIT", **INTERVAL, "start": "09:00"}, "start", "zone"),
        ({"activity": "SIT", **INTERVAL, "start": None}, "start", "zone"),
        ({"activity": "SIT", **INTERVAL, "subject": "s/01"}, "subject", ""),
        ({"activity": "SIT", "request_id": "a", "note": "hm"}, "note", ""),
    ],
)
def test_feedback_about_nothing_known(service: Service, body: Any, field: str, expected: str) -> None:
    refused(service.client.post("/feedback", json=body), 422, field=field, expected=expected)


@pytest.mark.parametrize("path", ["/predict", "/predict/raw", "/feedback", "/model", "/livez", "/readyz", "/docs.json"])
def test_other_methods(service: Service, path: str) -> None:
    allowed = "POST" if path.startswith(("/predict", "/feedback")) else "GET"
    for method in {"PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "QUERY", "GET", "POST"} - {allowed}:
        response = service.client.request(method, path)
        refused(response, 405, field="method", expected=allowed, got=method)
        assert allowed in response.headers["allow"]


@pytest.mark.parametrize("path", ["/x", "/predict/", "/predict/raw/x", "/x//predict", "/models", "/%00", "/..%2fmodel"])
def test_other_paths_of_the_service_alone(serve, package, path: str) -> None:
    response = serve(package, alone=True).client.get(path)
    assert response.status_code == 404
    assert response.json()["error"].keys() == {"field", "expected", "got", "remedy"}


def test_after_all_that_it_still_answers(service: Service) -> None:
    assert len(service.predict(movements(3))["predictions"]) == 3
    assert service.metric("har_fallback_total", by="rule", reason="error") == 0
