"""`har stream send` and `har stream replay` as they are typed."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from run_support import ingest
from send_support import received
from typer.testing import CliRunner

from har.settings import Settings
from har_cli._app import app


def _har(*arguments: str, status: int = 0) -> str:
    done = CliRunner().invoke(app, ["stream", *arguments], catch_exceptions=False)
    assert done.exit_code == status, done.output
    return done.output


def test_a_file_is_sent_by_the_command(settings: Settings, put: Callable[..., Path]) -> None:
    path = put("2024-01-02", "s1", "a", "PEN", seconds=10)
    assert "10 messages are on the project's disk, 0 wait" in _har("send", str(path))
    assert "0 messages are on the project's disk, 0 wait" in _har("send", str(path)), "nothing new"
    assert received(settings)[0] == 10


def test_a_killed_command_goes_on_where_it_was(settings: Settings, put: Callable[..., Path]) -> None:
    path = put("2024-01-02", "s1", "a", "PEN", seconds=60)
    command = [sys.executable, "-m", "har_cli", "stream", "send", str(path), "--message-s", "0.1", "--speed", "20"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 60
        while received(settings)[0] < 20 and time.monotonic() < deadline:
            time.sleep(0.05)
        process.kill()
    before = received(settings)[0]
    assert 20 <= before < 600
    _har("send", str(path), "--message-s", "0.1")
    assert received(settings)[0] == 600


def test_lines_are_sent_by_the_command(settings: Settings) -> None:
    text = "\n".join(["0.1 0.2 9.8 0 0 0"] * 120)
    done = CliRunner().invoke(app, ["stream", "send", "-", "--subject", "anna"], input=text, catch_exceptions=False)
    assert "3 messages are on the project's disk" in done.output
    assert done.exit_code == 0


def test_recordings_are_replayed_by_the_command(settings: Settings, put: Callable[..., Path]) -> None:
    put("2024-01-02", "s1", "a", "PEN", seconds=10)
    put("2024-01-02", "s2", "b", "PEN", seconds=10)
    ingest()
    said = _har("replay", "--speed", "0", "--seconds", "4")
    assert "8 messages are on the project's disk" in said
    said = _har("replay", "--from", "inbox", "--subject", "s2", "--speed", "20", "--message-s", "0.5")
    assert "20 messages are on the project's disk" in said
    assert received(settings)[0] == 28


@pytest.mark.parametrize(
    ("arguments", "says"),
    [(["replay", "--to", "pigeon"], "expected queue, http://HOST:PORT"), (["send", "-"], "needs --subject")],
)
def test_a_command_that_cannot_send_says_why(
    settings: Settings, put: Callable[..., Path], arguments: list[str], says: str
) -> None:
    put("2024-01-02", "s1", "a", "PEN", seconds=10)
    ingest()
    done = CliRunner().invoke(app, ["stream", *arguments])
    assert done.exit_code
    assert says in done.output + str(done.exception)
