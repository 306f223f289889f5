"""The prediction log: lines as agreed, files that rotate and are locked while written, and no request that waits."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prometheus_client import CollectorRegistry
from serving_support import ACTIVITIES, FAILS, Service, eventually, movements, read_journal, trapped

from bentos.online import _journal
from bentos.online._journal import Journal
from bentos.online._metrics import Metrics
from har.inference import Classifier, Package

pytestmark = pytest.mark.stack

Serve = Callable[..., Service]
MakePackage = Callable[..., Package]

PREDICTION = {
    "kind",
    "request_id",
    "received_us",
    "subject",
    "session",
    "start_us",
    "stride_us",
    "length_us",
    "model_version",
    "fallback",
    "ms",
    "activity",
    "confidence",
    "abstained",
    "features",
    "unknown",
}
START, START_US = "2026-01-31T10:00:00.250+01:00", 1_769_850_000_250_000


def features(line: dict[str, Any]) -> np.ndarray:
    """A line's features, float32 (N, F)."""
    return np.frombuffer(base64.b64decode(line["features"]), "<f4").reshape(len(line["activity"]), -1)


@pytest.mark.parametrize("way", ["json", "raw"])
def test_a_prediction_leaves_one_line(serve: Serve, package: Package, way: str) -> None:
    service = serve(package, shadow_share=0.0)
    windows = movements(3, seed=6)
    place = {"subject": "s01", "session": "morning_1", "start": START}
    before_us = time.time_ns() // 1000
    answer = service.predict(windows, **place) if way == "json" else service.raw(windows, **place).json()
    (line,) = eventually(service.lines)
    assert line.keys() == PREDICTION
    assert (line["kind"], line["request_id"]) == ("prediction", answer["request_id"])
    assert before_us <= line["received_us"] <= time.time_ns() // 1000
    assert (line["subject"], line["session"], line["start_us"]) == ("s01", "morning_1", START_US)
    assert (line["stride_us"], line["length_us"]) == (160_000, 320_000)
    assert (line["model_version"], line["fallback"]) == (7, None)
    assert 0 < line["ms"] < 1000
    for name in ("activity", "confidence", "abstained"):
        assert line[name] == [one[name] for one in answer["predictions"]]
    np.testing.assert_allclose(features(line), Classifier(package.model).predict(windows).features, atol=1e-4)


def test_without_a_start_the_last_window_has_just_ended(serve: Serve, package: Package) -> None:
    service = serve(package, shadow_share=0.0)
    service.predict(movements(4))
    (line,) = eventually(service.lines)
    assert (line["subject"], line["session"]) == (None, None)
    assert line["start_us"] == line["received_us"] - 320_000 - 3 * 160_000


def test_the_rule_has_no_features(serve: Serve, make_package: MakePackage) -> None:
    service = serve(make_package("trapped"))
    service.predict(trapped(FAILS))
    (line,) = eventually(service.lines)
    assert (line["fallback"], line["features"]) == ("rule", None)


def test_refused_requests_leave_none(serve: Serve, package: Package) -> None:
    service = serve(package, shadow_share=0.0)
    service.client.post("/predict", json={"windows": []})
    service.client.post("/feedback", json={"activity": "FLY", "request_id": "a"})
    service.predict(movements(1))
    assert len(eventually(service.lines)) == 1


def test_feedback_by_request_and_by_interval(serve: Serve, package: Package) -> None:
    service = serve(package, shadow_share=0.0)
    known = service.predict(movements(1))["request_id"]
    bodies = [
        {"activity": "RUN", "request_id": known},
        {"activity": "SIT", "subject": "s02", "start": START, "end": "2026-01-31T09:05:00Z"},
    ]
    before_us = time.time_ns() // 1000
    responses = [service.client.post("/feedback", json=body) for body in bodies]
    assert [response.status_code for response in responses] == [202, 202]
    by_request, by_interval = eventually(lambda: (found := service.lines("feedback")) and len(found) == 2 and found)
    ids = [response.json()["feedback_id"] for response in responses]
    assert [by_request.pop("feedback_id"), by_interval.pop("feedback_id")] == ids
    assert len(set(ids)) == 2
    assert all(before_us <= line.pop("received_us") <= time.time_ns() // 1000 for line in (by_request, by_interval))
    empty = {"kind": "feedback", "request_id": None, "subject": None, "start_us": None, "end_us": None}
    assert [line.pop("source") for line in (by_request, by_interval)] == ["127.0.0.1"] * 2
    assert by_request == {**empty, "activity": "RUN", "request_id": known}
    interval = {"subject": "s02", "start_us": START_US, "end_us": 1_769_850_300_000_000}
    assert by_interval == {**empty, "activity": "SIT", **interval}


def test_the_file_is_locked_until_it_is_closed(serve: Serve, package: Package) -> None:
    service = serve(package, log_rotate_s=0.3, shadow_share=0.0)
    service.predict(movements(1))
    folder = service.settings.path("journal")
    eventually(service.lines)
    (path,) = folder.iterdir()
    assert re.fullmatch(rf"\d{{8}}T\d{{6}}-{os.getpid()}-.*\d+\.jsonl", path.name)
    with path.open("rb") as file:
        with pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)

        def free() -> bool:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            return True

        eventually(free, 3)
    service.predict(movements(1))
    eventually(lambda: len(list(folder.iterdir())) == 2)
    assert len(service.lines()) == 2


def test_a_large_file_is_closed(serve: Serve, package: Package) -> None:
    service = serve(package, log_rotate_mb=0.02, shadow_share=0.0)
    ids = [service.predict(movements(5))["request_id"] for _ in range(30)]
    eventually(lambda: len(service.lines()) == 30)
    sizes = [path.stat().st_size for path in service.settings.path("journal").iterdir()]
    assert len(sizes) > 2
    assert max(sizes) < 20_000 + 16 * 8000
    assert sorted(line["request_id"] for line in service.lines()) == sorted(ids)


def test_what_waits_is_written_when_the_service_stops(make_journal: Callable[..., Journal]) -> None:
    journal = make_journal()
    for number in range(500):
        assert journal.append({"number": number})
    journal.start()
    journal.stop()
    assert [line["number"] for line in read_journal(journal.folder)] == list(range(500))


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def make_journal(tmp_path: Path, registry: CollectorRegistry) -> Callable[..., Journal]:
    metrics = Metrics(ACTIVITIES, registry)

    def make(folder: Path = tmp_path / "log", queue: int = 1000) -> Journal:
        return Journal(folder, queue=queue, rotate_bytes=1e6, rotate_s=60, metrics=metrics)

    return make


def test_a_full_queue_drops_and_counts(make_journal: Callable[..., Journal], registry: CollectorRegistry) -> None:
    journal = make_journal(queue=10)
    assert [journal.append({"number": number}) for number in range(15)] == [True] * 10 + [False] * 5
    assert registry.get_sample_value("har_log_dropped_total", {"reason": "queue"}) == 5
    journal.start()
    journal.stop()
    assert [line["number"] for line in read_journal(journal.folder)] == list(range(10))
    assert registry.get_sample_value("har_log_lines_total") == 10


def test_a_disk_that_hangs_makes_no_request_wait(
    serve: Serve, package: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    hanging, on = threading.Event(), Journal._write

    def write(self: Journal, lines: list[dict[str, Any]]) -> None:
        assert hanging.wait(20)
        on(self, lines)

    monkeypatch.setattr(Journal, "_write", write)
    service = serve(package, log_queue=5, shadow_share=0.0)
    try:
        began = time.perf_counter()
        for _ in range(40):
            assert service.predict(movements(1))["fallback"] is False
        assert time.perf_counter() - began < 3
        feedback = service.client.post("/feedback", json={"activity": "SIT", "request_id": "a"})
        assert feedback.status_code == 503
        assert "retry-after" in feedback.headers
    finally:
        hanging.set()
    eventually(lambda: service.metric("har_log_lines_total") + _dropped(service) == 41)
    assert _dropped(service) >= 10
    assert len(service.lines()) == service.metric("har_log_lines_total")


def _dropped(service: Service, reason: str = "queue") -> float:
    return service.metric("har_log_dropped_total", reason=reason)


def test_a_folder_that_cannot_be_written_is_counted_and_tried_again(
    serve: Serve, package: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_journal, "_RETRY_S", 0.2)
    monkeypatch.setenv("HAR_PATHS__JOURNAL", str(tmp_path / "occupied" / "journal"))
    (tmp_path / "occupied").write_text("a file where a folder should be")
    service = serve(package, shadow_share=0.0)
    for _ in range(3):
        assert service.predict(movements(1))["fallback"] is False
    eventually(lambda: _dropped(service, "disk") == 3)
    (tmp_path / "occupied").unlink()
    time.sleep(0.3)
    answer = service.predict(movements(1))
    (line,) = eventually(service.lines)
    assert line["request_id"] == answer["request_id"]


def test_a_disk_that_fills_up_leaves_whole_lines_but_for_the_last(
    make_journal: Callable[..., Journal], registry: CollectorRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_journal, "_RETRY_S", 0.0)
    write, calls = os.write, []

    def short(file: int, content: bytes) -> int:
        calls.append(len(content))
        return write(file, content[: len(content) // 2] if len(calls) == 2 else content)

    journal = make_journal()
    monkeypatch.setattr(_journal.os, "write", short)
    journal.start()
    for number in range(3):
        journal.append({"number": number})
        eventually(lambda number=number: len(calls) == number + 1)
    journal.stop()
    contents = sorted((path.read_bytes() for path in journal.folder.iterdir()), key=len, reverse=True)
    assert contents[0].startswith(b'{"number":0}\n')
    assert not contents[0].endswith(b"\n")
    assert [json.loads(line) for line in contents[1].splitlines()] == [{"number": 2}]
    assert registry.get_sample_value("har_log_dropped_total", {"reason": "disk"}) == 1


def test_two_writers_with_the_same_process_number_do_not_share_a_file(
    make_journal: Callable[..., Journal], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Containers that share a volume have the same process numbers, and start in the same second."""
    monkeypatch.setattr(_journal.time, "strftime", lambda *_: "20260131T090000")
    journals = [make_journal(), make_journal()]
    for number, journal in enumerate(journals):
        journal.start()
        journal.append({"number": number})
        eventually(lambda number=number: {"number": number} in read_journal(journals[0].folder))
    for journal in journals:
        journal.stop()
    assert sorted(line["number"] for line in read_journal(journals[0].folder)) == [0, 1]


def test_a_probe_is_answered_and_counted_but_not_logged(serve: Serve, make_package: MakePackage) -> None:
    service = serve(make_package(shadow="shadow"), shadow_share=1.0)
    for request_id in ("probe.1", "mine", "probe.2"):
        body = {"windows": movements(2).tolist()}
        answer = service.client.post("/predict", json=body, headers={"X-Request-ID": request_id})
        assert answer.json()["request_id"] == request_id
        assert len(answer.json()["predictions"]) == 2
    eventually(lambda: {line["kind"] for line in service.lines()} == {"prediction", "shadow"})
    lines = service.lines()
    assert {line["request_id"] for line in lines} == {"mine"}
    assert service.metric("har_requests_total", route="/predict", status="200") == 3
