"""The collect flow: what it brings in, and the warning state of a bad line."""

from __future__ import annotations

from pathlib import Path

import pytest
from journal_support import Log, encoded, feedback, prediction, shadow, tables
from prefect.client.orchestration import get_client

from flows.collect import collect
from har.lake import Lake
from har.settings import Settings

pytestmark = pytest.mark.stack


@pytest.fixture
def log(settings: Settings) -> Log:
    return Log(settings)


def test_the_log_is_collected_once(server: str, log: Log, lake: Lake) -> None:
    log.write(prediction(0, windows=2), shadow(0, windows=2), feedback("f", request_id="r0"))
    state = collect(return_state=True)
    assert state.name == "Completed"
    report = state.result()
    assert (report.requests, report.predictions, report.labels, report.files) == (2, 2, 1, 1)
    assert [len(table) for table in tables(lake)] == [2, 2, 1]
    assert list(log.folder.iterdir()) == []
    again = collect(return_state=True).result()
    assert (again.requests, again.files) == (0, 0)
    with get_client(sync_client=True) as client:
        assert "collect-run" in {artifact.key for artifact in client.read_latest_artifacts()}


def test_a_bad_line_makes_a_warning_state(server: str, log: Log, lake: Lake) -> None:
    path = log.write(prediction(0), tail=b"[/not] a line\n" + encoded(prediction(1)))
    state = collect(return_state=True)
    assert state.is_completed()
    assert state.name == "CompletedWithWarnings"
    assert f"{path.name}:2" in str(state.message)
    assert state.result().requests == 2
    assert Path(f"{path}.bad").read_bytes() == b"[/not] a line\n"
    with get_client(sync_client=True) as client:
        assert "prediction-log-bad-lines" in {artifact.key for artifact in client.read_latest_artifacts()}
