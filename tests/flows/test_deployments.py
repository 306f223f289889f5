"""The repository's own prefect.yaml on a real stack: deployed, scheduled, run by the worker, and stopped as one."""

from __future__ import annotations

import base64
import datetime as dt
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from ports_support import free_port
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

from flows._events import sender
from har.jobs import PROMOTED, Event, decision_event, promotion_event
from har.lake import Lake
from har.monitoring import DecisionLog
from har.monitoring.decisions import Decision
from har.settings import Settings, load_settings
from har_cli._shared import sender as known_sender
from infra.local.login import login

pytestmark = pytest.mark.stack

ROOT = Path(__file__).parents[2]
SLUGS = {
    "ingest/daily": "ingest-daily",
    "score/nightly": "score-nightly",
    "monitor/daily": "monitor-daily",
    "train/weekly": "train-weekly",
    "collect/hourly": "collect-hourly",
}
ON_EVENTS = ("package/champion", "release/canary", "train/retrain")
ON_DEMAND = ("evaluate/by-subject",)
RETRAINS_ON = ("har.drift.confirmed", "har.labels.arrived", "har.performance.dropped")


def _ask(api: str, path: str, body: dict[str, Any]) -> Any:
    headers = {
        "Content-Type": "application/json",
        "Authorization": f"Basic {base64.b64encode(PREFECT_API_AUTH_STRING.value().encode()).decode()}",
    }
    request = urllib.request.Request(f"{api}/{path}", data=json.dumps(body).encode(), headers=headers)  # noqa: S310
    with urllib.request.urlopen(request, timeout=90) as answer:  # noqa: S310
        return json.load(answer)


def _scheduled(api: str, wanted: int) -> list[dict[str, Any]]:
    """The scheduled runs, once there are as many as wanted or half a minute has passed."""
    deadline = time.monotonic() + 30
    while True:
        runs = _ask(api, "flow_runs/filter", {"flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}}})
        if len({run["deployment_id"] for run in runs}) >= wanted or time.monotonic() > deadline:
            return list(runs)
        time.sleep(0.5)


def _runs_of(api: str, deployment: str, wanted: int = 1) -> list[dict[str, Any]]:
    """The deployment's runs, once so many have ended; no more than those were started."""
    deadline = time.monotonic() + 120
    while True:
        runs = _ask(api, "flow_runs/filter", {"deployments": {"id": {"any_": [deployment]}}})
        ended = [run for run in runs if run["state"]["type"] in ("COMPLETED", "FAILED", "CRASHED")]
        if len(ended) >= wanted:
            assert len(runs) == wanted
            return ended
        assert time.monotonic() < deadline, f"too few runs, or too few that ended: {runs}"
        time.sleep(0.5)


def _decide(lake: Lake, settings: Settings, day: int, event: str) -> Event:
    """Keep a decision to train again, as `monitor` does, and return its event."""
    date = dt.date(2024, 1, day)
    payload = {"since": "2024-01-02", "reason": f'Drift: "so" it\'s {{{{ called }}}}, day {day}.'}
    decision = Decision(date, "retrain", (payload["reason"],), event, payload)
    assert DecisionLog(lake).add(decision, 1)
    row = DecisionLog(lake).find(decision.id)
    assert row is not None
    return decision_event(settings.project.name, row)


def _retraining_starts_once_per_decision(api: str, lake: Lake, settings: Settings, deployment: str) -> None:
    """Two decisions at once, each sent twice: two runs, one after the other, with the decisions' own values."""
    events = [_decide(lake, settings, 3, RETRAINS_ON[0]), _decide(lake, settings, 4, RETRAINS_ON[1])]
    with temporary_settings({PREFECT_API_URL: api}):
        assert [sender(settings)(event) for event in [*events, *events]] == [""] * 4
    runs = sorted(_runs_of(api, deployment, 2), key=lambda run: run["start_time"])
    assert runs[0]["end_time"] <= runs[1]["start_time"]
    assert {run["parameters"]["decision"] for run in runs} == {event.payload["decision"] for event in events}
    for run in runs:
        assert run["parameters"]["since"] == "2024-01-02"
        assert run["parameters"]["reason"].startswith('Drift: "so" it\'s {{ called }}, day ')
        # Nothing serves in this project; a decision that nothing could be done about is still to be heard.
        assert run["state"]["type"] == "FAILED"
        assert "har train" in run["state"]["message"]
    assert [row.handled_at for row in DecisionLog(lake).unhandled()] == [None, None]


@pytest.mark.release
@pytest.mark.timeout(400)
def test_a_project_is_deployed_scheduled_run_and_stopped(
    project: Path, put: Callable[..., Path], lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    put("2024-01-01", "s01", "left", "PEN")
    # The hours and their timezone are the project's own choice, and so is whether they are switched on already.
    written = (ROOT / "prefect.yaml").read_text().replace("active: false", "active: true")
    (project / "prefect.yaml").write_text(written)
    parts = yaml.safe_load(written)["deployments"]
    wanted = {schedule["slug"]: schedule for part in parts for schedule in part.get("schedules", ())}
    (project / "flows").symlink_to(ROOT / "flows")
    port, mlflow_port = free_port(), free_port()
    api = f"http://127.0.0.1:{port}/api"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]), "COLUMNS": "200"}
    command = [sys.executable, "-m", "infra.local.stack", "--root", str(project)]
    command += [f"--prefect-port={port}", f"--mlflow-port={mlflow_port}"]
    command += [f"--{part}-port=0" for part in ("online", "batch", "prometheus", "alerts", "metrics")]
    with (
        ExitStack() as settings,
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
        ) as stack,
    ):
        try:
            assert stack.stdout is not None
            printed = ""
            while "Ctrl-C" not in printed:
                line = stack.stdout.readline()
                assert line, f"the stack ended: {printed}"
                printed += line
            assert f"export PREFECT_API_URL={api}" in printed
            assert f"http://127.0.0.1:{mlflow_port}" in printed
            settings.enter_context(temporary_settings({PREFECT_API_AUTH_STRING: login(project / ".prefect")}))

            deployments = {
                f"{_ask(api, 'flows/filter', {'flows': {'id': {'any_': [found['flow_id']]}}})[0]['name']}/"
                f"{found['name']}": found
                for found in _ask(api, "deployments/filter", {})
            }
            assert sorted(deployments) == sorted([*SLUGS, *ON_EVENTS, *ON_DEMAND])
            for name in deployments:
                assert deployments[name]["global_concurrency_limit"]["limit"] == 1
                assert deployments[name]["work_pool_name"] == "local"
            assert [deployments[name]["schedules"] for name in (*ON_EVENTS, *ON_DEMAND)] == [[], [], [], []]
            triggers = [automation["trigger"] for automation in _ask(api, "automations/filter", {})]
            expected = [event for trigger in triggers for event in trigger["expect"]]
            assert sorted(expected) == sorted([*RETRAINS_ON, PROMOTED, PROMOTED])
            for name, slug in SLUGS.items():
                (schedule,) = deployments[name]["schedules"]
                assert (schedule["slug"], schedule["active"]) == (slug, True)
                for part in ("cron", "timezone"):
                    assert schedule["schedule"][part] == wanted[slug][part]
            # A schedule is only worth something if the server plans runs by it.
            assert len({run["deployment_id"] for run in _scheduled(api, len(SLUGS))}) == len(SLUGS)

            # No PREFECT_API_URL: the command finds the server by the prefect.toml in the project's folder.
            client = {name: value for name, value in environment.items() if not name.startswith("PREFECT_")}
            run = subprocess.run(
                [sys.executable, "-m", "prefect", "deployment", "run", "ingest/daily", "--watch"],
                cwd=project,
                env={**client, "PREFECT_HOME": str(project / "client")},
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
            )
            assert run.returncode == 0, run.stdout + run.stderr
            assert "Flow run finished successfully" in run.stdout
            assert lake.samples.read().height > 1000

            # The news of a promotion, as `har promote` sends it, starts the packaging; nothing serves in this project.
            with monkeypatch.context() as patch:
                patch.setenv("PREFECT_API_URL", api)
                assert known_sender(load_settings(project))(promotion_event(1)) == ""
            _retraining_starts_once_per_decision(api, lake, load_settings(project), deployments["train/retrain"]["id"])
            (packaging,) = _runs_of(api, deployments["package/champion"]["id"])
            assert packaging["state"]["type"] == "FAILED"
            assert "Train one: har train" in packaging["state"]["message"]
            (releasing,) = _runs_of(api, deployments["release/canary"]["id"])
            assert releasing["parameters"] == {"version": 1, "back": False, "reason": None, "promoted": True}
            assert "Train one: har train" in releasing["state"]["message"]

            family = psutil.Process(stack.pid).children(recursive=True)
            (worker,) = [part for part in family if "worker" in part.cmdline()]
            worker.send_signal(signal.SIGKILL)
            rest = stack.communicate(timeout=40)[0]
            assert stack.returncode == 1
            assert "ServerError: worker: killed by SIGKILL" in rest
            assert "worker.log ends" in rest
            left = psutil.wait_procs(family, timeout=5)[1]
            assert [part for part in left if part.status() != psutil.STATUS_ZOMBIE] == []
            assert not (project / "prefect.toml").exists()
        finally:
            stack.terminate()
