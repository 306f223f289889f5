"""`monitor` when things break between its steps: what is kept then, and what the next run makes of it."""

from __future__ import annotations

import datetime as dt
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from urllib.parse import urlsplit

import pytest
from prefect.client.orchestration import get_client
from tests_support import run_until_commit

from flows._events import of_decision
from flows._project import FAILED, Project
from flows.monitor import monitor
from flows.train import train
from har.monitoring import DecisionLog, DriftReports
from har.monitoring.decisions import DecisionRow

FIRST = dt.date(2024, 1, 8)
RUN = "from flows.monitor import monitor; monitor()"
Live = Callable[..., None]

pytestmark = pytest.mark.timeout(300)


@contextmanager
def without_events(api: str) -> Iterator[str]:
    """The server's API at another address, where whoever brings events is turned away."""
    target = urlsplit(api)
    with socket.create_server(("127.0.0.1", 0)) as door:
        threading.Thread(target=_relay, args=(door, target.port), daemon=True).start()
        yield f"http://127.0.0.1:{door.getsockname()[1]}/api"


def _relay(door: socket.socket, port: int | None) -> None:
    with suppress(OSError):
        while True:
            visitor = door.accept()[0]
            threading.Thread(target=_let_in, args=(visitor, port), daemon=True).start()


def _let_in(visitor: socket.socket, port: int | None) -> None:
    with closing(visitor), suppress(OSError):
        first = visitor.recv(65536)
        if b"/events/in" in first.partition(b"\r\n")[0]:
            return
        with socket.create_connection(("127.0.0.1", port or 80)) as server:
            server.sendall(first)
            back = threading.Thread(target=_pass_on, args=(server, visitor), daemon=True)
            back.start()
            _pass_on(visitor, server)
            back.join()


def _pass_on(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while part := source.recv(65536):
            sink.sendall(part)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


@pytest.fixture
def due(loop: Project, live: Live) -> Project:
    """The project on the day on which drift will be confirmed, before that day is monitored."""
    live(0, tilted=True)
    monitor()
    live(1, tilted=True)
    return loop


def retraining(project: Project) -> DecisionRow:
    """The only decision to train again."""
    (row,) = [row for row in DecisionLog(project.lake).rows() if row.action == "retrain"]
    return row


def test_a_server_that_takes_no_event_costs_nothing_but_time(due: Project, server: str) -> None:
    with without_events(server) as api:
        environment = {**os.environ, "PREFECT_API_URL": api}
        done = subprocess.run(
            [sys.executable, "-c", RUN], env=environment, capture_output=True, text=True, check=False, timeout=120
        )
    # The run itself ends well and says so; report and decision are kept, the event is not noted as sent.
    assert done.returncode == 0, done.stderr
    assert "did not take har.drift.confirmed of 2024-01-09" in " ".join(done.stderr.split())
    assert len(DriftReports(due.lake).of()) == 2
    assert retraining(due).emitted_at is None

    found = monitor()
    assert (found.days, found.unsent) == ((), 0)
    assert [row.action for row in found.decisions] == ["retrain"]
    assert retraining(due).emitted_at is not None
    assert monitor().decisions == ()


@pytest.mark.parametrize(("commits", "kept"), [(1, "report"), (2, "decision")])
def test_killed_between_report_decision_and_event(due: Project, commits: int, kept: str) -> None:
    run_until_commit(RUN, commits=commits)
    assert [report.date for report in DriftReports(due.lake).of()] == [FIRST, FIRST + dt.timedelta(days=1)]
    known = [row.action for row in DecisionLog(due.lake).rows()]
    assert known == (["watch"] if kept == "report" else ["watch", "retrain"])

    # What was kept is not made twice, and what was not is made up for.
    found = monitor()
    assert len(found.days) == (1 if kept == "report" else 0)
    assert [row.action for row in DecisionLog(due.lake).rows()] == ["watch", "retrain"]
    assert retraining(due).emitted_at is not None
    assert monitor().decisions == ()


def test_a_training_that_fails_is_sent_again_and_given_up_after_three(
    due: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monitor()
    (due.settings.root / "full").write_text("no folder")
    monkeypatch.setenv("HAR_PATHS__RUNS", "full")
    ids = set()
    for attempt in (1, 2, 3):
        ids.add(of_decision(due.settings, retraining(due))["id"])
        with pytest.raises(OSError, match="full"):
            train(decision=retraining(due).decision_id)
        assert retraining(due).attempts == attempt
        assert retraining(due).outcome.startswith(FAILED)
        assert retraining(due).handled_at is None
        found = monitor()
        expected = "retrain" if attempt < 3 else "alert"
        assert [row.action for row in found.decisions] == [expected]
    # Each attempt was an event of its own; what was sent twice for one attempt would have had one id.
    assert len(ids) == 3
    row = retraining(due)
    assert row.handled_at is not None
    assert row.outcome.startswith("given up after 3 attempts: failed: ")
    alert = DecisionLog(due.lake).rows()[-1]
    assert (alert.action, alert.event, alert.outcome) == ("alert", "har.retraining.failed", "announced")
    assert alert.payload["retraining"] == row.decision_id
    assert monitor().decisions == ()
    assert due.registry.champion().number == 1


def test_what_a_new_champion_made_void_is_not_sent(due: Project) -> None:
    monitor()
    assert train(seed=1).version == 2
    due.registry.promote(2, reason="by hand", who="test")
    assert monitor().decisions == ()
    row = retraining(due)
    assert row.handled_at is not None
    assert row.outcome == "void: version 2 serves since"


def test_an_event_that_nobody_heard_is_sent_again_with_the_same_id(due: Project, server: str) -> None:
    monitor()
    row = retraining(due)
    DecisionLog(due.lake).mark([row], emitted_at=dt.datetime.now(dt.UTC) - dt.timedelta(hours=2))
    (sent,) = monitor().decisions
    assert sent.decision_id == row.decision_id
    wanted = of_decision(due.settings, row)["id"]
    with get_client(sync_client=True) as client:
        deadline = 60
        for _ in range(deadline):
            question = {"filter": {"id": {"id": [str(wanted)]}}}
            events = client.request("POST", "/events/filter", json=question).json()["events"]
            if events:
                break
            threading.Event().wait(0.5)
    assert [(event["id"], event["event"]) for event in events] == [(str(wanted), row.event)]
    assert events[0]["payload"]["decision"] == row.decision_id
