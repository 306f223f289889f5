"""The online service itself as replicas behind HAProxy: scaled, killed and asked as its clients do."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import psutil
import pytest
from place_support import Load, Trial, haproxy_pids
from serving_support import CHECKOUT, movements, read_journal, write_settings

from infra.bentoml.store import SHARED_PORT
from infra.local.child import Child
from infra.local.server import bound
from infra.local.third_party import installed
from infra.serving.fleet import Member
from infra.serving.keeper import Keeper
from infra.serving.processes import Processes

pytestmark = [pytest.mark.release, pytest.mark.stack, pytest.mark.timeout(900)]

TAG = "test-project-online:checkout"
WINDOW = movements(1).astype("<f4").tobytes()


@pytest.fixture(scope="module")
def trial(model_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trial]:
    """Two replicas of the service in this checkout."""
    program = installed("haproxy")
    if program is None:
        pytest.skip("needs HAProxy (apt-get install haproxy)")
    root = tmp_path_factory.mktemp("behind") / "project"
    settings = write_settings(root, replicas=2, timeout_s=5.0)
    shutil.copytree(model_store, settings.path("bentoml"), symlinks=True)

    def start(member: Member) -> Child:
        own = {name: value for name, value in os.environ.items() if not name.startswith(("BENTOML_", "PROMETHEUS_"))}
        variables = {"BENTOML_HOME": str(settings.path("bentoml")), "HAR_ROOT": str(root), SHARED_PORT: "1"}
        return Child(
            member.name,
            ["bentoml", "serve", "bentos.online.service:Online", "--host", "127.0.0.1", "--port", str(member.port)],
            environment={**own, **variables, "PYTHONPATH": os.pathsep.join([str(CHECKOUT), *sys.path])},
            log=root / "logs" / f"{member.backend}-{member.name}.log",
            folder=CHECKOUT,
        )

    said: list[str] = []
    with bound(0) as door:
        keeper = Keeper(settings, program, door, root / "logs", said.append, start)
        serving = Processes(settings)
        with serving.place.changing() as change:
            change.write(stable=TAG)
        trial = Trial(settings, keeper, serving, root / "orders", said)
        try:
            keeper.tick()
            trial.until(lambda: len(trial.ready(TAG)) == 2, within_s=180)
            yield trial
        finally:
            keeper.stop()


def load(trial: Trial) -> Load:
    return Load(trial.port, clients=6, pause_s=0.02, body=WINDOW, path="/predict/raw?shape=1,16,6")


def workers(trial: Trial) -> list[int]:
    """The processes that answer."""
    found = []
    for replica in trial.place.running().replicas:
        with suppress(psutil.Error):  # it ended meanwhile
            for one in psutil.Process(replica.pid).children(recursive=True) if replica.pid else ():
                found += [one.pid] if "_bentoml_impl.worker.service" in one.cmdline() else []
    return found


def test_replicas_are_added_and_drained_under_load_without_a_failed_request(trial: Trial) -> None:
    with load(trial) as steady:
        for count in (1, 3, 2):
            trial.serving.scale(count)
            trial.until(
                lambda count=count: len(trial.ready(TAG)) == len(trial.place.running().replicas) == count,
                within_s=180,
            )
    print(f"scaled 2 → 1 → 3 → 2: {steady.total} answers, failed {steady.failed}")
    assert steady.failed == {}
    assert steady.total > 100


def test_a_killed_worker_and_a_killed_replica_lose_no_prediction(trial: Trial) -> None:
    with load(trial) as steady:
        for victim in (workers(trial)[0], trial.place.running().replicas[1].pid):
            os.kill(victim, signal.SIGKILL)
            trial.until(lambda victim=victim: victim not in workers(trial) and len(workers(trial)) == 2, within_s=180)
            trial.until(lambda: len(trial.ready(TAG)) == 2, within_s=180)
    print(f"killed: {steady.total} answers, failed {steady.failed}")
    assert steady.failed == {}


def test_a_killed_proxy_loses_what_was_on_its_way_and_no_more(trial: Trial) -> None:
    with load(trial) as steady:
        trial.until(lambda: steady.total > 50)
        master = haproxy_pids(trial.place)[0]
        os.kill(master, signal.SIGKILL)
        trial.until(lambda: master not in haproxy_pids(trial.place) and trial.keeper.ready)
        before = steady.total
        trial.until(lambda: steady.total > before + 50)
    print(f"proxy killed: {steady.total} answers, failed {steady.failed}")
    assert sum(steady.failed.values()) <= steady.clients


def test_the_proxy_s_id_of_a_request_is_in_the_prediction_log(trial: Trial) -> None:
    answer = httpx.post(
        f"{trial.keeper.address}/predict",
        json={"windows": movements(1).tolist(), "subject": "S07"},
        trust_env=False,
        timeout=10,
    )
    assert answer.status_code == 200, answer.text
    identity = answer.headers["x-request-id"]
    assert answer.json()["request_id"] == identity
    journal = trial.settings.path("journal")
    trial.until(lambda: any(line.get("request_id") == identity for line in read_journal(journal)))
    log = (trial.settings.root / "logs" / "haproxy.log").read_text().splitlines()
    (line,) = [json.loads(line) for line in log if identity in line]
    assert (line["status"], line["path"]) == (200, "/predict")


def test_feedback_of_this_machine_needs_no_token_and_of_another_proxy_s_clients_does(trial: Trial) -> None:
    with httpx.Client(base_url=trial.keeper.address, trust_env=False, timeout=10) as client:
        feedback = {
            "activity": "WALK",
            "subject": "S07",
            "start": "2026-01-02T03:04:05Z",
            "end": "2026-01-02T03:05:05Z",
        }
        assert client.post("/feedback", json=feedback).status_code == 202
        behind = client.post("/feedback", json=feedback, headers={"X-Forwarded-For": "203.0.113.7"})
        assert behind.status_code == 401
        page = client.post("/feedback", json=feedback, headers={"Origin": "https://elsewhere.example"})
        assert page.status_code == 403
        own = client.post("/feedback", json=feedback, headers={"Origin": trial.keeper.address})
        assert own.status_code == 202
