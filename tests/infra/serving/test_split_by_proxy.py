"""Which version HAProxy sends a request to, beside what `har` computes; and what it adds, refuses and logs."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from place_support import Load, Trial, kept

from har.log_lines import REQUEST_ID
from har.release import is_served_by_canary
from infra.serving.proxy import Split

pytestmark = pytest.mark.stack

SUBJECTS = [*(f"S{number}" for number in range(30)), "a-b.c", "Zoë", "Őrs", "王"]


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trial]:
    """A place with two versions that share the subjects half and half."""
    with kept(tmp_path_factory.mktemp("split"), timeout_s=2.0) as trial:
        trial.serving.start(trial.package("v2"), salt="r1")
        trial.serving.share(0.5, lease_s=600)
        yield trial


@pytest.fixture
def client(trial: Trial) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=trial.keeper.address, trust_env=False, timeout=10) as client:
        yield client


def version(answer: httpx.Response) -> str:
    assert answer.status_code == 200, answer.text
    return str(answer.json()["tag"]).partition(":")[2]


def by_rule(subject: str) -> str:
    return "v2" if is_served_by_canary(subject, "r1", 0.5) else "v1"


@pytest.mark.parametrize(
    "ask",
    [
        pytest.param(lambda c, s: c.post("/predict", headers={"X-Subject": s.encode()}, content=b"{}"), id="header"),
        pytest.param(lambda c, s: c.post("/predict/raw", params={"subject": s}, content=b"hi"), id="query"),
        pytest.param(lambda c, s: c.post("/predict", json={"windows": [0.5] * 2000, "subject": s}), id="field"),
        pytest.param(
            lambda c, s: c.post("/predict", content=json.dumps({"windows": [1], "subject": s})), id="escaped field"
        ),
        pytest.param(
            lambda c, s: c.post("/predict", content=json.dumps({"subject": s, "windows": [0.123456] * 20_000})),
            id="field ahead of a large body",
        ),
    ],
)
def test_a_subject_meets_the_version_that_har_computes(trial: Trial, client: httpx.Client, ask: Any) -> None:
    assert {subject: version(ask(client, subject)) for subject in SUBJECTS} == {
        subject: by_rule(subject) for subject in SUBJECTS
    }


def test_a_request_without_a_subject_stays_with_its_connection(trial: Trial) -> None:
    met = []
    for _ in range(30):
        with httpx.Client(base_url=trial.keeper.address, trust_env=False) as client:
            found = {version(client.post("/predict", json={"windows": [1]})) for _ in range(4)}
        assert len(found) == 1
        met += [*found]
    assert set(met) == {"v1", "v2"}


def test_what_is_no_prediction_is_answered_by_the_stable_version(client: httpx.Client) -> None:
    for subject in SUBJECTS[:20]:
        headers = {"X-Subject": subject}
        assert version(client.post("/feedback", json={"subject": subject}, headers=headers)) == "v1"
        assert version(client.get("/docs.json", headers=headers)) == "v1"


def test_a_rule_holds_for_the_next_request_of_an_open_connection(trial: Trial, client: httpx.Client) -> None:
    assert version(client.post("/predict", headers={"X-Subject": "S1"}, content=b"{}")) == by_rule("S1")
    try:
        for share, expected in ((1.0, "v2"), (0.0, "v1")):
            trial.serving.share(share, lease_s=600)
            assert version(client.post("/predict", headers={"X-Subject": "S1"}, content=b"{}")) == expected
    finally:
        trial.serving.share(0.5, lease_s=600)


def test_one_id_goes_with_a_request_and_into_the_log(trial: Trial, client: httpx.Client) -> None:
    own = client.post("/predict", headers={"X-Request-Id": "mine.1"}, content=b"{}").json()["id"]
    assert own == "mine.1"
    made = client.post("/predict", headers={"X-Request-Id": "not valid"}, content=b"{}").json()["id"]
    assert re.fullmatch(REQUEST_ID, made)

    def logged() -> dict[str, Any]:
        text = (trial.place.store.parent / "logs" / "haproxy.log").read_text()
        lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
        return {line["request_id"]: line for line in lines if "request_id" in line}

    trial.until(lambda: made in logged())
    line = logged()["mine.1"]
    assert (line["status"], line["path"], line["method"]) == (200, "/predict", "POST")
    assert line["backend"] in ("blue", "green")
    assert line["server"] == "s1"
    assert "S1" not in json.dumps(line)


def test_clients_of_this_machine_stay_local_and_a_proxy_before_this_one_does_not(client: httpx.Client) -> None:
    assert client.post("/feedback", json={}).json()["forwarded"] is None
    further = client.post("/feedback", json={}, headers={"X-Forwarded-For": "203.0.113.7"}).json()
    assert further["forwarded"] == "203.0.113.7"


def test_without_a_usable_replica_a_client_learns_in_the_service_s_form_when_to_come_again(tmp_path: Path) -> None:
    with kept(tmp_path, first="") as trial:
        trial.until(lambda: trial.place.runtime.servers() if trial.place.socket.exists() else None)
        began = time.monotonic()
        answer = httpx.get(f"{trial.keeper.address}/model", trust_env=False, timeout=5)
        assert time.monotonic() - began < 2
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "1"
        assert re.fullmatch(REQUEST_ID, answer.headers["x-request-id"])
        assert {"field", "expected", "got", "remedy"} == set(answer.json()["error"])


@pytest.mark.release
def test_what_the_replicas_have_no_room_for_waits_shortly_and_is_then_refused(tmp_path: Path) -> None:
    with kept(tmp_path, max_concurrency=4, timeout_s=0.5) as trial:
        trial.order("v1", slow_s=0.4)
        with Load(trial.port, clients=24, pause_s=0) as load:
            time.sleep(4)
    # Four are answered and four wait; the others are told at once.
    assert load.answers["v1", 200] > 10
    assert load.answers["proxy", 503] > 100
    assert not load.lost
    assert set(load.answers) == {("v1", 200), ("proxy", 503)}


@pytest.mark.parametrize("fault", [{"status": 503}, {"close": True}])
def test_a_prediction_that_one_replica_does_not_answer_is_answered_by_another(
    tmp_path: Path, fault: dict[str, Any]
) -> None:
    with kept(tmp_path, replicas=2) as trial:
        trial.order("v1", "blue-s2", **fault)
        with httpx.Client(base_url=trial.keeper.address, trust_env=False, timeout=10) as client:
            statuses = [client.post("/predict", content=b"{}").status_code for _ in range(20)]
            assert set(statuses) == {200}
            # Feedback could be written twice: its sender learns of it, and decides whether to send it again.
            trial.order("v1", **fault)
            try:
                assert client.post("/feedback", content=b"{}").status_code in (502, 503)
            except httpx.RemoteProtocolError:  # the connection is closed as the replica closed its own
                assert "close" in fault


def test_a_map_that_was_written_is_read_again(tmp_path: Path) -> None:
    for split in (
        Split(),
        Split(stable="green", canary="blue", share=0.0501, until=1_900_000_000.0, salt="v4-r1"),
        Split(stable="green", former="blue", salt="x"),
    ):
        split.write(tmp_path / "map")
        assert Split.read(tmp_path / "map") == split
    assert Split.read(tmp_path / "none") == Split()


def test_a_half_open_door_lets_nobody_else_in(trial: Trial) -> None:
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind(("127.0.0.1", trial.port))
