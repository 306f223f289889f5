"""Windows in, activities out: the same as the classifier's, whichever way they are sent."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from serving_support import ACTIVITIES, CHANNELS, LENGTH, Service, eventually, movements

from har.inference import Classifier

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
def classifier(service: Service) -> Classifier:
    return Classifier(service.package.model)


def table(answer: dict) -> np.ndarray:
    """Probabilities (N, K) in the order of the activities."""
    return np.array([[one["probabilities"][name] for name in ACTIVITIES] for one in answer["predictions"]])


@pytest.mark.parametrize("count", [1, 2, 16, 17, 256])
@pytest.mark.parametrize("way", ["json", "raw"])
def test_equals_the_classifier(service: Service, classifier: Classifier, count: int, way: str) -> None:
    windows = movements(count, seed=count)
    answer = service.predict(windows) if way == "json" else service.raw(windows).json()
    expected = classifier.predict(windows).probabilities
    np.testing.assert_allclose(table(answer), expected, atol=1e-5)
    for one, row in zip(answer["predictions"], expected, strict=True):
        assert one["activity"] == ACTIVITIES[row.argmax()]
        assert one["confidence"] == pytest.approx(row.max(), abs=1e-5)
        assert one["abstained"] == (one["confidence"] < classifier.metadata.abstain_below)
        assert list(one["probabilities"]) == list(ACTIVITIES)
    assert answer["model_version"] == 7
    assert answer["fallback"] is False
    assert answer.keys() == {"request_id", "model_version", "fallback", "predictions", "warnings"}


def test_a_window_unlike_the_training_data_is_told(service: Service) -> None:
    before = service.metric("har_unknown_total")
    strange = movements(6, seed=5)
    strange[3:, :, :3] *= 8  # stronger than anybody in the training data moved, and within the sensor's limits
    answer = service.predict(strange)
    assert [one["unknown"] for one in answer["predictions"]] == [False] * 3 + [True] * 3
    assert eventually(lambda: service.metric("har_unknown_total") == before + 3)
    line = eventually(lambda: [one for one in service.lines("prediction") if one["request_id"] == answer["request_id"]])
    assert line[0]["unknown"] == [False] * 3 + [True] * 3


def test_a_model_of_an_older_release_calls_nothing_unknown(make_package: Any, serve: Any) -> None:
    service = serve(make_package("previous"))
    answer = service.predict(100 * movements(2, seed=5) / 20)
    assert [one["unknown"] for one in answer["predictions"]] == [False, False]
    assert eventually(lambda: service.lines("prediction"))[0]["unknown"] is None


def test_the_model_has_learnt_and_some_windows_are_abstained(service: Service) -> None:
    answers = service.predict(movements(60, seed=4))["predictions"]
    right = [one["activity"] == ACTIVITIES[row % 3] for row, one in enumerate(answers)]
    assert np.mean(right) > 0.9
    between = np.mean([movements(200, seed=5, activity=label) for label in (0, 1)], axis=0, dtype=np.float32)
    unsure = service.predict(between)["predictions"]
    assert {one["abstained"] for one in unsure} >= {False}
    assert all(one["abstained"] == (one["confidence"] < 0.5) for one in unsure)


@pytest.mark.parametrize("text", ["1e0", "1", "1.0", "1.00000000000000000000000", "10e-1", "0.1E+1"])
def test_any_notation_of_a_number_is_read(service: Service, text: str) -> None:
    window = "[" + ",".join("[" + ",".join([text] * CHANNELS) + "]" for _ in range(LENGTH)) + "]"
    body = f'{{"windows": [{window}]}}'
    response = service.client.post("/predict", content=body, headers={"content-type": "application/json"})
    assert response.json()["predictions"] == service.predict(np.ones((1, LENGTH, CHANNELS)))["predictions"]


def test_the_shape_may_come_as_a_header(service: Service) -> None:
    windows = movements(2)
    response = service.client.post(
        "/predict/raw",
        content=windows.tobytes(),
        headers={"X-Shape": f"2,{LENGTH},{CHANNELS}", "Content-Type": "application/octet-stream"},
    )
    assert response.json()["predictions"] == service.raw(windows).json()["predictions"]


def test_a_repeated_query_is_read_alike(service: Service, classifier: Classifier) -> None:
    for seed in (1, 2):
        for count in (3, 2):
            windows = movements(count, seed=seed)
            answer = service.raw(windows, subject="s44", session=f"n{count}").json()
            np.testing.assert_allclose(table(answer), classifier.predict(windows).probabilities, atol=1e-5)

    def sessions() -> list[str] | None:
        found = [line["session"] for line in service.lines("prediction") if line["subject"] == "s44"]
        return found if len(found) == 4 else None

    assert eventually(sessions) == ["n3", "n2", "n3", "n2"]


def test_a_body_in_chunks_is_read(service: Service) -> None:
    windows = movements(9)
    body = orjson.dumps({"windows": windows.tolist()})
    chunks = (body[first : first + 777] for first in range(0, len(body), 777))
    response = service.client.post("/predict", content=chunks, headers={"content-type": "application/json"})
    assert response.json()["predictions"] == service.predict(windows)["predictions"]


def test_the_clients_request_id_comes_back_in_header_and_body(service: Service) -> None:
    body = {"windows": movements(1).tolist()}
    response = service.client.post("/predict", json=body, headers={"X-Request-ID": "trace-42"})
    assert response.headers["x-request-id"] == response.json()["request_id"] == "trace-42"


@pytest.mark.parametrize("given", [None, "", "a b", "x" * 65, 'quo"te', "\xe4"])
def test_every_request_without_a_usable_id_gets_one_of_its_own(service: Service, given: str | None) -> None:
    body = {"windows": movements(1).tolist()}
    headers = {} if given is None else {"X-Request-ID": given.encode("latin-1")}
    ids = [service.client.post("/predict", json=body, headers=headers).headers["x-request-id"] for _ in range(3)]
    assert len(set(ids)) == 3
    assert all(re.fullmatch(r"[A-Za-z0-9._-]{1,64}", one) for one in ids)
    assert given not in ids


def test_model_says_what_it_takes(service: Service, classifier: Classifier) -> None:
    model, metadata = service.client.get("/model").json(), classifier.metadata
    assert model["activities"] == list(ACTIVITIES)
    assert model["channels"] == list(metadata.channels)
    assert model["units"] == list(metadata.units)
    assert model["rate_hz"] == 50
    assert model["window"] == {"samples": LENGTH, "seconds": 0.32, "stride_samples": 8}
    assert model["version"] == 7
    assert model["data_version"] == metadata.data_version
    assert model["trained_at"] == metadata.trained_at
    assert model["abstain_below"] == 0.5


def test_the_models_card_is_handed_out(serve, make_package, service: Service, tmp_path: Path) -> None:
    card = tmp_path / "card.md"
    card.write_text("# Version 7, für Männer und Frauen\n", encoding="utf-8")
    answer = serve(make_package(card=card)).client.get("/model/card")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/markdown; charset=utf-8")
    assert answer.content == card.read_bytes()
    missing = service.client.get("/model/card")
    assert missing.status_code == 404
    assert "har package" in missing.json()["error"]["remedy"]


def test_health(service: Service) -> None:
    for path in ("/livez", "/readyz"):
        response = service.client.get(path)
        assert response.status_code == 200
        assert response.headers["content-type"] == "application/json"


def test_head_has_the_headers_of_get_and_no_body(service: Service) -> None:
    for path in ("/livez", "/readyz", "/model", "/docs.json"):
        response = service.client.head(path)
        assert response.status_code == 200
        assert response.content == b""
        assert response.headers["content-length"] == service.client.get(path).headers["content-length"]


def test_metrics_count_what_was_answered(serve, package) -> None:
    service = serve(package)
    answers = [*service.predict(movements(5))["predictions"], *service.raw(movements(2)).json()["predictions"]]
    service.client.post("/predict", json={})
    eventually(lambda: service.metric("har_requests_total", route="/predict", status="422") == 1)
    assert service.metric("har_requests_total", route="/predict", status="200") == 1
    assert service.metric("har_requests_total", route="/predict/raw", status="200") == 1
    assert service.metric("har_windows_total") == 7
    for name in ACTIVITIES:
        predicted = sum(one["activity"] == name for one in answers)
        assert service.metric("har_predictions_total", activity=name) == predicted
    assert service.metric("har_confidence_count") == 7
    assert service.metric("har_abstained_total") == sum(one["abstained"] for one in answers)
    assert service.metric("har_request_seconds_count", route="/predict") == 2
    page = service.client.get("/metrics", follow_redirects=True).text
    assert 'har_request_seconds_bucket{le="0.0005",route="/predict"}' in page
    assert re.search(r'har_model_info\{[^}]*version="7"[^}]*\} 1', page)
