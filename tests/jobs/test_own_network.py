"""A network of the project's own, from har.toml to the registry: recorded, evaluated elsewhere, trained again."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from run_support import evaluate, ingest, train

from har.errors import SettingsError, TrainingError
from har.experiment import make_recipe, run
from har.jobs.reproduce import reproduce
from har.project import open_project
from har.settings import Settings

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "own-network.md"
NAME = "my_networks.deep:DeepConvLstm"


@pytest.fixture
def own(two_days: Settings, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of the network that the project trains."""
    block = re.search(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    assert block is not None
    path = two_days.root / "my_networks" / "deep.py"
    path.parent.mkdir()
    path.write_text(block[1].replace("width: int = 32, hidden: int = 32", "width: int = 4, hidden: int = 4"))
    monkeypatch.setenv("HAR_TRAINING__NETWORK", NAME)
    monkeypatch.setenv("HAR_TRAINING__EPOCHS", "1")
    ingest()
    return path


def test_the_source_is_part_of_the_recipe(own: Path, tmp_path: Path) -> None:
    project = open_project()
    recipe = make_recipe(project.settings, project.lake)
    assert (recipe.network, len(recipe.network_source)) == (NAME, 64)
    assert recipe.tags()["network_source"] == recipe.network_source
    own.write_text(own.read_text().replace("Dropout(0.5)", "Dropout(0.9)"))
    assert make_recipe(project.settings, project.lake).key != recipe.key
    with pytest.raises(TrainingError, match=r"the source that the recipe was made with .* har reproduce"):
        run(recipe, tmp_path / "again", root=project.settings.root)


@pytest.mark.stack
@pytest.mark.release
def test_a_version_keeps_the_source_that_it_was_trained_from(own: Path) -> None:
    version = train().version
    project = open_project()
    recipe = project.registry.recipe(version)
    assert recipe.network == NAME
    assert project.registry.version(version).tags["network_source"] == recipe.network_source
    kept = json.loads(project.registry.artifact(version, "network.json").read_text())
    assert kept == {"my_networks/deep.py": own.read_text()}

    own.write_text(own.read_text().replace("Dropout(0.5)", "Dropout(0.9)"))
    again = reproduce(project.registry, version, root=project.settings.root, lake=project.settings.path("lake"))
    assert again.equal, [row for row in again.rows if not row.equal]
    assert train().version != version, "an edited network is another recipe"


@pytest.mark.stack
@pytest.mark.release
def test_workers_find_it(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes that begin in another folder, as those of a cluster do."""
    here = evaluate(folds=2, seeds=1, resamples=20)
    (open_project().settings.path("reports") / "evaluation.json").unlink()
    monkeypatch.setenv("HAR_ENGINE__KIND", "processes")
    monkeypatch.setenv("HAR_ENGINE__WORKERS", "2")
    monkeypatch.chdir("/")
    there = evaluate(folds=2, seeds=1, resamples=20)
    assert there["accuracy"] == here["accuracy"]


def test_a_bad_name_ends_before_anything_is_read(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HAR_TRAINING__NETWORK", "my_networks.deep:DeepConvLsmt")
    for job in (train, evaluate):
        with pytest.raises(SettingsError, match="Did you mean 'DeepConvLstm'"):
            job()
