"""The flow `release` on a real server: an artifact and an event per step; the place is in memory."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
from memory_place_support import Evidence, Place
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
from serving_support import train_model, write_settings
from tests_support import example_recipe

from flows import release as flows_release
from flows.release import release
from har.jobs import release as job
from har.jobs.package import TAGS
from har.jobs.release import Surroundings
from har.project import Project
from har.release import Controller, Judged
from infra.bentoml.bentos import ProjectBentos

pytestmark = [pytest.mark.stack, pytest.mark.release, pytest.mark.timeout(400)]

STABLE, NEW = "test-project-online:v1-00000001", "test-project-online:v2-00000002"


def test_each_step_is_an_artifact_and_the_run_says_how_it_ended(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"DWELL_S": "0", "KEEP_FORMER_S": "0", "LEASE_S": "2", "STEPS": "[1.0]"}.items():
        monkeypatch.setenv(f"HAR_RELEASE__{name}", value)
    monkeypatch.setattr(job, "Controller", partial(Controller, tick_s=0.05, judge_s=0.1))
    project = Project(write_settings(tmp_path / "project"))
    monkeypatch.setenv("HAR_ROOT", str(project.settings.root))
    for number, tag in enumerate((STABLE, NEW), start=1):
        model = train_model(tmp_path / f"{number}.onnx", seed=number)
        project.registry.register(
            model, params={}, metrics={}, recipe=example_recipe(seed=number), report=None, tags={}
        )
        project.registry.set_tags(number, {TAGS[0]: tag, TAGS[1]: tag.replace("online", "batch")})
        project.registry.promote(number, reason="it is better", who="test")
    place = Place(stable=STABLE)
    measure = {"name": "failed", "value": 0.4, "limit": 0.02, "n": 50, "subjects": 3, "verdict": "fail"}
    evidence = Evidence(says={"100 %": Judged("fail", (measure,), reason="40 % of its answers failed")})

    def around(found: Project) -> Surroundings:
        return Surroundings(ProjectBentos.of(found.settings), place, evidence.of, lambda *_: ())

    monkeypatch.setattr(flows_release, "surroundings", around)
    monkeypatch.setattr(job, "package", lambda *_, **__: type("Report", (), {"online_tag": NEW}))
    state: Any = release(promoted=True, return_state=True)
    assert (state.name, state.type.value) == ("RolledBack", "COMPLETED")
    assert "40 % of its answers failed" in state.message
    assert project.registry.champion().number == 1
    with get_client(sync_client=True) as client:
        key = ArtifactFilter(key=ArtifactFilterKey(any_=["release-version-2"]))
        found = client.read_artifacts(artifact_filter=key)
    described = sorted(str(artifact.description) for artifact in found)
    assert [text.partition(":")[0] for text in described] == [
        "advanced, 100 %",
        "advanced, shadow",
        "ended, 100 %",
        "started, no step yet",
    ]
    assert all(artifact.flow_run_id for artifact in found)
    ended = next(artifact for artifact in found if str(artifact.description).startswith("ended"))
    assert '"value": "0.4"' in str(ended.data)
    assert '"limit": "0.02"' in str(ended.data)
