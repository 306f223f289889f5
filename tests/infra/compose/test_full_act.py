"""The whole system in containers, from an uploaded file to a drift report, and its bad days. Half an hour."""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from containers_support import NAME, Trial, expressions, trial

from har.sample import replay, replay_round
from har.settings import load_settings
from infra.compose.engine import output
from infra.compose.stack import SERVICES

pytestmark = [pytest.mark.release, pytest.mark.timeout(7200)]

ALL = [service for services in SERVICES.values() for service in services if service != "online-green"]
"""All but the box that is there during a release."""


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trial]:
    """A started stack whose champion serves: uploaded, ingested, trained, packaged, built and released."""
    folder = tmp_path_factory.mktemp("stack")
    with trial(folder) as made:
        said = made.must("up")
        assert "No champion is packaged yet" in said and made.variables["STACK_PREFECT_PORT"] in said
        replay(folder / "inbox", load_settings(made.root))
        assert "140 new files" in made.must("put", str(folder / "inbox"))
        assert "0 new files" in made.must("put", str(folder / "inbox"))
        made.deploy_run("ingest/daily")
        made.deploy_run("train/weekly")
        assert made.sql("mlflow", "SELECT count(*) FROM model_versions") == "1"
        made.wait_until(lambda: made.sql("prefect", _ENDED.format("package")) == "COMPLETED", "packaging by its event")
        base = ["--base", os.environ["BASE"]] if "BASE" in os.environ else []
        made.must("images", *base)
        assert made.stack.state.images["online"].rpartition("/")[2].startswith(f"{NAME}-online:v1-")
        yield made


_ENDED = (
    "SELECT r.state_type FROM flow_run r JOIN flow f ON f.id = r.flow_id WHERE f.name = '{}' "
    "AND r.start_time IS NOT NULL ORDER BY r.start_time DESC LIMIT 1"
)


def _ask(system: Trial, path: str, content: Any = None, host: str = "") -> tuple[int, Any]:
    address = f"http://127.0.0.1:{system.variables['STACK_ONLINE_PORT']}{path}"
    body = None if content is None else json.dumps(content).encode()
    headers = {"Content-Type": "application/json", **({"Host": host} if host else {})}
    request = urllib.request.Request(address, body, headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def _windows(count: int) -> list[Any]:
    random = np.random.default_rng(0)
    windows = random.normal(0, 1, (count, 200, 6))
    windows[:, :, 2] += 9.81
    return list(windows.round(4).tolist())


def test_an_answer_reaches_the_lake_and_a_new_day_its_report(system: Trial, tmp_path: Path) -> None:
    for hour in range(5):
        stamp = f"2024-01-08T0{hour}:00:00Z"
        status, answer = _ask(system, "/predict", {"windows": _windows(2), "subject": "s01", "start": stamp})
        assert status == 200 and answer["model_version"] == 1 and not answer["fallback"]
    for date in (dt.date(2024, 1, 8), dt.date(2024, 1, 9)):
        replay_round(tmp_path / "inbox", load_settings(system.root), date, turned=True)
    system.must("put", str(tmp_path / "inbox"))
    for name in ("collect/hourly", "ingest/daily", "score/nightly", "monitor/daily"):
        system.deploy_run(name)
    rows = system.rows()
    assert rows["requests"] == "10" and rows["drift"] == "2" and rows["recordings"] == "180"
    assert "reports/drift/2024-01-09.html" in system.must("run", "find", "reports")
    # The batch box predicted, not the flow's own process.
    log = system.stack.log_end("batch", 500)
    assert system.stack.state.variables()["STACK_SCORING"] == "http://batch:3000" and "/score" in log


def test_pages_ask_for_the_login_and_answer_to_their_names_only(system: Trial) -> None:
    assert _ask(system, "/model", host="evil.example")[0] == 403
    assert _ask(system, "/metrics")[0] == 404
    for variable, path in (("STACK_PREFECT_PORT", "/api/admin/version"), ("STACK_MLFLOW_PORT", "/")):
        address = f"http://127.0.0.1:{system.variables[variable]}{path}"
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(address, timeout=10)


def _figures(system: Trial, expression: str) -> list[dict[str, Any]]:
    query = urllib.parse.urlencode({"query": expression})
    address = f"http://127.0.0.1:{system.variables['STACK_PROMETHEUS_PORT']}/api/v1/query?{query}"
    with urllib.request.urlopen(address, timeout=10) as answer:
        found: list[dict[str, Any]] = json.load(answer)["data"]["result"]
    return found


def test_figures_of_every_box_arrive(system: Trial) -> None:
    expected = dict.fromkeys(("prometheus", "online", "batch", "proxy", "project", "alerts"), "1")

    def all_up() -> bool:
        return {row["metric"]["job"]: row["value"][1] for row in _figures(system, "up")} == expected

    system.wait_until(all_up, "all targets up", 120)


@pytest.mark.parametrize("expression", expressions())
def test_a_chart_has_figures(system: Trial, expression: str) -> None:
    def shown() -> bool:
        assert _ask(system, "/predict", {"windows": _windows(1)})[0] == 200
        found = _figures(system, expression)
        return bool(found) and not any(row["value"][1] == "NaN" for row in found)

    system.wait_until(shown, "figures of the last minutes", 120)


@pytest.mark.parametrize("service", ALL)
def test_a_killed_container_comes_back_and_loses_nothing(system: Trial, service: str) -> None:
    before = _counts(system)
    part = system.stack.part(service)
    _kill(system, part.container)
    system.wait_until(lambda: system.stack.part(service).restarts > part.restarts, f"{service} starts again", 60)
    system.stack.wait(ALL)
    assert system.stack.part(service).container == part.container
    assert _counts(system) == before
    assert _ask(system, "/predict", {"windows": _windows(1)})[0] == 200


def _counts(system: Trial) -> list[object]:
    runs = "SELECT count(*) FROM flow_run WHERE state_type = 'COMPLETED'"
    prefect = [system.sql("prefect", query) for query in ("SELECT count(*) FROM deployment", runs)]
    tables = ("runs", "metrics", "model_versions")
    mlflow = [system.sql("mlflow", f"SELECT count(*) FROM {table}") for table in tables]  # noqa: S608
    return [system.rows(), *prefect, *mlflow]


def _kill(system: Trial, container: str) -> None:
    pid = int(output([system.stack.engine.name, "inspect", "--format", "{{.State.Pid}}", container])[1])
    try:
        os.kill(pid, signal.SIGKILL)
    except PermissionError:
        pytest.skip("only root may kill a container's process from outside")


def test_postgres_may_be_away_for_a_minute_during_scoring(system: Trial, tmp_path: Path) -> None:
    name, engine = system.stack.require("postgres"), system.stack.engine.name
    replay_round(tmp_path, load_settings(system.root), dt.date(2024, 1, 10))
    system.must("put", str(tmp_path))
    system.deploy_run("ingest/daily")
    scored = int(system.rows()["scores"])
    system.must("run", "prefect", "deployment", "run", "score/nightly")
    system.wait_until(lambda: system.sql("prefect", _ENDED.format("score")) == "RUNNING", "the run begins")
    output([engine, "stop", name])
    time.sleep(60)
    output([engine, "start", name])
    system.stack.wait(["postgres"])
    system.wait_until(lambda: system.sql("prefect", _ENDED.format("score")) not in ("RUNNING", "PENDING"), "it ends")
    assert system.sql("prefect", _ENDED.format("score")) == "COMPLETED"
    assert int(system.rows()["scores"]) == scored + 10


def test_mlflow_may_restart_during_training(system: Trial) -> None:
    versions = int(system.sql("mlflow", "SELECT count(*) FROM model_versions"))
    system.must("run", "prefect", "deployment", "run", "train/weekly", "-p", f"seed={versions + 10}")
    system.wait_until(lambda: system.sql("prefect", _ENDED.format("train")) == "RUNNING", "the run begins")
    time.sleep(20)
    output([system.stack.engine.name, "restart", system.stack.require("mlflow")])
    system.wait_until(lambda: system.sql("prefect", _ENDED.format("train")) not in ("RUNNING", "PENDING"), "it ends")
    assert system.sql("prefect", _ENDED.format("train")) == "COMPLETED"
    assert int(system.sql("mlflow", "SELECT count(*) FROM model_versions")) == versions + 1


def test_a_tag_that_does_not_exist_touches_nothing(system: Trial) -> None:
    before = system.stack.part("online-blue")
    done = system.run("release", "online", f"{NAME}-online:v99-nowhere")
    assert done.returncode == 1 and "v99-nowhere, which is in neither" in done.stderr, done.stderr
    assert "images.env" in done.stderr and f"{NAME}-online:v1-" in done.stderr
    assert system.stack.part("online-blue").container == before.container and system.stack.part("online-blue").healthy


def test_an_image_that_does_not_work_is_taken_back(system: Trial) -> None:
    engine, good = system.stack.engine.name, system.stack.state.images["online"]
    bad = f"localhost/{NAME}-online:broken"
    recipe = f'FROM {good}\nCMD ["false"]\nENTRYPOINT []\n'
    built = subprocess.run([engine, "build", "-q", "-t", bad, "-"], input=recipe, text=True, capture_output=True)
    assert built.returncode == 0, built.stderr
    done = system.run("release", "online", bad)
    assert done.returncode == 1 and f"{good} serves" in done.stderr, done.stderr
    assert system.stack.state.images["online"] == good and _ask(system, "/model")[0] == 200


def test_another_folder_does_not_take_the_stack_over(system: Trial, tmp_path: Path) -> None:
    other = Trial(tmp_path, {**system.variables, "HAR_ROOT": str(tmp_path), "PYTHONPATH": str(system.root)})
    shutil.copy2(system.root / "har.toml", tmp_path)
    done = other.run("up")
    assert done.returncode == 1 and "started from another folder" in done.stderr, done.stderr
    assert not (tmp_path / ".stack/secrets").exists()


def test_two_stacks_run_side_by_side(system: Trial, tmp_path: Path) -> None:
    with trial(tmp_path) as other:
        other.must("up", "--profile", "monitoring")
        assert system.stack.part("prometheus").healthy and other.stack.part("prometheus").healthy
        assert system.stack.part("prometheus").container != other.stack.part("prometheus").container
        assert not set(system.stack.traces()) & set(other.stack.traces())
    assert not other.stack.traces() and system.stack.part("prometheus").healthy


def test_a_port_that_is_taken_is_named(system: Trial, tmp_path: Path) -> None:
    with trial(tmp_path) as other:
        other.variables["STACK_PROMETHEUS_PORT"] = system.variables["STACK_PROMETHEUS_PORT"]
        done = other.run("up", "--profile", "monitoring")
        assert done.returncode == 1 and "make stack STACK_PROMETHEUS_PORT=" in done.stderr, done.stderr


def test_an_open_secret_keeps_the_stack_from_starting(system: Trial) -> None:
    path = system.stack.state.secrets / "mlflow_db_password"
    path.chmod(0o644)
    done = system.run("up")
    path.chmod(0o600)
    assert done.returncode == 2 and f"chmod go= {path}" in done.stderr, done.stderr


def test_a_second_start_finds_everything(system: Trial) -> None:
    before = system.rows(), system.must("run", "har", "models")
    system.must("down")
    assert all(not part.container for part in system.stack.parts())
    system.must("up")
    assert (system.rows(), system.must("run", "har", "models")) == before
    assert _ask(system, "/model")[1]["version"] == 1


def test_a_renewed_password_is_taken_over_everywhere(system: Trial) -> None:
    system.must("down")
    system.must("renew", "prefect_db_password", "login")
    system.must("up")
    assert "champion" in system.must("run", "har", "models")
    system.deploy_run("collect/hourly")
