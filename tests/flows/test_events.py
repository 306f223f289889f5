"""Events on a real server: what the monitor flow sends, what a server that refuses costs, and the switch."""

from __future__ import annotations

import datetime as dt
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from urllib.parse import urlsplit

import pytest
import run_support
from days_support import Live
from prefect.client.orchestration import get_client
from prefect.variables import Variable

from flows.monitor import monitor
from flows.train import train
from har.jobs import decision_event
from har.monitoring import DecisionLog, DriftReports
from har.monitoring.decisions import DecisionRow
from har.project import Project

RUN = "from flows.monitor import monitor; monitor()"

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]


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
    run_support.monitor()
    live(1, tilted=True)
    return loop


def retraining(project: Project) -> DecisionRow:
    """The only decision to train again."""
    (row,) = [row for row in DecisionLog(project.lake).rows() if row.action == "retrain"]
    return row


def test_an_event_that_the_server_does_not_receive_is_sent_later(due: Project, server: str) -> None:
    with without_events(server) as api:
        environment = {**os.environ, "PREFECT_API_URL": api}
        done = subprocess.run(
            [sys.executable, "-c", RUN], env=environment, capture_output=True, text=True, check=False, timeout=120
        )
    # The run itself ends well and says so; report and decision are kept, the event is not noted as sent.
    assert done.returncode == 0, done.stderr
    assert "har.drift.confirmed of 2024-01-09 was not sent" in " ".join(done.stderr.split())
    assert len(DriftReports(due.lake).of()) == 2
    assert retraining(due).emitted_at is None

    found = monitor()
    assert (found.days, found.unsent) == ((), 0)
    assert [row.action for row in found.decisions] == ["retrain"]
    assert retraining(due).emitted_at is not None
    assert monitor().decisions == ()


@pytest.mark.release
def test_the_switch_is_a_variable_of_the_server(server: str, due: Project) -> None:
    Variable.set("har_retraining", "off", overwrite=True)
    try:
        (row,) = monitor().decisions
        assert row.action == "hold"
        assert "switched off" in " ".join(row.reasons)
        Variable.set("har_retraining", "on", overwrite=True)
        (row,) = monitor(again=True, date=row.date).decisions
        assert row.action == "retrain"
        Variable.set("har_retraining", "off", overwrite=True)
        report = train(decision=row.decision_id)
    finally:
        Variable.unset("har_retraining")
    assert (report.version, report.trained, report.reasons) == (1, False, ("switched off",))


def test_an_unhandled_event_is_sent_again_with_the_same_id(due: Project, server: str) -> None:
    monitor()
    row = retraining(due)
    DecisionLog(due.lake).mark([row], emitted_at=dt.datetime.now(dt.UTC) - dt.timedelta(hours=2))
    (sent,) = monitor().decisions
    assert sent.decision_id == row.decision_id
    wanted = decision_event("test-project", row).id
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
    with get_client(sync_client=True) as client:
        shown = {artifact.key for artifact in client.read_latest_artifacts()}
    assert {"monitor-run", "drift-report", "drift-index"} <= shown
