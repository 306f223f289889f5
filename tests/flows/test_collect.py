"""The collect flow and command: what they bring in, what they say, and the warning state of a bad line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from journal_support import Log, encoded, feedback, prediction, shadow, tables
from prefect.client.orchestration import get_client

from flows.collect import collect
from har.lake import Lake
from har.settings import Settings
from har_cli import main

Har = Callable[..., str]


@pytest.fixture
def log(settings: Settings) -> Log:
    return Log(settings)


@pytest.fixture
def har(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Har:
    def run(*words: str) -> str:
        monkeypatch.setattr("sys.argv", ["har", *words])
        with pytest.raises(SystemExit) as end:
            main()
        printed = capsys.readouterr()
        assert not end.value.code, printed
        return " ".join((printed.out + printed.err).split())

    return run


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


def test_commands(server: str, log: Log, har: Har) -> None:
    text = har("collect")
    assert "0 windows and 0 labels of 0 log files collected, 0 bad lines, 0 incomplete ones." in text
    log.write(prediction(0), feedback("f", request_id="nobody"), tail=b"[/not] a line\n" + encoded(prediction(1))[:-1])
    assert "1 log files of the online service to collect" in har("status")
    text = har("collect")
    assert "1 windows and 1 labels of 1 log files collected, 1 bad lines, 1 incomplete ones." in text
    assert "1 labels wait for their requests." in text
    assert "line 3: Invalid JSON" in text
    text = har("status")
    assert "requests" in text
    assert "labels" in text
    assert "1 files of bad log lines" in text
