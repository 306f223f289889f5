"""The profile `logs`: its services keep the stack's rules, and its pipeline reads the lines that the services write."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from har import logs
from infra.compose.stack import FILE, FURTHER, LOGS_FILE, Stack
from infra.compose.starting import chosen_services
from infra.compose.state import State

FOLDER = LOGS_FILE.parent
CHECKER = Path(".venv/tools/bin/check-jsonschema").resolve()
CONTENT: dict[str, Any] = yaml.safe_load(LOGS_FILE.read_text(encoding="utf-8"))
ALLOY = (FOLDER / "alloy" / "config.alloy").read_text(encoding="utf-8")


class Engine:
    """What `Stack` asks of an engine to write a command."""

    compose = ("docker", "compose")


def test_it_is_started_only_where_it_is_asked_for(tmp_path: Path) -> None:
    stack = Stack(tmp_path, "house", State.load(tmp_path, "house", {"STACK_TRAIN_IMAGE": "t:1"}), Engine())  # type: ignore[arg-type]
    assert not {"loki", "alloy"} & set(chosen_services(stack, [])[0])
    assert chosen_services(stack, ["logs"])[0] == ["loki", "alloy"]
    command = stack.command("down")
    assert str(LOGS_FILE) in command and "logs" in command  # so that `make stack-down` ends it, too


def test_the_services_keep_the_rules_of_the_stack() -> None:
    assert set(CONTENT["services"]) - {"prepare"} == set(FURTHER["logs"])
    volumes = {entry.partition(":")[0] for entry in CONTENT["services"]["prepare"]["volumes"]}
    assert volumes == set(CONTENT["volumes"])
    assert not set(CONTENT["volumes"]) & set(yaml.safe_load(FILE.read_text())["volumes"])
    for name in FURTHER["logs"]:
        service = CONTENT["services"][name]
        assert re.fullmatch(
            r"\$\{STACK_[A-Z]+_IMAGE:-docker\.io/grafana/[a-z]+:v?[\d.]+@sha256:[0-9a-f]{64}\}", service["image"]
        )
        assert service["profiles"] == ["logs"]
        assert service["cap_drop"] == ["ALL"] and service["read_only"] is True
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["healthcheck"]["start_period"] and service["pids_limit"] > 0
        assert "ports" not in service, "log lines name people: nobody outside of the stack asks"
        assert not [entry for entry in service["volumes"] if "docker.sock" in entry]
        assert all(entry.endswith(":ro") for entry in service["volumes"] if entry.startswith((".", "$")))
    assert CONTENT["services"]["loki"]["user"] == "1034:1034"
    assert CONTENT["services"]["alloy"]["cap_add"] == ["DAC_READ_SEARCH"]


@pytest.mark.skipif(not CHECKER.exists(), reason="check-jsonschema is not installed: make setup-tools")
def test_the_file_is_valid() -> None:
    done = subprocess.run(
        [CHECKER, "--builtin-schema", "vendor.compose-spec", LOGS_FILE], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout


def test_the_pipeline_reads_the_keys_that_lines_have() -> None:
    """Alloy itself does not run here: its stages are applied to lines as `har.logs` writes them."""
    read = _keys("stage.json", "expressions")
    labels, metadata = _keys("stage.labels", "values"), _keys("stage.structured_metadata", "values")
    line = json.loads(
        logs.line("m", service="online", request_id="r", subject="s", model_version=1, flow_run_id="f", status=200)
    )
    assert read <= set(line)
    assert read == (labels | metadata | {"time"}) - {"container"}
    # Each value of a label is a stream of its own in Loki: ids of requests and runs must not be labels.
    assert labels == {"level", "service", "container"}
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", line["time"]), "RFC3339Nano, as stage.timestamp says"
    (expression,) = re.findall(r'expression = "(.+)"', ALLOY)
    for path in (f"/containers/{'0a' * 32}/{'0a' * 32}-json.log", f"/containers/{'0a' * 32}/userdata/ctr.log"):
        found = re.search(expression, path)
        assert found is not None and found["container"] == "0a" * 6
        assert any(Path(path).match(glob) for glob in re.findall(r'"__path__" = "([^"]+)"', ALLOY))


def _keys(stage: str, block: str) -> set[str]:
    (body,) = re.findall(rf"{re.escape(stage)} \{{.*?{block}\s*= \{{(.*?)\}}", ALLOY, re.DOTALL)
    return set(re.findall(r'(\w+)\s*= ""', body))


def test_every_component_is_used_and_there() -> None:
    defined = {f"{kind}.{name}" for kind, name in re.findall(r'^([\w.]+) "(\w+)" \{', ALLOY, re.MULTILINE)}
    used = set(re.findall(r"\b([a-z_]+\.[a-z_]+\.[a-z_]+)\.(?:receiver|targets)\b", ALLOY))
    assert used == {name for name in defined if not name.startswith("loki.source")}
    assert ALLOY.count("{") == ALLOY.count("}")


def test_loki_keeps_lines_for_a_time_on_its_volume_and_reports_nothing() -> None:
    loki = yaml.safe_load((FOLDER / "loki" / "loki.yaml").read_text())
    assert loki["analytics"]["reporting_enabled"] is False
    assert loki["limits_config"]["retention_period"] == "720h" and loki["compactor"]["retention_enabled"] is True
    assert loki["common"]["path_prefix"] == "/loki" and "loki:/loki" in CONTENT["services"]["loki"]["volumes"]
    (source,) = yaml.safe_load((FOLDER / "grafana/provisioning/datasources/loki.yaml").read_text())["datasources"]
    assert source["url"] == f"http://loki:{loki['server']['http_listen_port']}" and source["uid"] == "loki"
    assert source["url"] in ALLOY


@pytest.mark.skipif(shutil.which("docker") is None, reason="needs Docker's compose")
def test_compose_takes_both_files() -> None:
    base = ["docker", "compose", "-f", str(FILE), "-f", str(LOGS_FILE), "--profile", "logs", "--profile", "prepare"]
    if subprocess.run(["docker", "compose", "version"], capture_output=True).returncode:
        pytest.skip("docker has no compose here")
    done = subprocess.run([*base, "config", "--format", "json"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert {"loki", "alloy"} <= set(json.loads(done.stdout)["services"])
