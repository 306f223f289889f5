"""`har collect`: what it prints."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from journal_support import Log, encoded, feedback, prediction

from har.settings import Settings
from har_cli import main

Har = Callable[..., str]


@pytest.fixture
def log(settings: Settings) -> Log:
    return Log(settings)


@pytest.fixture
def har(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Har:
    def run(*words: str, status: int = 0) -> str:
        monkeypatch.setattr("sys.argv", ["har", *words])
        with pytest.raises(SystemExit) as end:
            main()
        printed = capsys.readouterr()
        assert (end.value.code or 0) == status, printed
        return " ".join((printed.out + printed.err).split())

    return run


def test_commands(log: Log, har: Har) -> None:
    text = har("collect")
    assert "0 windows and 0 labels of 0 log files collected, 0 bad lines, 0 incomplete ones." in text
    log.write(prediction(0), feedback("f", request_id="nobody"), tail=b"[/not] a line\n" + encoded(prediction(1))[:-1])
    assert "1 log files of the online service to collect" in har("status")
    text = har("collect", status=3)
    assert "1 windows and 1 labels of 1 log files collected, 1 bad lines, 1 incomplete ones." in text
    assert "1 labels wait for the windows that they are about." in text
    assert "line 3: Invalid JSON" in text
    text = har("status")
    assert "requests" in text
    assert "labels" in text
    assert "1 files of bad log lines" in text
