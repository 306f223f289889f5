"""`make release` and `make rollback` for processes: the job of `har release`, in a place in memory."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
from memory_place_support import Evidence, Place
from serving_support import make_rule, train_model, write_settings
from tests_support import example_recipe

from har.inference import Package
from har.jobs import release as job
from har.jobs.package import TAGS
from har.jobs.release import Surroundings
from har.project import Project
from har.release import Controller, Judged
from infra.bentoml.bentos import ProjectBentos
from infra.delivery.online import release as step
from infra.delivery.online.candidate import Candidate

KEYS = {1: "v1-00000001", 2: "v2-00000002"}


@pytest.mark.timeout(300)
def test_a_candidate_is_released_taken_back_and_rolled_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in {"DWELL_S": "0", "KEEP_FORMER_S": "0", "LEASE_S": "2", "STEPS": "[1.0]"}.items():
        monkeypatch.setenv(f"HAR_RELEASE__{name}", value)
    monkeypatch.setattr(job, "Controller", partial(Controller, tick_s=0.02, judge_s=0.05))
    monkeypatch.setenv("GITHUB_ACTOR", "ada")
    project = Project(write_settings(tmp_path / "project"))
    name, store = project.settings.project.name, tmp_path / "store"
    candidates = {}
    for number, key in KEYS.items():
        model = train_model(tmp_path / f"{number}.onnx", seed=number)
        project.registry.register(
            model, params={}, metrics={}, recipe=example_recipe(seed=number), report=None, tags={}
        )
        tags = (f"{name}-online:{key}", f"{name}-batch:{key}")
        project.registry.set_tags(number, dict(zip(TAGS, tags, strict=True)))
        folder = store / "models" / name / key
        Package.write(folder, model=model, version=number, previous=None, shadow=None, rule=make_rule())
        for kind in ("online", "batch"):
            (store / "bentos" / f"{name}-{kind}" / key).mkdir(parents=True)
        candidates[number] = Candidate(number, *tags, model, store)
    project.registry.promote(1, reason="first", who="test")
    place = Place(stable=candidates[1].online)
    evidence = Evidence(says={"100 %": Judged("fail", reason="40 % of its answers failed")})
    asked: list[str] = []

    def around(found: Project) -> Surroundings:
        return Surroundings(ProjectBentos.of(found.settings), place, evidence.of, lambda *_: ())

    def smoke(address: str, *_: Any) -> list[str]:
        asked.append(address)
        return []

    monkeypatch.setattr(step, "surroundings", around)
    monkeypatch.setattr(step, "smoke", smoke)
    release = partial(step.release_candidate, project, candidates[2], address="http://127.0.0.1:1")
    assert release(why="try") == 1
    assert (place.stable, asked) == (candidates[1].online, [])
    assert "rolled back: version 2 was rolled back: 40 % of its answers failed" in capsys.readouterr().err
    evidence.says = {}
    assert release(why="mended") == 0
    assert (place.stable, asked) == (candidates[2].online, ["http://127.0.0.1:1"])
    assert project.registry.champion().number == 2
    # Its bentos are there: nothing is built for the way back.
    monkeypatch.setattr(job, "package", lambda *_, **__: type("Report", (), {"online_tag": candidates[1].online}))
    assert step.roll_back(project, why="complaints from ward 3") == 0
    assert (place.stable, project.registry.champion().number) == (candidates[1].online, 1)
    assert {move.who for move in project.registry.log() if move.action == "rollback"} == {"ada"}
    assert project.registry.verify()
