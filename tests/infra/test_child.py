"""All processes that a child started end with it, whether it is stopped or its parent is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from infra.local.child import Child, descendants

AllGone = Callable[..., bool]

FAMILY = """
    import pathlib, signal, subprocess, sys, time
    stubborn = "stubborn" in sys.argv
    if stubborn:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"], start_new_session=True)
    pathlib.Path("pids").write_text(str(other.pid))
    print("a last word", flush=True)
    time.sleep(300)
"""


@pytest.fixture
def start(tmp_path: Path) -> Callable[..., Child]:
    (tmp_path / "family.py").write_text(textwrap.dedent(FAMILY))

    def make(*arguments: str) -> Child:
        environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
        return Child("family", arguments, environment=environment, log=tmp_path / "family.log", folder=tmp_path)

    return make


def _grandchild(folder: Path) -> int:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if (folder / "pids").exists() and (text := (folder / "pids").read_text()):
            return int(text)
        time.sleep(0.02)
    raise AssertionError("the module did not start its own process")


def test_stop_ends_what_the_child_started_even_in_a_session_of_its_own(
    start: Callable[..., Child], tmp_path: Path, all_gone: AllGone
) -> None:
    child = start("family")
    grandchild = _grandchild(tmp_path)
    assert grandchild in descendants(child.pid)
    child.stop()
    assert all_gone([child.pid, grandchild], within_s=1)
    assert child.tail() == "a last word"


@pytest.mark.stack
def test_a_child_that_ignores_the_request_is_killed(
    start: Callable[..., Child], tmp_path: Path, all_gone: AllGone
) -> None:
    child = start("family", "stubborn")
    grandchild = _grandchild(tmp_path)
    child.stop()
    assert all_gone([child.pid, grandchild], within_s=1)


def test_what_a_killed_child_leaves_behind_is_ended(
    start: Callable[..., Child], tmp_path: Path, all_gone: AllGone
) -> None:
    child = start("family")
    grandchild = _grandchild(tmp_path)
    assert child.poll() is None
    os.kill(child.pid, signal.SIGKILL)
    assert child.wait(10) == -signal.SIGKILL
    child.stop()
    assert all_gone([grandchild], within_s=1)


@pytest.mark.usefixtures("start")
def test_a_killed_parent_leaves_no_child(tmp_path: Path, all_gone: AllGone) -> None:
    parent_code = """
        import os, pathlib, sys, time
        from infra.local.child import Child
        folder = pathlib.Path(sys.argv[1])
        environment = {**os.environ, "PYTHONPATH": str(folder)}
        child = Child("family", ["family"], environment=environment, log=folder / "log", folder=folder)
        print(child.pid, flush=True)
        time.sleep(300)
    """
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", textwrap.dedent(parent_code), str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        grandchild = _grandchild(tmp_path)
        parent.kill()
    assert all_gone([child, grandchild])


def test_the_exit_status_is_the_modules(tmp_path: Path) -> None:
    (tmp_path / "fails.py").write_text("import sys\nassert sys.stdin.read() == ''\nsys.exit(f'no {sys.argv[1]}')\n")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    child = Child("fails", ["fails", "luck"], environment=environment, log=tmp_path / "log")
    assert child.wait(30) == 1
    child.stop()
    assert child.tail() == "no luck"


def test_a_large_log_goes_on_from_its_beginning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infra.local.child.LARGEST_LOG", 5000)
    (tmp_path / "talks.py").write_text(
        "import itertools, time\nfor n in itertools.count():\n    print('line', n)\n    time.sleep(0.001)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    child = Child("talks", ["talks"], environment=environment, log=tmp_path / "talks.log")
    try:
        deadline = time.monotonic() + 30
        while not (tmp_path / "talks.log.1").exists() and time.monotonic() < deadline:
            assert child.poll() is None
            time.sleep(0.01)
        assert (tmp_path / "talks.log.1").read_text().startswith('{"time": ')
        last = child.tail(1)
        while child.tail(1) == last and time.monotonic() < deadline:
            time.sleep(0.01)
        assert child.tail(1).startswith("line "), "the child goes on, and people read what it says"
    finally:
        child.stop()


def test_lines_are_as_they_come_where_text_is_wanted(tmp_path: Path) -> None:
    (tmp_path / "says.py").write_text("print('as it is')\n")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "STACK_LOGS": "text"}
    child = Child("says", ["says"], environment=environment, log=tmp_path / "says.log")
    assert child.wait(30) == 0
    child.stop()
    assert (tmp_path / "says.log").read_text() == "as it is\n"
