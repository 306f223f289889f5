"""How commands end: Ctrl-C, a full disk, a server that is not there, and a fault of the program."""

from __future__ import annotations

import errno
import os
import socket
import stat
import subprocess
import sys
from base64 import b64encode
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from har.errors import ServerError, SettingsError
from har.files import write_atomically
from har_cli._endings import ending_well
from infra.local.borrowed import borrowing_server
from infra.local.login import login, renew_login
from infra.local.server import hold_home, note_server


def end_of(error: BaseException, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Status and last words of a command that raises this."""
    with pytest.raises(SystemExit) as end, ending_well("har train"):
        raise error
    return int(end.value.code or 0), capsys.readouterr().err


def test_a_refusal_is_its_message_and_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    refusal = SettingsError(where="har.toml", expected="[a number]", got="'x'", remedy="Fix it.")
    status, text = end_of(refusal, capsys)
    assert (status, text) == (2, "SettingsError: har.toml: expected [a number], but got 'x'. Fix it.\n")


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt(), SystemExit(130)])
def test_ctrl_c_says_what_stopped(interrupt: BaseException, capsys: pytest.CaptureFixture[str]) -> None:
    status, text = end_of(interrupt, capsys)
    assert status == 130
    assert text.startswith("Stopped: har train.")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_disk_that_refuses_is_named_with_the_way_out(number: int, capsys: pytest.CaptureFixture[str]) -> None:
    status, text = end_of(OSError(number, os.strerror(number), "/data/lake"), capsys)
    assert status == 2
    assert text.startswith(f"har train: /data/lake: {os.strerror(number)}. ")
    assert "Traceback" not in text


def test_a_fault_is_one_paragraph_and_a_file(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["har", "train"])
    status, text = end_of(ValueError("[bold]no idea\nsecond line"), capsys)
    assert status == 4
    assert text.count("\n") == 1
    assert "har train: unexpected ValueError: [bold]no idea. " in text
    (path,) = (project / "runs" / "errors").iterdir()
    assert str(path) in text
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "in end_of" in path.read_text()

    monkeypatch.setattr("sys.argv", ["har", "--traceback", "train"])
    assert "Traceback (most recent call last)" in end_of(ValueError("again"), capsys)[1]
    assert len(list((project / "runs" / "errors").iterdir())) == 1


def test_a_fault_outside_of_a_project_is_written_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HAR_ROOT", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("sys.argv", ["har", "train"])
    status, text = end_of(ZeroDivisionError("x"), capsys)
    assert status == 4
    assert str(next(tmp_path.glob("har-error-*/*.log"))) in text


def test_ctrl_c_while_a_command_imports_leaves_no_traceback(project: Path) -> None:
    code = """
import har_cli, os, signal, sys, threading
sys.argv = ["har", "status"]
threading.Timer(0.03, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
har_cli.main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 130
    assert done.stderr.startswith("Stopped: har status.")


Serve = Callable[[int], str]
LOGINS: list[str | None] = []
"""What the servers of `answering` were given."""


@pytest.fixture
def answering() -> Iterator[Serve]:
    """An API that answers everything with a status: `answering(200)` is its URL; it goes away with the second call."""
    servers: list[ThreadingHTTPServer] = []

    def serve(status: int) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                LOGINS.append(self.headers.get("Authorization"))
                self.send_response(status)
                self.end_headers()

            def log_message(self, format: str, *arguments: object) -> None:
                """Say nothing."""

        stop()
        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}/api"

    def stop() -> None:
        for server in servers:
            server.shutdown()
            server.server_close()
        servers.clear()

    LOGINS.clear()
    yield serve
    stop()


def test_a_server_that_cannot_be_used_is_named_before_anything_runs(tmp_path: Path, answering: Serve) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        nobody = f"http://127.0.0.1:{taken.getsockname()[1]}/api"
    for url, problem in ((nobody, "does not answer"), ("nonsense", "does not answer"), (answering(401), "refuses")):
        with (
            pytest.raises(ServerError, match=f"Prefect server at {url}: it {problem}"),
            borrowing_server(tmp_path, url),
        ):
            raise AssertionError("not reached")


def test_a_server_that_goes_away_is_named_and_other_errors_are_not_blamed_on_it(
    tmp_path: Path, answering: Serve
) -> None:
    url = answering(200)
    with pytest.raises(ZeroDivisionError), borrowing_server(tmp_path, url):
        raise ZeroDivisionError
    with pytest.raises(ServerError, match=r"does not answer .* any more"), borrowing_server(tmp_path, url):
        answering(200)
        raise ConnectionError("by the client")


def test_only_the_projects_own_server_gets_the_login(tmp_path: Path, answering: Serve) -> None:
    url = answering(200)
    login(tmp_path)
    with borrowing_server(tmp_path, url):
        assert "PREFECT_API_AUTH_STRING" not in os.environ
    with hold_home(tmp_path):
        note_server(tmp_path, url)
        for name in ("127.0.0.1", "localhost"):
            with borrowing_server(tmp_path, url.replace("127.0.0.1", name)):
                assert os.environ["PREFECT_API_AUTH_STRING"] == login(tmp_path)
        with borrowing_server(tmp_path, answering(200)):
            assert "PREFECT_API_AUTH_STRING" not in os.environ
    expected = f"Basic {b64encode(login(tmp_path).encode()).decode()}"
    assert [None, expected, expected, None] == LOGINS


def test_the_login_is_private_and_new_after_a_server_was_killed(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with hold_home(home):
        first = login(home)
        note_server(home, "http://127.0.0.1:1/api")
    with hold_home(home):
        assert login(home) == first
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert stat.S_IMODE((home / "login").stat().st_mode) == 0o600
    note_server(home, "http://127.0.0.1:1/api")  # as after SIGKILL
    with hold_home(home):
        second = login(home)
    assert second != first
    with hold_home(home):
        (home / "login").chmod(0o644)  # others may have read it; but the running server knows no other one
        assert login(home) == second
    with hold_home(home):
        assert login(home) != second
    assert stat.S_IMODE((home / "login").stat().st_mode) == 0o600
    renew_login(home)
    assert not (home / "login").exists()


def test_a_private_file_is_private_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        write_atomically(tmp_path / "secret", "x", private=True)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == 0o600
