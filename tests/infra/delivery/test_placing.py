"""A candidate comes into the store that is served from only as it was written, and as the registry knows it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from serving_support import make_rule, train_model, write_settings
from tests_support import example_recipe

from har.errors import ModelError, ReleaseError
from har.inference import Package
from har.project import Project
from infra.delivery.online._placing import place
from infra.delivery.online.candidate import Candidate

KEY = "v1-00000000"


@pytest.mark.timeout(120)
def test_a_candidate_is_placed_once_and_a_damaged_or_unknown_one_is_refused(tmp_path: Path) -> None:
    project = Project(write_settings(tmp_path / "project"))
    name, store = project.settings.project.name, tmp_path / "store"
    model = train_model(tmp_path / "model.onnx", seed=1)
    candidate = Candidate(1, f"{name}-online:{KEY}", f"{name}-batch:{KEY}", model, store)
    with pytest.raises(ReleaseError, match="no such vers"):
        place(project, candidate)
    project.registry.register(model, params={}, metrics={}, recipe=example_recipe(seed=1), report=None, tags={})
    package = store / "models" / name / KEY
    Package.write(package, model=model, version=1, previous=None, shadow=None, rule=make_rule())
    for kind in ("online", "batch"):
        (store / "bentos" / f"{name}-{kind}" / KEY).mkdir(parents=True)
    other = train_model(tmp_path / "other.onnx", seed=2)
    with pytest.raises(ReleaseError, match="a candidate with another one"):
        place(project, replace(candidate, model=other))
    whole = (package / "model.onnx").read_bytes()
    (package / "model.onnx").write_bytes(b"half of it")
    with pytest.raises(ModelError, match="the content that was packaged"):
        place(project, candidate)
    assert not (project.settings.path("bentoml") / "models").exists()
    (package / "model.onnx").write_bytes(whole)
    for _ in range(2):
        assert place(project, candidate) == candidate.online
    assert (project.settings.path("bentoml") / "models" / name / KEY / "package.json").is_file()
