"""The service as it is run: `bentoml serve`, with its worker processes, pages and metrics."""

from __future__ import annotations

import fcntl
import http.client
import os
import re
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import numpy as np
import orjson
import psutil
import pytest
from serving_support import ACTIVITIES, OCTETS, Served, bentoml_serving, eventually, movements, read_journal

from har.inference import Classifier, Package

pytestmark = pytest.mark.stack

BODY = orjson.dumps({"windows": movements(1).tolist()})
JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def pair(model_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Two workers; the shadow sees every request."""
    with bentoml_serving(model_store, tmp_path_factory.mktemp("pair"), workers=2, shadow_share=1.0) as served:
        yield served


def predict(served: Served, windows: np.ndarray) -> dict:
    """Ask over a new connection, so that either worker may answer."""
    with httpx.Client(base_url=served.url, timeout=10) as client:
        response = client.post("/predict", json={"windows": windows.tolist()})
    assert response.status_code == 200, response.text
    return response.json()


def by_each(served: Served) -> list[dict]:
    """Answers to single windows, until each of two workers has given one; their ids start alike within a worker."""
    answers: list[dict] = []

    def both() -> bool:
        answers.append(predict(served, movements(1)))
        return len({answer["request_id"].split("-")[0] for answer in answers}) == 2

    eventually(both, 30)
    return answers


def test_metrics_are_sums_over_the_workers(pair: Served) -> None:
    before = pair.metrics()
    answers = by_each(pair)
    expected = len(answers)

    def grown(name: str) -> float:
        return pair.metrics().get(name, 0) - before.get(name, 0)

    eventually(lambda: grown('har_requests_total{route="/predict",status="200"}') == expected)
    assert grown("har_windows_total") == expected
    assert grown("har_confidence_count") == expected
    assert grown('har_request_seconds_count{route="/predict"}') == expected
    assert sum(grown(f'har_predictions_total{{activity="{name}"}}') for name in ACTIVITIES) == expected
    eventually(lambda: grown("har_shadow_seconds_count") == expected)
    eventually(lambda: grown("har_log_lines_total") == 2 * expected)


def test_every_metric_that_was_promised_is_on_the_page(pair: Served) -> None:
    pair.client.post("/predict", content=b"{}", headers=JSON)
    predict(pair, movements(3))
    eventually(lambda: pair.metrics().get("har_shadow_seconds_count"))
    page = pair.client.get("/metrics").text
    for name in (
        'har_requests_total{route="/predict",status="200"}',
        'har_requests_total{route="/predict",status="422"}',
        'har_request_seconds_bucket{le="0.0005",route="/predict"}',
        "har_windows_total",
        'har_predictions_total{activity="WALK"}',
        "har_confidence_bucket",
        "har_abstained_total",
        "har_breaker_state 0.0",
        "har_log_lines_total",
        'har_shadow_windows_total{agrees="true"}',
        "har_shadow_seconds_bucket",
    ):
        assert name in page, name
    # From the start, or an alert on their growth would miss the first of them.
    for name in ('har_fallback_total{by="rule",reason="open"} 0.0', 'har_log_dropped_total{reason="queue"} 0.0'):
        assert name in page, name
    (champion,) = [line for line in page.splitlines() if "har_model_info" in line and 'role="champion"' in line]
    assert 'version="7"' in champion
    assert champion.endswith(" 1.0")


def test_answers_are_the_classifiers(pair: Served, package: Package) -> None:
    windows = movements(40, seed=11)
    expected = Classifier(package.model).predict(windows).probabilities
    raw = pair.client.post("/predict/raw?shape=40,16,6", content=windows.tobytes(), headers=OCTETS).json()
    for answer in (predict(pair, windows), raw):
        got = [[one["probabilities"][name] for name in ACTIVITIES] for one in answer["predictions"]]
        np.testing.assert_allclose(got, expected, atol=1e-5)


def test_all_routes_answer(pair: Served) -> None:
    for path in ("/livez", "/readyz", "/model", "/metrics", "/docs.json", "/schema.json", "/"):
        assert pair.client.get(path).status_code == 200, path
    assert "text/html" in pair.client.get("/").headers["content-type"]
    assert pair.client.get("/no/such/page").status_code == 404
    assert pair.client.post("/metrics").status_code == 405
    feedback = pair.client.post("/feedback", json={"activity": "RUN", "request_id": "a-1"})
    assert feedback.status_code == 202
    for body in (b"{", b'{"windows": [[[NaN]]]}', b"\x00"):
        refusal = pair.client.post("/predict", content=body, headers=JSON)
        assert refusal.status_code == 400
        assert refusal.json()["error"]["field"].startswith("body")


def test_the_page_finds_what_it_loads(pair: Served) -> None:
    names = re.findall(r'(?:href|src)="(static_content/[^"]+)"', pair.client.get("/").text)
    assert len(names) == 2
    for name in names:
        assert pair.client.get(f"/{name}").status_code == 200, name


def test_each_worker_writes_its_own_log(pair: Served) -> None:
    ids = {answer["request_id"] for answer in by_each(pair)}
    folder = pair.settings.path("journal")
    eventually(lambda: ids <= {line.get("request_id") for line in read_journal(folder)})
    writers = {int(path.name.split("-")[1]) for path in folder.glob("*.jsonl")}
    assert len(writers) == 2
    assert writers <= set(pair.children())


def test_nothing_heavy_is_loaded(pair: Served) -> None:
    for pid in pair.children():
        loaded = Path(f"/proc/{pid}/maps").read_text()
        for name in ("torch", "polars", "pandas", "mlflow", "deltalake", "pyarrow", "sqlalchemy"):
            assert f"/{name}" not in loaded, name


def test_a_killed_worker_is_missed_by_nobody_for_long(pair: Served) -> None:
    by_each(pair)
    before = set(pair.children())
    victim = min(int(path.name.split("-")[1]) for path in pair.settings.path("journal").glob("*.jsonl"))
    counted = pair.metrics()["har_windows_total"]
    os.kill(victim, signal.SIGKILL)
    eventually(lambda: victim not in pair.children() and len(pair.children()) == len(before), 30)
    for path in pair.settings.path("journal").glob(f"*-{victim}-*.jsonl"):
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # what is dead holds no lock

    def answered() -> bool:
        try:
            return len(by_each(pair)) > 0
        except httpx.TransportError:
            return False

    eventually(answered, 30)
    assert pair.metrics()["har_windows_total"] > counted
    assert pair.metrics()["har_breaker_state"] == 0


def test_at_the_end_every_accepted_request_is_answered(pair: Served) -> None:
    address = urlsplit(pair.url)
    counts: Counter[str] = Counter()
    done = threading.Event()

    def client(keep: bool) -> None:
        headers = JSON if keep else {**JSON, "Connection": "close"}
        connection: http.client.HTTPConnection | None = None
        while not done.is_set():
            try:
                if connection is None:
                    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=10)
                    connection.connect()
            except ConnectionRefusedError:
                connection = None
                counts["refused"] += 1
                done.wait(0.02)
                continue
            try:
                connection.request("POST", "/predict", BODY, headers)
                response = connection.getresponse()
                response.read()
                counts[str(response.status)] += 1
                if response.will_close:
                    connection.close()
                    connection = None
            except (OSError, http.client.HTTPException) as error:
                counts[f"lost: {error!r}"] += 1
                connection = None

    clients = [threading.Thread(target=client, args=(number % 2 == 0,)) for number in range(8)]
    for one in clients:
        one.start()
    try:
        eventually(lambda: counts["200"] > 100, 30)
        before = counts["200"]
        process = psutil.Process(pair.pid)
        process.terminate()
        # Readiness goes first, while requests are still answered.
        eventually(lambda: httpx.get(f"{pair.url}/readyz").status_code == 503)
        assert httpx.get(f"{pair.url}/livez").status_code == 200
        assert httpx.get(f"{pair.url}/livez").headers["connection"] == "close"
        eventually(lambda: counts["refused"] > 8, 20)
    finally:
        done.set()
        for one in clients:
            one.join(20)
    process.wait(20)
    assert counts["200"] > before
    assert counts.keys() == {"200", "refused"}, counts
    assert "Traceback" not in pair.log.read_text()


@pytest.fixture(scope="module")
def single(model_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One worker, which takes two requests at once."""
    with bentoml_serving(model_store, tmp_path_factory.mktemp("single"), max_concurrency=2, timeout_s=8.0) as served:
        yield served


def test_paths_that_nobody_knows_leave_no_metrics(single: Served) -> None:
    single.client.get("/schema.json")
    before = len(single.client.get("/metrics").text.splitlines())
    for number in range(30):
        for path in (f"/{number}", f"/static_content/{number}.js", f"/predict/{number}", f"/schema.json/{number}"):
            assert single.client.get(path).status_code == 404, path
            assert single.client.post(path, content=b"x").status_code == 404, path
    assert len(single.client.get("/metrics").text.splitlines()) == before


def test_the_limits_of_connections_hold_behind_bentoml(single: Served) -> None:
    response = httpx.get(f"{single.url}/livez", headers={"X-A": "a" * 40_000})
    assert response.status_code == 431
    assert response.headers["connection"] == "close"
    assert "a request line and headers of at most 16384 bytes" in response.text


def test_a_small_soak_leaves_memory_as_it_was(single: Served) -> None:
    address = urlsplit(single.url)
    requests = [
        ("/predict", BODY, JSON),
        ("/predict", BODY, JSON),
        ("/predict/raw?shape=1,16,6", movements(1).tobytes(), OCTETS),
        ("/predict", BODY[:-1], JSON),
    ]

    def ask(times: int) -> int:
        connection = http.client.HTTPConnection(address.hostname, address.port, timeout=10)
        with closing(connection):
            for number in range(times):
                path, body, headers = requests[number % 4]
                connection.request("POST", path, body, headers)
                response = connection.getresponse()
                assert response.status == (400 if number % 4 == 3 else 200)
                response.read()
        return max(psutil.Process(pid).memory_info().rss for pid in (single.pid, *single.children()))

    before = ask(2000)
    after = ask(4000)
    assert after < 1.05 * before
    assert single.metrics()['har_log_dropped_total{reason="queue"}'] == 0


def test_a_foreign_host_or_origin_is_refused_on_every_path(single: Served) -> None:
    for path in ("/", "/model", "/metrics", "/schema.json", "/readyz", "/predict", "/nothing"):
        for headers in ({"Host": "evil.example"}, {"Origin": "https://evil.example"}, {"Origin": "null"}):
            assert single.client.get(path, headers=headers).status_code == 403
    assert single.client.get("/model", headers={"Origin": single.url}).status_code == 200


def test_nothing_but_the_service_listens(single: Served) -> None:
    family = [psutil.Process(pid) for pid in (single.pid, *single.children())]
    listening = {one.laddr for process in family for one in process.net_connections("tcp") if one.status == "LISTEN"}
    assert listening == {("127.0.0.1", urlsplit(single.url).port)}


def test_what_was_answered_is_in_the_log_when_the_service_has_stopped(single: Served) -> None:
    ids = [predict(single, movements(1))["request_id"] for _ in range(50)]
    process = psutil.Process(single.pid)
    process.terminate()
    process.wait(20)
    lines = read_journal(single.settings.path("journal"))
    assert [line["request_id"] for line in lines if line["kind"] == "prediction"][-50:] == ids
    assert "Traceback" not in single.log.read_text()
