"""A web page of another origin, in a real browser, against everything that this project starts on a real machine."""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from browser_support import CHROMIUM, Elsewhere, Target, elsewhere, visit
from ports_support import free_port
from serving_support import Served, bentoml_serving, eventually, movements, read_journal
from tests_support import HAR_TOML

pytestmark = [
    pytest.mark.stack,
    pytest.mark.release,
    pytest.mark.timeout(400),
    pytest.mark.skipif(not CHROMIUM, reason="no Chromium here: `apt-get install chromium`"),
]

ROOT = Path(__file__).parents[2]


@dataclass
class Stack:
    """A running stack, as its user sees it."""

    project: Path
    api: str
    mlflow: str
    login: str
    environment: dict[str, str]
    pid: int

    def ask(self, address: str, body: dict[str, Any] | None = None) -> Any:
        """What a program that has the login gets."""
        headers = {
            "Content-Type": "application/json",
            "Authorization": f"Basic {base64.b64encode(self.login.encode()).decode()}",
        }
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(urllib.request.Request(address, data=data, headers=headers), timeout=60) as answer:  # noqa: S310
            return json.load(answer)

    def state(self) -> dict[str, Any]:
        """What a page could have changed."""
        deployments = self.ask(f"{self.api}/deployments/filter", {})
        experiments = self.ask(f"{self.mlflow}/api/2.0/mlflow/experiments/search?max_results=100")["experiments"]
        return {
            "pull steps": {one["id"]: one["pull_steps"] for one in deployments},
            "manual runs": self.ask(f"{self.api}/flow_runs/count", {"flow_runs": {"name": {"like_": "driven"}}}),
            "variables": self.ask(f"{self.api}/variables/filter", {}),
            "experiments": sorted(one["name"] for one in experiments),
        }


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """`har up` in a project of its own."""
    project = tmp_path_factory.mktemp("driven") / "project"
    project.mkdir()
    (project / "har.toml").write_text(HAR_TOML)
    shutil.copy(ROOT / "prefect.yaml", project)
    (project / "flows").symlink_to(ROOT / "flows")
    ports = free_port(), free_port()
    own = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_API")}
    environment = {
        **own,
        "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]),
        "COLUMNS": "200",
        "HAR_ROOT": str(project),
    }
    command = [sys.executable, "-m", "har_cli", "up", f"--prefect-port={ports[0]}", f"--mlflow-port={ports[1]}"]
    command += [f"--{part}-port=0" for part in ("online", "batch", "prometheus", "alerts", "metrics")]
    # An umask that hides nothing: the files must be private all the same.
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment, umask=0
    ) as up:
        try:
            assert up.stdout is not None
            printed = ""
            while "Ctrl-C" not in printed:
                line = up.stdout.readline()
                assert line, f"the stack ended: {printed}"
                printed += line
            path = project / ".prefect" / "login"
            assert str(path) in printed
            login = path.read_text().strip()
            assert login not in printed
            api, mlflow = (f"http://127.0.0.1:{port}" for port in ports)
            yield Stack(project, f"{api}/api", mlflow, login, environment, up.pid)
        finally:
            up.terminate()
            up.wait(30)


@pytest.fixture(scope="module")
def online(model_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The online service."""
    with bentoml_serving(model_store, tmp_path_factory.mktemp("served") / "project") as served:
        yield served


@pytest.fixture(scope="module")
def site() -> Iterator[Elsewhere]:
    """The server of the hostile page."""
    with elsewhere() as running:
        yield running


@pytest.mark.parametrize(
    "name",
    ["evil.example", pytest.param("localhost", marks=pytest.mark.release)],
    ids=["another name", "another port of this machine"],
)
def test_a_page_of_another_origin_reads_and_changes_nothing(
    name: str, stack: Stack, online: Served, site: Elsewhere, tmp_path: Path
) -> None:
    before = stack.state()
    (deployment, *_) = before["pull steps"]
    steps = [{"prefect.deployments.steps.run_shell_script": {"script": f"touch {tmp_path / 'executed'}"}}]
    window = {"windows": movements(1).tolist()}
    port = int(stack.api.rsplit(":", 1)[1].removesuffix("/api"))
    prefect = {"url": stack.api, "read": "/admin/version", "login": stack.login, "socket": "/events/in"}
    deployments = f"/deployments/{deployment}"
    targets = {
        # A server that checks nothing: the same attempts reach it, so that a refusal elsewhere means something.
        "naive": Target(f"http://127.0.0.1:{site.port}", "/naive", "/naive", {"a": 1}),
        "patch": Target(**prefect, write=deployments, body={"pull_steps": steps}, method="PATCH"),
        "run": Target(
            **prefect, write=f"{deployments}/create_flow_run", body={"name": "driven", "state": {"type": "SCHEDULED"}}
        ),
        "variable": Target(**prefect, write="/variables/", body={"name": "har_retraining", "value": "off"}),
        # As after DNS rebinding: the hostile name leads to this machine.
        "rebound": Target(
            **{**prefect, "url": f"http://rebound.example:{port}/api"},
            write="/variables/",
            body={"name": "rebound", "value": "1"},
        ),
        "mlflow": Target(
            stack.mlflow,
            "/ajax-api/2.0/mlflow/experiments/search?max_results=1",
            "/ajax-api/2.0/mlflow/experiments/create",
            {"name": "driven"},
            login=stack.login,
        ),
        "predict": Target(online.url, "/model", "/predict", window),
        "feedback": Target(
            online.url,
            "/metrics",
            "/feedback",
            {"activity": "SIT", "subject": "s01", "start": "2026-01-01T00:00:00Z", "end": "2026-01-01T00:01:00Z"},
        ),
    }
    report = visit(site, name, targets, tmp_path / "browser")

    naive = report.pop("naive")
    assert {key for key, got in naive.items() if got.startswith("refused")} == {"socket"}
    assert [command for command, path in site.reached if path == "/naive"].count("POST") >= 5
    for target, attempts in report.items():
        assert set(attempts) == set(naive)
        for attempt, got in attempts.items():
            # Without CORS the browser itself hides the answers: opaque, or nothing.
            assert got.startswith("refused") or got in ("opaque", "true", "sent", "nothing"), (target, attempt, got)
        for attempt in ("read", "read with login", "read with cookies", "json", "json with login", "script", "socket"):
            assert attempts[attempt].startswith("refused"), (target, attempt)

    assert stack.state() == before
    assert not (tmp_path / "executed").exists()
    assert read_journal(online.settings.path("journal")) == []
    assert not [line for line, count in online.metrics().items() if line.startswith("har_requests_total") and count]


def test_only_the_user_has_the_login_and_their_commands_work(stack: Stack) -> None:
    for path in (stack.project / ".prefect" / "login", stack.project / "prefect.toml"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stack.login in path.read_text()
    assert stat.S_IMODE((stack.project / ".prefect").stat().st_mode) == 0o700
    secret = stack.login.partition(":")[2]
    family = [psutil.Process(stack.pid), *psutil.Process(stack.pid).children(recursive=True)]
    assert len(family) >= 4
    for process in family:
        assert secret not in " ".join(process.cmdline())
    for path in (stack.project / ".prefect").glob("logs/*.log"):
        assert secret not in path.read_text()
    for path in (stack.project / ".prefect").glob("prefect.db*"):
        assert secret.encode() not in path.read_bytes()
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(f"{stack.api}/admin/version", timeout=30)  # noqa: S310
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(stack.mlflow, timeout=30)  # noqa: S310
    command = [sys.executable, "-m", "har_cli", "ingest", "--via-prefect"]
    done = subprocess.run(command, env=stack.environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 files ingested" in done.stdout


def test_a_second_stack_is_refused_and_a_killed_one_is_missed_at_once(stack: Stack) -> None:
    def har(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "har_cli", *words]
        return subprocess.run(command, env=stack.environment, capture_output=True, text=True, timeout=120, check=False)

    for words in (["up", f"--prefect-port={free_port()}", f"--mlflow-port={free_port()}"], ["demo"]):
        done = har(*words)
        assert done.returncode == 2
        assert f"a Prefect server runs on this folder already at {stack.api}" in done.stderr
        assert "Traceback" not in done.stdout + done.stderr
    assert stack.ask(f"{stack.api}/admin/version")

    os.kill(stack.pid, signal.SIGKILL)
    eventually(lambda: not psutil.pid_exists(stack.pid) or psutil.Process(stack.pid).status() == psutil.STATUS_ZOMBIE)
    done = har("ingest", "--via-prefect")
    assert done.returncode == 2
    assert "no Prefect server is known" in done.stderr
    assert har("ingest").returncode == 0
