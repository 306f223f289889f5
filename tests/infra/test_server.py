"""A real Prefect server per folder: found, used and shared, and ended however its block ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from har.errors import ServerError
from infra.local.child import descendants
from infra.local.login import login
from infra.local.server import hold_home, local_server, running_server, starting_server

pytestmark = pytest.mark.stack

AllGone = Callable[..., bool]


def _flow_names(url: str, secret: str) -> list[str]:
    headers = {"Content-Type": "application/json", "Authorization": f"Basic {b64encode(secret.encode()).decode()}"}
    request = urllib.request.Request(f"{url}/flows/filter", data=b"{}", headers=headers)  # noqa: S310
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
        return sorted(flow["name"] for flow in json.load(answer))


@pytest.mark.release
def test_two_folders_have_two_servers_and_a_folder_has_one(
    tmp_path: Path, all_gone: AllGone, monkeypatch: pytest.MonkeyPatch
) -> None:
    from prefect import flow

    monkeypatch.delenv("PREFECT_API_URL", raising=False)

    @flow(name="here")
    def here() -> str:
        return os.environ["PREFECT_API_URL"]

    first, second = tmp_path / "first", tmp_path / "second"
    before = set(descendants(os.getpid()))
    with starting_server(first) as first_ready, starting_server(second) as second_ready:
        urls = first_ready(), second_ready()
        started = set(descendants(os.getpid())) - before
        assert len(started) == 2
        assert urls[0] != urls[1]
        assert (running_server(first), running_server(second)) == urls
        assert here() == urls[1]
        # Not shared: the second would lose it when the first ends.
        with pytest.raises(ServerError, match="a Prefect server runs on this folder already"), local_server(first):
            pass
        assert set(descendants(os.getpid())) - before == started
        with pytest.raises(ServerError, match="a Prefect server runs on this folder already"), hold_home(first):
            pass
        assert login(first) != login(second)
        assert (_flow_names(urls[0], login(first)), _flow_names(urls[1], login(second))) == ([], ["here"])
        with pytest.raises(urllib.error.HTTPError, match="401"):
            _flow_names(urls[0], login(second))
    assert all_gone(started, within_s=1)
    assert running_server(first) is None
    assert running_server(second) is None
    assert "PREFECT_API_URL" not in os.environ
    assert "PREFECT_API_AUTH_STRING" not in os.environ
    assert (first / "prefect.db").exists()
    with hold_home(first):
        pass


def test_a_server_that_dies_while_starting_is_reported_with_the_end_of_its_log(
    tmp_path: Path, all_gone: AllGone
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "prefect.db").write_bytes(b"this is no database" * 1000)
    before = set(descendants(os.getpid()))
    with pytest.raises(ServerError, match="file is not a database") as caught, local_server(home):
        pass
    assert str(home / "logs" / "server.log") in str(caught.value)
    assert set(descendants(os.getpid())) <= before
    assert running_server(home) is None


def test_a_taken_port_is_named_before_anything_starts(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ServerError, match=f"port {port}: expected a free port"), local_server(tmp_path, port=port):
            pass
    assert not (tmp_path / "logs").exists()


@pytest.mark.parametrize(
    "number",
    [*(pytest.param(number, marks=pytest.mark.release) for number in (signal.SIGTERM, signal.SIGINT)), signal.SIGKILL],
)
def test_no_signal_to_the_parent_leaves_a_server(number: signal.Signals, tmp_path: Path, all_gone: AllGone) -> None:
    code = """
        import sys, time, pathlib
        from infra.local.server import starting_server
        with starting_server(pathlib.Path(sys.argv[1])):
            print("started", flush=True)
            time.sleep(300)
    """
    command = [sys.executable, "-c", textwrap.dedent(code), str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "started\n"
        servers = [child.pid for child in psutil.Process(parent.pid).children()]
        assert len(servers) == 1
        began = time.monotonic()
        parent.send_signal(number)
        status = parent.wait(30)
    assert status == {signal.SIGTERM: 143, signal.SIGINT: -signal.SIGINT, signal.SIGKILL: -signal.SIGKILL}[number]
    assert all_gone(servers)
    assert time.monotonic() - began < 12
    with hold_home(tmp_path):
        pass
