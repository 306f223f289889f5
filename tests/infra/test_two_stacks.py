"""Two projects on one machine, each with all its parts: served, scored, replaced under load, and ended."""

from __future__ import annotations

import re
import shutil
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import polars as pl
import psutil
import pytest
from postgres_support import postgres
from tests_support import copy_code
from up_support import Stack, har, up

from har.project import Project
from har.settings import load_settings
from infra.local import third_party

pytestmark = [pytest.mark.release, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]


def copied(veteran: Path, root: Path) -> Path:
    """A project with a champion and its own code."""
    shutil.copytree(veteran, root)
    copy_code(root)
    for folder in ("flows", "infra"):
        shutil.copytree(ROOT / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "prefect.yaml", root)
    return root


@pytest.fixture
def root(veteran: Path, tmp_path: Path) -> Path:
    """A project."""
    return copied(veteran, tmp_path / "first")


@pytest.fixture
def other(veteran: Path, tmp_path: Path) -> Path:
    """A project with another name."""
    made = copied(veteran, tmp_path / "second")
    toml = made / "har.toml"
    toml.write_text(toml.read_text().replace('name = "test-project"', 'name = "second"'))
    shutil.rmtree(made / "mlruns")
    har(made, "train")
    return made


def processes(stack: Stack) -> dict[psutil.Process, list[str]]:
    """All processes of a stack and their commands."""
    found = {}
    for one in psutil.Process(stack.process.pid).children(recursive=True):
        with suppress(psutil.Error):  # it ended meanwhile
            found[one] = one.cmdline()
    return found


@contextmanager
def asked(stack: Stack) -> Iterator[Counter[str]]:
    counted: Counter[str] = Counter()
    stopped = threading.Event()

    def ask() -> None:
        while not stopped.is_set():
            try:
                answer = stack.predict()
                counted[str(answer.status_code)] += 1
            except httpx.HTTPError as error:
                counted[type(error).__name__] += 1
            time.sleep(0.02)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield counted
    finally:
        stopped.set()
        thread.join()


def test_two_stacks_with_all_parts(root: Path, other: Path) -> None:
    # The first one's new version is served as soon as it is packaged, without a release.
    with up(root, HAR_RELEASE__AUTOMATIC="false") as first, up(other) as second:
        assert "starts when a model is packaged" in first.printed
        for stack in (first, second):
            har(stack.root, "package")
            stack.until(lambda stack=stack: "online service v" in stack.printed and "batch service v" in stack.printed)
        described = [httpx.get(f"{stack.address(2)}/model", trust_env=False).json() for stack in (first, second)]
        assert [one["project"] for one in described] == ["test-project", "second"]

        # The nightly flow is scored by the batch service, and by its own process while that is away.
        assert "finished successfully" in first.run("score/nightly", "--watch")
        assert "path=/score" in (first.root / ".prefect" / "logs" / "batch.log").read_text()

        if third_party.installed("prometheus"):
            targets = f"{first.address(4)}/api/v1/targets"
            jobs = {"online", "batch", "project", "prometheus"}
            jobs |= {"proxy"} if third_party.installed("haproxy") else set()
            jobs |= {"alerts"} if third_party.installed("alertmanager") else set()

            def all_up() -> bool:
                found = httpx.get(targets, trust_env=False).json()["data"]["activeTargets"]
                return {one["labels"]["job"] for one in found if one["health"] == "up"} == jobs

            first.until(all_up)

        # Another version, under load: no request is lost, and the other stack is not touched.
        (first.root / "bentos" / "online" / "_note.py").write_text('"""Other code, another bento."""\n')
        with asked(first) as counted:
            har(first.root, "package")
            first.until(lambda: "online service v1" in first.printed and " serves in place of " in first.printed)
            first.until(lambda: first.printed.count(" serves in place of ") == 2)
            time.sleep(3)
        assert set(counted) == {"200"}
        assert second.predict().status_code == 200

        # A killed service comes back; the rest goes on.
        found = processes(first)
        (service,) = [
            one
            for one, command in found.items()
            if {"bentoml", "serve"} < {*command} and "-online:" in " ".join(command)
        ]
        service.send_signal(signal.SIGKILL)
        first.until(lambda: "killed by SIGKILL; it is started again in 1 s" in first.printed)
        after = first.printed.index("it is started again in 1 s")
        first.until(lambda: " is ready: http://127.0.0.1:" in first.printed[after:])
        first.until(lambda: first.predict().status_code == 200)

        everything = [*processes(first)]
        first.process.send_signal(signal.SIGTERM)
        assert first.process.wait(60) == 0
        assert [one for one in psutil.wait_procs(everything, timeout=5)[1] if one.is_running()] == []
        assert second.predict().status_code == 200


def test_a_stack_that_was_killed_goes_on_where_it_stopped(root: Path) -> None:
    with up(root) as stack:
        family = [*processes(stack)]
        stack.process.send_signal(signal.SIGKILL)
        stack.process.wait(30)
        left = psutil.wait_procs(family, timeout=20)[1]
        assert [one for one in left if one.status() != psutil.STATUS_ZOMBIE] == []
    with up(root) as stack:
        assert "finished successfully" in stack.run("score/nightly", "--watch")
    assert "Nothing is missing" in har(root, "check")


def test_a_minute_without_postgres_during_scoring_loses_nothing(root: Path) -> None:
    har(root, "score")
    own = rows(root)
    for table in ("predictions", "scores", "profiles"):
        shutil.rmtree(root / "lake" / table)
        for record in (root / "lake").glob(f".{table}.*"):
            record.unlink()
    with postgres() as server:
        database = server.address.replace("+psycopg", "+asyncpg")
        with up(root, PREFECT_SERVER_DATABASE_CONNECTION_URL=database) as stack:
            stack.run("score/nightly")
            worker = root / ".prefect" / "logs" / "worker.log"
            stack.until(lambda: "Beginning flow run" in worker.read_text())
            server.stop()
            time.sleep(60)
            server.start()
            stack.until(lambda: re.search("Flow run '[^']+' - Finished in state", worker.read_text()), within_s=300)
            assert "finished successfully" in stack.run("score/nightly", "--watch")
            assert stack.process.poll() is None
    assert rows(root).equals(own)
    assert "Nothing is missing" in har(root, "check")


def rows(root: Path) -> pl.DataFrame:
    lake = Project(load_settings(root)).lake
    return lake.predictions.read().sort("date", "subject", "session", "start")
