"""The compose file: valid, and every service held to the same rules."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from har.settings import load_settings
from infra.compose.images import images_of
from infra.compose.inside.prepare import USER
from infra.compose.proxy import StackPlace, write_proxy
from infra.compose.secret_files import NAMES
from infra.compose.stack import FILE, SERVICES, Stack
from infra.compose.state import PORTS, State
from infra.observability.grafana import written_files

FOLDER = FILE.parent
CHECKER = Path(".venv/tools/bin/check-jsonschema").resolve()
CONTENT: dict[str, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
ALL: dict[str, dict[str, Any]] = CONTENT["services"]
LASTING = {name: service for name, service in ALL.items() if name != "prepare"}
OTHERS = ("postgres", "haproxy", "alertmanager", "prometheus", "grafana")
ENDED = ("redis", "minio", "promtail", "redpanda", "bitnami")

each_service = pytest.mark.parametrize("name", ALL)
each_lasting = pytest.mark.parametrize("name", LASTING)


def test_the_file_is_valid() -> None:
    if not CHECKER.exists():
        pytest.skip("check-jsonschema is not installed: make setup-tools")
    done = subprocess.run([CHECKER, "--builtin-schema", "vendor.compose-spec", FILE], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_commands_know_the_services_of_the_file() -> None:
    assert {service for group in SERVICES.values() for service in group} == set(LASTING)
    for profile, services in SERVICES.items():
        for service in services:
            assert ALL[service]["profiles"] == [profile]


@each_service
def test_a_service_has_no_rights_that_it_does_not_need(name: str) -> None:
    service = ALL[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["read_only"] is True
    assert "privileged" not in service and service.get("network_mode") != "host"
    assert not [entry for entry in service.get("volumes", []) if "docker.sock" in str(entry)]


@each_lasting
def test_a_lasting_service_is_watched_limited_and_nobody(name: str) -> None:
    service = LASTING[name]
    assert service["user"] == f"{USER}:{USER}" and "cap_add" not in service
    assert service["restart"] == "unless-stopped"
    assert service["healthcheck"]["test"][0] == "CMD" and service["healthcheck"]["start_period"]
    assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory"} and service["pids_limit"] > 0


def test_only_the_service_that_hands_over_files_is_root() -> None:
    prepare = ALL["prepare"]
    assert prepare["user"] == "0:0" and prepare["network_mode"] == "none" and prepare["restart"] == "no"
    given = {entry.partition(":")[0] for entry in prepare["volumes"] if not entry.startswith("${")}
    assert given == set(CONTENT["volumes"])


def test_ports_are_open_on_the_chosen_address_only() -> None:
    published = [port for service in ALL.values() for port in service.get("ports", [])]
    # Past the proxy, an online box is reached from this machine alone, at a port that the engine chooses.
    own = [port for port in published if "STACK_" not in port]
    assert own == ["127.0.0.1::3000"] * 2
    named = [port for port in published if port not in own]
    of_stream = {"STACK_MQTT_PORT"}  # in stream.yaml
    assert {re.search(r"STACK_\w+_PORT", port)[0] for port in named} == set(PORTS) - of_stream  # type: ignore[index]
    for port in named:
        assert re.match(r"\$\{STACK_(PLAIN_)?BIND:-127\.0\.0\.1\}:\$\{STACK_", port), port
    assert "ports" not in ALL["postgres"] and CONTENT["networks"]["database"]["internal"] is True


def test_images_of_others_are_given_by_digest_and_none_has_ended() -> None:
    for name, service in ALL.items():
        image = service["image"]
        if name in OTHERS:
            assert re.fullmatch(
                r"\$\{STACK_[A-Z]+_IMAGE:-docker\.io/[a-z/]+:[\w.-]*\d[\w.-]*@sha256:[0-9a-f]{64}\}", image
            ), image
        else:
            assert re.fullmatch(r"\$\{STACK_(TRAIN|BLUE|GREEN|BATCH)_IMAGE:-no-\w+-image\}", image), image
        assert not [ended for ended in ENDED if ended in image]


def test_secrets_are_files_and_no_value_is_in_the_environment() -> None:
    # The token of the first start is handed over into the volume of the online service, where it can be replaced.
    mounted = set(NAMES) - {"feedback_token"}
    assert set(CONTENT["secrets"]) == mounted
    for name, secret in CONTENT["secrets"].items():
        assert secret["file"].endswith(f"/secrets/{name}")
    used = {name for service in LASTING.values() for name in service.get("secrets", [])}
    assert used == mounted
    for service in ALL.values():
        for variable, value in service.get("environment", {}).items():
            if re.search("PASSWORD|TOKEN|LOGIN|SECRET", variable) and "GRAVATAR" not in variable:
                folders = ("/run/secrets/", "/home/bentoml/data/", "/srv/online/")
                assert str(value).startswith(folders), variable


def test_no_name_of_a_service_looks_like_a_setting() -> None:
    # Engines with links make NAME_PORT and the like of it, and a box refuses unknown HAR_ variables.
    assert not [name for name in ALL if name.startswith("har")]
    assert not [name for name in re.findall(r"\$\{(\w+)", FILE.read_text()) if not name.startswith("STACK_")]


def test_nobody_reports_home() -> None:
    for name in ("prefect", "mlflow", "worker", "batch", "online-blue", "online-green", "exporter"):
        assert ALL[name]["environment"]["DO_NOT_TRACK"] == "true"
    grafana = ALL["grafana"]["environment"]
    assert grafana["GF_ANALYTICS_REPORTING_ENABLED"] == "false" == grafana["GF_ANALYTICS_CHECK_FOR_UPDATES"]


def test_services_wait_for_what_they_need() -> None:
    for name, needed in (("prefect", "postgres"), ("mlflow", "postgres"), ("worker", "prefect"), ("worker", "mlflow")):
        assert ALL[name]["depends_on"][needed] == {"condition": "service_healthy"}
    # A release replaces the online box under the running proxy.
    assert "depends_on" not in ALL["haproxy"]


def test_the_proxys_configuration_is_valid(tmp_path: Path) -> None:
    program = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")
    if program is None:
        pytest.skip("haproxy is not installed")
    place, settings = StackPlace(tmp_path / ".stack"), load_settings()
    assert write_proxy(place, settings, tls=False)
    assert not write_proxy(place, settings, tls=False)
    text = (place.folder / "haproxy.cfg").read_text()
    assert "server blue1 online-blue:3000" in text and "server green1 online-green:3000" in text
    # The proxy's own user reads it; nobody else looks into .stack.
    modes = {path.name: path.stat().st_mode & 0o777 for path in place.folder.iterdir() if path.is_file()}
    assert set(modes.values()) == {0o644} and "split.map" in modes
    done = subprocess.run([program, "-c", "-f", "haproxy.cfg"], cwd=place.folder, capture_output=True, text=True)
    # The boxes have no names here; nothing else is to be said.
    warned = [line for line in done.stderr.splitlines() if "WARNING" in line and "could not resolve" not in line]
    assert done.returncode == 0 and not warned, done.stderr


def test_prometheus_configuration_is_valid_and_asks_services_that_exist() -> None:
    path = FOLDER / "prometheus/prometheus.yml"
    jobs = yaml.safe_load(path.read_text())["scrape_configs"]
    listed = [one for job in jobs for one in job.get("static_configs", [])]
    hosts = {target.partition(":")[0] for one in listed for target in one["targets"]}
    found = {name for job in jobs for one in job.get("dns_sd_configs", []) for name in one["names"]}
    assert hosts - {"127.0.0.1"} | found <= set(LASTING)
    assert found == {"online-blue", "online-green"}
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed")
    done = subprocess.run(["promtool", "check", "config", path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_files_are_what_the_table_of_panels_makes() -> None:
    made = written_files()
    assert {path for path in made if path.suffix == ".json"} == set((FOLDER / "grafana/dashboards").iterdir())
    for path, text in made.items():
        assert path.read_text(encoding="utf-8") == text, "python -m infra.observability.grafana writes them"


def test_charts_ask_the_database_that_is_there() -> None:
    source = yaml.safe_load((FOLDER / "grafana/provisioning/datasources/prometheus.yaml").read_text())["datasources"][0]
    dashboards = [json.loads(path.read_text()) for path in (FOLDER / "grafana/dashboards").glob("*.json")]
    charts = [panel for dashboard in dashboards for panel in dashboard["panels"] if panel["type"] != "row"]
    used = {one["datasource"]["uid"] for panel in charts for one in (panel, *panel["targets"])}
    assert used == {source["uid"]} and source["url"] == "http://prometheus:9090"


class _Engine:
    name, compose, probes_itself = "podman", ("podman-compose",), False


def _stack(root: Path, **variables: str) -> Stack:
    return Stack(root, "har-mlops", State.load(root, "har-mlops", variables), _Engine())  # type: ignore[arg-type]


def test_two_stacks_of_one_machine_share_nothing(tmp_path: Path) -> None:
    ports = {name: str(number + 100) for name, number in PORTS.items()}
    one, two = _stack(tmp_path / "a"), _stack(tmp_path / "b", STACK_PROJECT="two", **ports)
    first, second = one.state.variables(), two.state.variables()
    assert first["STACK_STATE"] != second["STACK_STATE"]
    assert not {first[name] for name in PORTS} & {second[name] for name in PORTS}
    # Containers, networks and volumes begin with the project's name: nothing in the file has a name of its own.
    assert one.command("up")[1:3] == ["-p", "har-mlops"] and two.command("up")[1:3] == ["-p", "two"]
    assert "container_name" not in FILE.read_text() and "name" not in CONTENT
    assert not [volume for volume in CONTENT["volumes"].values() if volume]


def test_the_images_that_are_checked_are_those_that_start(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("services: {postgres: {image: mine}}\n", encoding="utf-8")
    stack = _stack(
        tmp_path, STACK_OVERRIDE="mine.yaml", STACK_ONLINE_IMAGE="har-mlops-online:v1", STACK_HAPROXY_IMAGE="h"
    )
    found = images_of(stack, ["postgres", "online-blue", "haproxy", "prometheus"])
    assert found.pop("prometheus").startswith("docker.io/prom/prometheus:v")
    assert found == {"postgres": "mine", "online-blue": "har-mlops-online:v1", "haproxy": "h"}
