"""The shadow sees requests and leaves rows and metrics; the answer is always the champion's."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from serving_support import ACTIVITIES, FAILS, SLOW, Service, eventually, make_rule, movements, trapped

from har.inference import Classifier, Package

pytestmark = pytest.mark.stack

Serve = Callable[..., Service]
MakePackage = Callable[..., Package]


def test_leaves_a_row_and_metrics_for_every_request(serve: Serve, package: Package) -> None:
    service = serve(package, shadow_share=1.0)
    requests = [movements(count, seed=count) for count in (1, 3, 20)]
    answers = [service.predict(windows) for windows in requests]
    lines = eventually(lambda: (found := service.lines("shadow")) and len(found) == 3 and found)
    by_request = {line["request_id"]: line for line in lines}
    champion, shadow = Classifier(package.model), Classifier(package.shadow)
    agreeing = 0
    for windows, answer in zip(requests, answers, strict=True):
        line = by_request[answer["request_id"]]
        assert line.keys() == {"kind", "request_id", "received_us", "model_version", "ms", "activity", "confidence"}
        assert line["model_version"] == 8
        expected = shadow.predict(windows).probabilities
        assert line["activity"] == [ACTIVITIES[index] for index in expected.argmax(axis=1)]
        np.testing.assert_allclose(line["confidence"], expected.max(axis=1), atol=1e-5)
        assert line["ms"] > 0
        own = champion.predict(windows).probabilities
        assert [one["activity"] for one in answer["predictions"]] == [ACTIVITIES[i] for i in own.argmax(axis=1)]
        assert answer["model_version"] == 7
        agreeing += int((own.argmax(axis=1) == expected.argmax(axis=1)).sum())
    counted = [service.metric("har_shadow_windows_total", agrees=word) for word in ("true", "false")]
    assert counted == [agreeing, 24 - agreeing]
    assert service.metric("har_shadow_seconds_count") == 3
    received = {line["request_id"]: line["received_us"] for line in service.lines("prediction")}
    assert received == {line["request_id"]: line["received_us"] for line in lines}


@pytest.fixture
def contrary(model_files: dict[str, Path], tmp_path: Path) -> Path:
    """The champion with (1 - p) / 2 for every probability p: sure of nothing that the champion is sure of."""
    model = onnx.load(model_files["champion"])
    for node in model.graph.node:
        for values in (node.input, node.output):
            values[:] = ["honest" if value == "probabilities" else value for value in values]
    model.graph.initializer.append(numpy_helper.from_array(np.array(-0.5, np.float32), "minus_half"))
    model.graph.initializer.append(numpy_helper.from_array(np.array(0.5, np.float32), "half"))
    model.graph.node.append(helper.make_node("Mul", ["honest", "minus_half"], ["lower"]))
    model.graph.node.append(helper.make_node("Add", ["lower", "half"], ["probabilities"]))
    onnx.save(model, tmp_path / "contrary.onnx")
    return tmp_path / "contrary.onnx"


def test_disagreement_is_counted_and_changes_no_answer(
    serve: Serve, model_files: dict[str, Path], contrary: Path, tmp_path: Path
) -> None:
    package = Package.write(
        tmp_path / "package",
        model=model_files["champion"],
        version=7,
        previous=None,
        shadow=(contrary, 9),
        rule=make_rule(),
    )
    service = serve(package, shadow_share=1.0)
    windows = movements(30)
    answers = service.predict(windows)["predictions"]
    expected = Classifier(package.model).predict(windows).probabilities.argmax(axis=1)
    assert [one["activity"] for one in answers] == [ACTIVITIES[index] for index in expected]
    eventually(lambda: service.metric("har_shadow_windows_total", agrees="false") == 30)
    assert service.metric("har_shadow_windows_total", agrees="true") == 0
    (line,) = eventually(lambda: service.lines("shadow"))
    assert line["model_version"] == 9


@pytest.mark.parametrize(("share", "least", "most"), [(0.0, 0, 0), (0.3, 20, 100)])
def test_sees_its_share_of_the_requests(serve: Serve, package: Package, share: float, least: int, most: int) -> None:
    service = serve(package, shadow_share=share, log_queue=100_000)
    for _ in range(200):
        service.raw(movements(1))
    eventually(lambda: len(service.lines("prediction")) == 200)
    time.sleep(0.2)
    assert least <= len(service.lines("shadow")) <= most


def test_a_failing_shadow_hurts_nobody(serve: Serve, make_package: MakePackage) -> None:
    service = serve(make_package(shadow="trapped"), shadow_share=1.0, breaker_failures=1)
    windows = trapped(FAILS, 2)
    for _ in range(3):
        answer = service.predict(windows)
        assert answer["fallback"] is False
        assert answer["model_version"] == 7
    eventually(lambda: service.metric("har_shadow_failed_total", why="error") == 3)
    service.predict(movements(1))
    eventually(lambda: len(service.lines("shadow")) == 1)
    assert service.metric("har_breaker_state") == 0


def test_a_stalling_shadow_delays_nobody(serve: Serve, make_package: MakePackage) -> None:
    service = serve(make_package(shadow="trapped"), shadow_share=1.0, deadline_ms=1000.0)
    took = []
    for _ in range(90):
        began = time.perf_counter()
        assert service.predict(trapped(SLOW))["fallback"] is False
        took.append(time.perf_counter() - began)
    assert np.median(took) < 0.1
    assert service.metric("har_shadow_failed_total", why="busy") > 0


def test_what_the_fallback_answered_is_not_compared(serve: Serve, make_package: MakePackage) -> None:
    service = serve(make_package("trapped", shadow="shadow"), shadow_share=1.0)
    service.predict(trapped(FAILS))
    service.predict(movements(1))
    eventually(lambda: len(service.lines("shadow")) == 1)
    assert len(service.lines("prediction")) == 2


def test_the_model_page_names_it(service: Service) -> None:
    assert service.client.get("/model").json()["shadow_version"] == 8
