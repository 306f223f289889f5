"""A model that fails, stalls or answers nonsense: the previous one answers, or the rule, and all heals by itself."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from prometheus_client import CollectorRegistry
from serving_support import (
    ACTIVITIES,
    FAILS,
    NOT_A_NUMBER,
    SLOW,
    Service,
    eventually,
    listening,
    make_rule,
    movements,
    read_journal,
    trapped,
    write_settings,
)

from bentos.online._answering import Answering
from bentos.online.app import App
from har.errors import ModelError, ModelMismatchError
from har.inference import Classifier, Package

pytestmark = pytest.mark.stack

Serve = Callable[..., Service]
MakePackage = Callable[..., Package]
BREAKER = {"breaker_failures": 3, "breaker_pause_s": 0.4, "deadline_ms": 60.0, "timeout_s": 5.0}
CLOSED, OPEN = 0, 2


def table(answer: dict[str, Any]) -> np.ndarray:
    return np.array([[one["probabilities"][name] for name in ACTIVITIES] for one in answer["predictions"]])


def answering(package: Package, root: Path) -> Answering:
    return Answering(package, write_settings(root / "project"), registry=CollectorRegistry())


@pytest.mark.parametrize(
    ("fault", "reason"),
    [(FAILS, "error"), (NOT_A_NUMBER, "nonfinite"), (SLOW, "deadline")],
    ids=["fails", "nan", "slow"],
)
@pytest.mark.parametrize("count", [1, 20], ids=["one", "many"])
@pytest.mark.parametrize("previous", [True, False], ids=["previous", "rule"])
def test_the_fallback_answers(
    serve: Serve, make_package: MakePackage, fault: float, reason: str, count: int, previous: bool
) -> None:
    # An error must not count as late because the machine is busy.
    limits = BREAKER if reason == "deadline" else {**BREAKER, "deadline_ms": 2000.0}
    service = serve(make_package("trapped", previous="previous" if previous else None), **limits)
    windows = trapped(fault, count)
    began = time.perf_counter()
    answer = service.predict(windows)
    assert time.perf_counter() - began < 1
    assert answer["fallback"] is True
    if previous:
        expected = Classifier(service.package.previous).predict(windows).probabilities
        assert answer["model_version"] == 6
    else:
        expected = service.package.rule.predict(windows)
    np.testing.assert_allclose(table(answer), expected, atol=1e-5)
    by = "previous" if previous else "rule"
    assert service.metric("har_fallback_total", by=by, reason=reason) == 1
    (line,) = eventually(lambda: service.lines("prediction"))
    assert line["fallback"] == by
    assert line["model_version"] == answer["model_version"]
    assert (line["features"] is None) == (not previous)

    assert service.predict(movements(1))["fallback"] is False
    assert service.metric("har_breaker_state") == CLOSED


def test_the_breaker_opens_and_closes_by_itself(serve: Serve, make_package: MakePackage) -> None:
    limits = {**BREAKER, "breaker_pause_s": 1.5, "deadline_ms": 2000.0}
    service = serve(make_package("trapped", previous="previous"), **limits)
    good = movements(2)
    for _ in range(3):
        assert service.predict(trapped(FAILS))["fallback"] is True
    assert service.metric("har_breaker_state") == OPEN
    answer = service.predict(good)
    assert answer["fallback"] is True
    np.testing.assert_allclose(
        table(answer), Classifier(service.package.previous).predict(good).probabilities, atol=1e-5
    )
    assert service.metric("har_fallback_total", by="previous", reason="open") == 1
    assert service.raw(good).json()["fallback"] is True
    assert service.client.get("/readyz").status_code == 200

    eventually(lambda: service.predict(good)["fallback"] is False, 6)
    assert service.metric("har_breaker_state") == CLOSED
    assert service.predict(good)["model_version"] == 7


def test_it_opens_again_if_the_trial_fails(serve: Serve, make_package: MakePackage) -> None:
    service = serve(make_package("trapped"), **{**BREAKER, "deadline_ms": 2000.0})
    for _ in range(3):
        service.predict(trapped(FAILS))
    time.sleep(0.5)
    assert service.predict(trapped(FAILS))["fallback"] is True
    assert service.metric("har_breaker_state") == OPEN
    assert service.metric("har_fallback_total", by="rule", reason="error") == 4
    assert service.predict(movements(1))["fallback"] is True
    eventually(lambda: service.predict(movements(1))["fallback"] is False, 3)


def test_single_failures_do_not_open_it(serve: Serve, make_package: MakePackage) -> None:
    service = serve(make_package("trapped"), **BREAKER)
    for _ in range(4):
        service.predict(trapped(FAILS))
        service.predict(trapped(FAILS))
        assert service.predict(movements(1))["fallback"] is False
    assert service.metric("har_breaker_state") == CLOSED


def test_once_open_a_stalling_model_costs_nothing_more(serve: Serve, make_package: MakePackage) -> None:
    service = serve(make_package("trapped"), **{**BREAKER, "breaker_pause_s": 30.0, "deadline_ms": 200.0})
    for _ in range(3):
        service.predict(trapped(SLOW))
    began = time.perf_counter()
    for _ in range(10):
        assert service.predict(trapped(SLOW))["fallback"] is True
    assert time.perf_counter() - began < 1.0
    assert service.metric("har_fallback_total", by="rule", reason="open") == 10


def test_a_stalling_batch_holds_up_neither_health_nor_small_requests(serve: Serve, make_package: MakePackage) -> None:
    service = serve(make_package("trapped"), **{**BREAKER, "deadline_ms": 1500.0})
    batch = threading.Thread(target=service.predict, args=(trapped(SLOW, 64),))
    batch.start()
    time.sleep(0.2)
    with httpx.Client(base_url=service.url, timeout=10) as client:
        for path in ("/livez", "/readyz"):
            began = time.perf_counter()
            assert client.get(path).status_code == 200
            assert time.perf_counter() - began < 0.5, path
        began = time.perf_counter()
        answer = client.post("/predict", json={"windows": movements(1).tolist()})
        assert time.perf_counter() - began < 0.5
    assert answer.json()["fallback"] is False
    assert batch.is_alive()
    batch.join(10)
    assert service.metric("har_fallback_total", by="rule", reason="deadline") == 1


def test_a_stalling_model_holds_up_health_once_and_no_more(serve: Serve, make_package: MakePackage) -> None:
    service = serve(make_package("trapped"), deadline_ms=1000.0, breaker_failures=100, timeout_s=8.0)
    assert service.predict(trapped(SLOW))["fallback"] is True
    with ThreadPoolExecutor(4) as pool, httpx.Client(base_url=service.url, timeout=10) as other:
        stalled = [pool.submit(service.predict, trapped(SLOW)) for _ in range(2)]
        for _ in range(10):
            assert other.get("/livez").status_code == 200
            assert other.get("/readyz").status_code == 200
        assert not any(one.done() for one in stalled)
        assert [one.result()["fallback"] for one in stalled] == [True, True]
    assert service.predict(movements(1))["fallback"] is False


def test_a_call_that_never_ends_does_not_keep_the_service_from_its_end(package: Package, tmp_path: Path) -> None:
    found, ended = answering(package, tmp_path), threading.Event()
    found._journal.start()
    try:
        found._pool.submit(ended.wait)
        feedback = found.contract.feedback(b'{"activity": "RUN", "request_id": "a-1"}')
        found.record(feedback, "127.0.0.1")
        found.stop()
        assert not ended.is_set()
        assert [line["activity"] for line in read_journal(found._journal.folder)] == ["RUN"]
    finally:
        ended.set()


def test_a_model_slower_than_the_whole_request_may_be_is_504(serve: Serve, make_package: MakePackage) -> None:
    service = serve(make_package("trapped"), **{**BREAKER, "deadline_ms": 1000.0, "timeout_s": 0.3})
    began = time.perf_counter()
    response = service.client.post("/predict", json={"windows": trapped(SLOW, 64).tolist()})
    assert time.perf_counter() - began < 0.9
    assert response.status_code == 504
    assert response.json()["error"]["field"] == "request"
    assert service.lines() == []


def test_if_the_previous_model_fails_too_the_rule_answers(serve: Serve, make_package: MakePackage) -> None:
    service = serve(make_package("trapped", previous="trapped"), **BREAKER)
    for fault in (FAILS, SLOW, NOT_A_NUMBER):
        answer = service.predict(trapped(fault))
        assert answer["fallback"] is True
        np.testing.assert_allclose(table(answer), service.package.rule.predict(trapped(fault)), atol=1e-5)
    assert (
        sum(service.metric("har_fallback_total", by="rule", reason=why) for why in ("error", "nonfinite", "deadline"))
        == 3
    )


def test_bad_requests_say_nothing_about_the_model(serve: Serve, package: Package) -> None:
    service = serve(package, **BREAKER)
    for _ in range(10):
        assert service.client.post("/predict", json={"windows": [[[1.0]]]}).status_code == 422
        assert service.raw(np.full((1, 16, 6), np.nan, np.float32)).status_code == 422
    assert service.metric("har_breaker_state") == CLOSED
    assert service.predict(movements(1))["fallback"] is False


@pytest.fixture
def broken_from_the_start(model_files: dict[str, Path], tmp_path: Path) -> Path:
    """A champion that fails on resting zeros already."""
    model = onnx.load(model_files["trapped"])
    for tensor in model.graph.initializer:
        if tensor.name == "trap.100":
            tensor.CopyFrom(numpy_helper.from_array(np.array(-1, np.float32), "trap.100"))
    onnx.save(model, tmp_path / "broken.onnx")
    return tmp_path / "broken.onnx"


def test_ready_only_after_a_first_inference(package: Package, tmp_path: Path) -> None:
    cold = App(answering(package, tmp_path))

    async def ask(path: str) -> int:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(cold), base_url="http://x") as client:
            return (await client.get(path)).status_code

    assert asyncio.run(ask("/livez")) == 200
    assert asyncio.run(ask("/readyz")) == 503
    with listening(cold) as url:
        assert httpx.get(f"{url}/readyz").status_code == 200


def test_a_champion_that_fails_at_once_is_never_ready(broken_from_the_start: Path, tmp_path: Path) -> None:
    bad = Package.write(
        tmp_path / "bad", model=broken_from_the_start, version=1, previous=None, shadow=None, rule=make_rule()
    )
    with pytest.raises(AssertionError, match="did not start"), listening(App(answering(bad, tmp_path))):
        pass


@pytest.fixture
def other_model(model_files: dict[str, Path], tmp_path: Path) -> Iterator[Path]:
    """A sound model whose classes stand in another order."""
    model = onnx.load(model_files["previous"])
    for entry in model.metadata_props:
        if entry.key == "har.activities":
            entry.value = '["RUN", "WALK", "SIT"]'
    onnx.save(model, tmp_path / "other.onnx")
    yield tmp_path / "other.onnx"


@pytest.mark.parametrize("role", ["previous", "shadow"])
def test_models_that_disagree_about_classes_are_not_served_together(
    model_files: dict[str, Path], other_model: Path, tmp_path: Path, role: str
) -> None:
    others = {"previous": None, "shadow": None, role: (other_model, 3)}
    mixed = Package.write(tmp_path / "mixed", model=model_files["champion"], version=4, rule=make_rule(), **others)
    with pytest.raises(ModelMismatchError, match="activities"):
        answering(mixed, tmp_path)


def test_a_file_that_is_no_model_is_not_served(package: Package, tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("no model")
    broken = Package.write(
        tmp_path / "p", model=tmp_path / "text.onnx", version=1, previous=None, shadow=None, rule=make_rule()
    )
    with pytest.raises(ModelError, match="an ONNX file"):
        answering(broken, tmp_path)
