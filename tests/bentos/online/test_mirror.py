"""Copies of requests for a new version: its answers reach the log, and nobody waits for it, dead or slow."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from serving_support import NOT_A_NUMBER, SLOW, Service, eventually, movements, trapped

from har.inference import Package

pytestmark = pytest.mark.stack

Serve = Callable[..., Service]
MakePackage = Callable[..., Package]


def point(file: Path, address: str, share: float = 1.0) -> None:
    """Tell the service where copies go."""
    draft = file.with_suffix(".draft")
    draft.write_text(json.dumps({"address": address, "share": share}))
    draft.rename(file)


def address_of(service: Service) -> str:
    return service.url


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "mirror.json"


def test_answers_to_copies_become_lines_of_the_stable_log(serve: Serve, make_package: MakePackage, file: Path) -> None:
    canary = serve(make_package("shadow"))
    point(file, address_of(canary))
    stable = serve(make_package("previous"), mirror=str(file))
    eventually(lambda: stable.predict(movements(1)) and stable.metric("har_mirrored_total", outcome="answered") > 0)
    windows = movements(5, seed=3)
    answer = stable.predict(windows, subject="S01")
    line = eventually(
        lambda: next((one for one in stable.lines("shadow") if one["request_id"] == answer["request_id"]), None)
    )
    own = canary.predict(windows)["predictions"]
    assert line["activity"] == [one["activity"] for one in own]
    np.testing.assert_allclose(line["confidence"], [one["confidence"] for one in own], atol=1e-5)
    assert line["model_version"] == 7
    asked = next(one for one in stable.lines("prediction") if one["request_id"] == answer["request_id"])
    assert line["received_us"] == asked["received_us"]
    # The canary counts copies and logs nothing of them: only the request of this test.
    assert len(eventually(lambda: canary.lines("prediction"))) == 1
    assert canary.metric("har_windows_total") > 5


def test_the_share_is_read_again_while_it_runs(serve: Serve, make_package: MakePackage, file: Path) -> None:
    canary = serve(make_package("shadow"))
    stable = serve(make_package(), mirror=str(file))
    assert stable.predict(movements(1))["model_version"] == 7
    point(file, address_of(canary), 0.3)
    eventually(lambda: stable.raw(movements(1)) and stable.metric("har_mirrored_total", outcome="answered") > 0)
    before = stable.metric("har_mirrored_total", outcome="answered")
    for _ in range(200):
        stable.raw(movements(1))
    time.sleep(0.3)
    assert 20 <= stable.metric("har_mirrored_total", outcome="answered") - before <= 110
    file.unlink()
    time.sleep(1.5)
    sent = stable.metric("har_mirrored_total", outcome="answered")
    for _ in range(30):
        stable.raw(movements(1))
    time.sleep(0.3)
    assert stable.metric("har_mirrored_total", outcome="answered") == sent


def test_a_dead_canary_costs_nothing_and_is_counted(serve: Serve, make_package: MakePackage, file: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # nobody listens
        point(file, f"http://127.0.0.1:{taken.getsockname()[1]}")
        stable = serve(make_package(), mirror=str(file))
        eventually(lambda: stable.raw(movements(1)) and stable.metric("har_mirrored_total", outcome="error") > 0)
        for _ in range(50):
            assert stable.raw(movements(1)).status_code == 200
        counted = {one: stable.metric("har_mirrored_total", outcome=one) for one in ("error", "skipped", "answered")}
    assert counted["answered"] == 0
    assert counted["skipped"] > counted["error"]  # after a failure, none is tried for a second


def test_a_silent_canary_delays_nobody(serve: Serve, make_package: MakePackage, file: Path) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()  # takes connections and never answers
        point(file, f"http://127.0.0.1:{silent.getsockname()[1]}")
        stable = serve(make_package(), mirror=str(file), timeout_s=2.0)
        eventually(lambda: stable.raw(movements(1)) and stable.app.answering._mirror._last is not None)
        took = []
        for _ in range(100):
            began = time.perf_counter()
            assert stable.raw(movements(1)).status_code == 200
            took.append(time.perf_counter() - began)
        assert np.median(took) < 0.1
        assert stable.metric("har_mirrored_total", outcome="busy") > 0  # only so many may wait
        assert stable.lines("shadow") == []


def test_refusals_and_fallbacks_of_the_canary_are_counted_apart(
    serve: Serve, make_package: MakePackage, file: Path
) -> None:
    canary = serve(make_package("trapped", previous="previous"), max_windows=2)
    point(file, address_of(canary))
    stable = serve(make_package(), mirror=str(file))
    eventually(lambda: stable.raw(movements(1)) and stable.metric("har_mirrored_total", outcome="answered") > 0)
    stable.raw(movements(3))
    eventually(lambda: stable.metric("har_mirrored_total", outcome="refused") == 1)
    stable.raw(trapped(NOT_A_NUMBER))
    eventually(lambda: stable.metric("har_mirrored_total", outcome="fallback") == 1)
    assert canary.metric("har_fallback_total", by="previous", reason="nonfinite") == 1


def test_a_slow_canary_delays_nobody(serve: Serve, make_package: MakePackage, file: Path) -> None:
    canary = serve(make_package("trapped"), deadline_ms=1000.0)
    point(file, address_of(canary))
    stable = serve(make_package(), mirror=str(file))
    eventually(lambda: stable.raw(movements(1)) and stable.metric("har_mirrored_total", outcome="answered") > 0)
    took = []
    for _ in range(60):
        began = time.perf_counter()
        assert stable.raw(trapped(SLOW)).status_code == 200
        took.append(time.perf_counter() - began)
    assert np.median(took) < 0.1


@pytest.mark.parametrize("content", ["", "[]", '{"share": 1}', '{"share": 1, "address": "nowhere"}', '{"share": "x"}'])
def test_a_file_that_says_nothing_useful_sends_nothing(
    serve: Serve, make_package: MakePackage, file: Path, content: str
) -> None:
    file.write_text(content)
    stable = serve(make_package(), mirror=str(file))
    time.sleep(0.2)
    assert stable.raw(movements(1)).status_code == 200
    assert sum(stable.metric("har_mirrored_total", outcome=one) for one in ("answered", "error", "busy")) == 0


def test_the_former_version_looks_on_where_it_should(serve: Serve, package: Package) -> None:
    service = serve(package, shadow="previous", shadow_share=1.0)
    answer = service.predict(movements(2), subject="S01")
    (line,) = eventually(lambda: service.lines("shadow"))
    assert (answer["model_version"], line["model_version"]) == (7, 6)
    assert line["request_id"] == answer["request_id"]


def test_a_worker_shows_its_memory(service: Service) -> None:
    service.predict(movements(1))
    memory = eventually(lambda: service.metric("har_memory_bytes"))
    assert 2**25 < memory < 2**36
