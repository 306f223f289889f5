"""The files that hold the project's answers: they load, they agree, and deployments refer to flows that exist."""

from __future__ import annotations

import importlib
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from prefect import Flow
from prefect.client.schemas.schedules import CronSchedule

from har.settings import Settings
from har.windows import cut


@pytest.fixture
def prefect_yaml(root: Path) -> dict[str, Any]:
    return yaml.safe_load((root / "prefect.yaml").read_text(encoding="utf-8"))


def flow_of(deployment: dict[str, Any], root: Path) -> Flow:
    """Import the flow that a deployment's entrypoint names."""
    file, _, function = deployment["entrypoint"].partition(":")
    assert (root / file).is_file(), f"{deployment['name']}: {file} does not exist"
    flow = getattr(importlib.import_module(file.removesuffix(".py").replace("/", ".")), function, None)
    assert isinstance(flow, Flow), f"{deployment['name']}: {file} has no flow named {function}"
    return flow


def test_all_files_have_the_same_project_name(root: Path, own_settings: Settings, prefect_yaml: dict[str, Any]) -> None:
    name = own_settings.project.name
    assert tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["name"] == name
    assert prefect_yaml["name"] == name
    answers = root / ".copier-answers.yml"
    if answers.is_file():  # the template itself has none
        assert yaml.safe_load(answers.read_text(encoding="utf-8"))["project_slug"] == name


def test_windows_can_be_cut_with_the_projects_settings(own_settings: Settings) -> None:
    channels = own_settings.sensors.channels
    assert len(own_settings.sensors.units) == len(channels)
    rows = 10 * own_settings.length
    windows = cut(
        np.zeros((rows, len(channels)), np.float32),
        np.zeros(rows, np.int64),
        length=own_settings.length,
        stride=own_settings.stride,
    )
    assert len(windows) == (rows - own_settings.length) // own_settings.stride + 1
    assert windows.batch().shape[1:] == (own_settings.length, len(channels))


def test_every_deployment_runs_a_flow_with_parameters_that_it_takes(root: Path, prefect_yaml: dict[str, Any]) -> None:
    assert prefect_yaml["deployments"]
    names = []
    for deployment in prefect_yaml["deployments"]:
        flow = flow_of(deployment, root)
        names.append(f"{flow.name}/{deployment['name']}")
        known = set(flow.parameters.properties)
        triggers = deployment.get("triggers", ())
        for passed in (deployment.get("parameters", {}), *(trigger.get("parameters", {}) for trigger in triggers)):
            assert set(passed) <= known, f"{names[-1]}: {set(passed) - known}"
    assert len(set(names)) == len(names), "two deployments have the same name"


def test_every_schedule_is_valid(prefect_yaml: dict[str, Any]) -> None:
    schedules = [one for deployment in prefect_yaml["deployments"] for one in deployment.get("schedules", ())]
    for schedule in schedules:
        CronSchedule(cron=schedule["cron"], timezone=schedule["timezone"])
        assert isinstance(schedule["active"], bool), schedule["slug"]
    slugs = [schedule["slug"] for schedule in schedules]
    assert len(set(slugs)) == len(slugs)
