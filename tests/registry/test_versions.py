"""Registering versions, listing them, and reading back the bytes that were trained."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
from tests_support import example_recipe

from har.errors import ModelError, ModelMismatchError, NoChampionError, RegistryError, UnknownVersionError
from har.inference import Classifier
from har.registry import Registry


def test_a_version_has_the_trained_bytes_the_recipe_and_the_files(registry, make_model, tmp_path):
    model = make_model()
    report = tmp_path / "report.html"
    report.write_text("<html>87 %</html>")
    extra = tmp_path / "metrics.json"
    extra.write_text("{}")
    recipe = example_recipe(seed=3, regimes=["2024-06-01"], labels_version=2)

    version = registry.register(
        model,
        params={"training.epochs": 15, "activities": ["PEN", "ROW"], "long": "x" * 9000},
        metrics={"accuracy": 0.8712345678901234, "latency_us_p50": 57.0},
        recipe=recipe,
        report=report,
        extra_artifacts=[extra],
        tags={"seed": 3, "git_dirty": True},
    )

    assert registry.model_path(version.number).read_bytes() == model.read_bytes()
    assert registry.recipe(version.number) == recipe
    assert version.number == 1
    assert version.metrics == {"accuracy": 0.8712345678901234, "latency_us_p50": 57.0}
    assert version.params["training.epochs"] == "15"
    assert version.params["activities"] == '["PEN", "ROW"]'
    wanted = {"git_commit": "abc123", "git_dirty": "true", "data_version": "samples@7", "split_id": "held-out-s03"}
    assert version.tags.items() >= {**wanted, "seed": "3", "network": "spectral"}.items()
    assert version.aliases == ()
    stored = registry.folder / "artifacts" / version.run_id / "artifacts" / "report"
    assert {path.name for path in stored.iterdir()} == {"report.html", "metrics.json"}


@pytest.mark.filterwarnings("ignore:.*Any type hint")  # MLflow warns about its own types on import
def test_mlflows_own_tools_load_the_version_and_know_its_signature(registry, register):
    number = register()
    import mlflow

    folder = registry.model_path(number).parent
    loaded = mlflow.pyfunc.load_model(str(folder))
    window = np.random.default_rng(0).normal(size=(5, 16, 3)).astype(np.float32)
    answer = loaded.predict({"window": window})
    expected = Classifier(folder / "model.onnx").predict(window)
    np.testing.assert_array_equal(answer["probabilities"], expected.probabilities)
    np.testing.assert_array_equal(answer["features"], expected.features)
    assert [(spec.name, spec.shape) for spec in loaded.metadata.signature.inputs.inputs] == [("window", (-1, 16, 3))]
    assert [spec.name for spec in loaded.metadata.signature.outputs.inputs] == ["probabilities", "features"]


def test_versions_count_up_and_are_listed_newest_first(registry, register):
    assert [register(0), register(1), register(2)] == [1, 2, 3]
    assert [version.number for version in registry.versions()] == [3, 2, 1]


def test_registering_the_same_file_and_recipe_again_is_the_same_version(registry, register):
    assert register(0) == register(0) == 1
    assert register(0, recipe=example_recipe(lake_version=8)) == 2
    assert len(registry.versions()) == 2


def test_tags_can_be_added_to_a_version_but_those_of_its_registration_stay(registry, register):
    number = register()
    registry.set_tags(number, {"bento_online": "wrist-online:v1"})
    registry.set_tags(number, {"bento_online": "wrist-online:v2"})
    tags = registry.version(number).tags
    assert tags["bento_online"] == "wrist-online:v2"
    for name in ("sha256", "git_commit", "status"):
        with pytest.raises(RegistryError, match="written at registration"):
            registry.set_tags(number, {"bento_online": "wrist-online:v3", name: "other"})
    assert registry.version(number).tags == tags
    with pytest.raises(UnknownVersionError):
        registry.set_tags(9, {"bento_online": "wrist-online:v1"})


def test_a_changed_model_file_is_refused(registry, register):
    number = register()
    path = registry.model_path(number)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"version 1.*expected the content that was registered"):
        registry.model_path(number)
    with pytest.raises(ModelError):
        registry.promote(number, reason="better", who="me")
    assert registry.version(number).aliases == ()


def test_a_missing_model_file_is_refused(registry, register):
    number = register()
    registry.model_path(number).unlink()
    with pytest.raises(ModelError, match="expected the registered model file, but got none"):
        registry.model_path(number)


def test_another_projects_model_is_refused_and_leaves_nothing(registry, make_model):
    with pytest.raises(ModelMismatchError, match="'gait'"):
        registry.register(
            make_model(project="gait"), params={}, metrics={}, recipe=example_recipe(), report=None, tags={}
        )
    assert registry.versions() == []


def test_a_file_that_is_no_model_is_refused(registry, tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(ModelError, match="expected an ONNX file"):
        registry.register(path, params={}, metrics={}, recipe=example_recipe(), report=None, tags={})


def test_a_missing_report_is_named_before_anything_is_stored(registry, make_model, tmp_path):
    with pytest.raises(RegistryError, match=r"report\.html"):
        registry.register(
            make_model(), params={}, metrics={}, recipe=example_recipe(), report=tmp_path / "report.html", tags={}
        )
    assert not (registry.folder / "artifacts").exists()


def test_an_unknown_version_is_named_with_those_there_are(registry, register):
    with pytest.raises(UnknownVersionError, match="none is registered yet"):
        registry.version(1)
    register(0)
    register(1)
    with pytest.raises(UnknownVersionError, match=r"one of the versions 1, 2, but got 7\. List them: har models"):
        registry.version(7)


def test_reading_an_empty_folder_creates_nothing_and_does_not_import_mlflow(tmp_path):
    program = (
        "import sys; from pathlib import Path; from har.registry import Registry\n"
        "from har.errors import NoChampionError\n"
        f"registry = Registry(Path({str(tmp_path / 'mlruns')!r}), 'wrist')\n"
        "assert registry.versions() == [] and registry.log() == []\n"
        "try: registry.champion()\n"
        "except NoChampionError as error: print(error)\n"
        "assert 'mlflow' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "har train" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_without_a_champion_the_message_says_what_to_do(registry, register):
    register()
    with pytest.raises(NoChampionError, match=r"none among the versions 1\. .*har train.*har promote"):
        registry.champion()


def test_a_moved_project_keeps_its_versions_and_writes_to_its_new_place(registry, register, make_model, tmp_path):
    register(0)
    before = registry.model_path(1).read_bytes()
    moved = tmp_path / "elsewhere" / "mlruns"
    moved.parent.mkdir()
    registry.folder.rename(moved)

    there = Registry(moved, registry.name)
    assert there.model_path(1).read_bytes() == before
    number = there.register(make_model(1), params={}, metrics={}, recipe=example_recipe(), report=None, tags={}).number
    assert there.model_path(number).is_relative_to(moved)
    assert not registry.folder.exists()


REGISTER = """
import os, signal
from pathlib import Path
from har.registry import Registry, _backend, _catalog
import mlflow

def die(*args, **kwargs):
    os.kill(os.getpid(), signal.SIGKILL)

if point == "database":
    _backend.Path.replace = die
elif point == "files":
    _catalog.stage = die
elif point == "version":
    mlflow.MlflowClient.create_model_version = die
registry = Registry(folder, "wrist")
registry.register(model, params={"a": 1}, metrics={"m": 0.5}, recipe=recipe, report=None, tags={"seed": 0})
"""


@pytest.mark.stack
def test_killed_registrations_leave_no_version_and_the_next_one_succeeds(tmp_path, make_model, spawn):
    folder = tmp_path / "mlruns"
    registry = Registry(folder, "wrist")
    for point in ("database", "files", "version"):
        process = spawn(REGISTER, point=point, folder=folder, model=make_model(), recipe=example_recipe())
        process.join(60)
        assert process.exitcode == -signal.SIGKILL, point
        assert registry.versions() == [], point
    process = spawn(REGISTER, point="", folder=folder, model=make_model(), recipe=example_recipe())
    process.join(60)
    assert process.exitcode == 0
    assert registry.model_path(1).read_bytes() == make_model().read_bytes()
    statuses = [run.info.status for run in registry._catalog.client.search_runs(["1"])]
    assert sorted(statuses) == ["FINISHED", "FINISHED", "KILLED"]
    assert sorted(path.name for path in folder.iterdir() if path.name.startswith("mlflow")) == ["mlflow.db"]


@pytest.mark.stack
def test_two_processes_registering_at_once_both_land(folder, registry, make_model, spawn):
    processes = [
        spawn(REGISTER, point="", folder=folder, model=make_model(seed), recipe=example_recipe()) for seed in (1, 2)
    ]
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0]
    assert [version.number for version in registry.versions()] == [2, 1]
    assert len({version.sha256 for version in registry.versions()}) == 2


@pytest.mark.stack
def test_a_first_registration_prints_nothing(tmp_path, make_model):
    program = """
import sys
from pathlib import Path
from har.recipe import Recipe
from har.registry import Registry
recipe = Recipe(settings={}, lake="lake", lake_version=7, split={}, network="spectral", seed=0)
registry = Registry(Path(sys.argv[1]), "wrist")
number = registry.register(
    Path(sys.argv[2]), params={"a": 1}, metrics={"m": 0.5}, recipe=recipe, report=None, tags={}
).number
registry.promote(number, reason="first", who="me")
"""
    command = [sys.executable, "-c", program, str(tmp_path / "mlruns"), str(make_model())]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert (done.stdout, done.stderr) == ("", "")


def test_another_backend_is_named_by_mlflows_own_variable(template, tmp_path, make_model, monkeypatch):
    elsewhere = tmp_path / "elsewhere.db"
    shutil.copy(template, elsewhere)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{elsewhere}")
    registry = Registry(tmp_path / "mlruns", "wrist")
    number = registry.register(
        make_model(), params={}, metrics={}, recipe=example_recipe(), report=None, tags={}
    ).number
    registry.promote(number, reason="first", who="me")
    assert not (tmp_path / "mlruns" / "mlflow.db").exists()
    assert registry.model_path("champion").read_bytes() == make_model().read_bytes()
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert Registry(tmp_path / "mlruns", "wrist").versions() == []


def test_a_broken_database_is_named(folder, registry):
    (folder / "mlflow.db").write_text(json.dumps({"no": "database"}) * 100)
    with pytest.raises(RegistryError, match="expected an answer from MLflow"):
        registry.versions()
