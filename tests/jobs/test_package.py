"""What goes into a package follows from the registry's aliases, and its name from what goes in."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import onnx
import pytest
from onnx import helper
from serving_support import train_model, write_settings
from tests_support import example_recipe

from har.errors import ModelMismatchError, NoChampionError, RegistryError, UnknownVersionError
from har.inference import Classifier
from har.jobs import package as job
from har.jobs._contents import Choice
from har.jobs.package import choose, code_sha256
from har.project import Project
from har.registry import Registry


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three models for the same windows."""
    folder = tmp_path_factory.mktemp("models")
    return [train_model(folder / f"{seed}.onnx", seed=seed) for seed in range(1, 4)]


@pytest.fixture
def registry(files: list[Path], tmp_path: Path) -> Registry:
    """A registry with the versions 1 to 3; none serves."""
    registry = Registry(tmp_path / "mlruns", "test-project")
    for number, path in enumerate(files, start=1):
        registry.register(
            path, params={}, metrics={}, recipe=example_recipe(seed=number), report=None, tags={"seed": number}
        )
    return registry


def numbers(registry: Registry, **wanted: int) -> tuple[int, int | None, int | None]:
    choice = choose(registry, **wanted)
    parts = (choice.previous, choice.shadow)
    return choice.version.number, *(part.number if part else None for part in parts)


@pytest.mark.timeout(120)
def test_aliases_decide_what_goes_in(registry: Registry) -> None:
    with pytest.raises(NoChampionError, match="har train"):
        choose(registry)
    assert numbers(registry, version=2) == (2, None, None)
    registry.promote(1, reason="first", who="test")
    assert numbers(registry) == (1, None, None)
    registry.set_challenger(3)
    assert numbers(registry) == (1, None, 3)
    registry.promote(2, reason="second", who="test")
    assert numbers(registry) == (2, 1, 3)
    # One that is only tried out falls back to the one that serves.
    assert numbers(registry, version=3, shadow=1) == (3, 2, 1)
    with pytest.raises(RegistryError, match="version 2 cannot be its own shadow"):
        choose(registry, shadow=2)
    with pytest.raises(UnknownVersionError):
        choose(registry, shadow=8)

    key = choose(registry).key("code")
    assert key.startswith("v2-")
    assert choose(registry).key("code") == key
    assert len({key, choose(registry).key("other code"), choose(registry, shadow=1).key("code")}) == 3
    registry.rollback(reason="back", who="test")
    assert numbers(registry) == (1, 2, 3)
    registry.rollback(reason="and forth", who="test")
    assert choose(registry).key("code") == key


@pytest.mark.timeout(120)
def test_a_version_for_other_activities_cannot_stand_in(registry: Registry, files: list[Path], tmp_path: Path) -> None:
    model = onnx.load(files[0])
    metadata = dataclasses.replace(Classifier(files[0]).metadata, activities=("LIE", "WALK", "RUN"))
    helper.set_model_props(model, metadata.to_properties())
    onnx.save(model, tmp_path / "other.onnx")
    registry.register(
        tmp_path / "other.onnx", params={}, metrics={}, recipe=example_recipe(seed=4), report=None, tags={}
    )
    registry.promote(4, reason="other activities then", who="test")
    registry.promote(1, reason="these now", who="test")
    registry.set_challenger(4)
    assert numbers(registry) == (1, None, None)
    with pytest.raises(ModelMismatchError, match="version 4 as a shadow of version 1, activities: expected"):
        choose(registry, shadow=4)


def test_code_is_named_by_names_and_bytes(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("1")
    (tmp_path / "b.py").write_text("2")
    both = [tmp_path / "a.py", tmp_path / "b.py"]
    before = code_sha256(tmp_path, both)
    assert code_sha256(tmp_path, both[::-1]) == before
    assert code_sha256(tmp_path, both[:1]) != before
    both[0].write_text("3")
    assert code_sha256(tmp_path, both) != before


class Shelf:
    """Bentos that need no build; `meanwhile` happens while a run waits for the lock, and during each build."""

    def __init__(self, waiting: Callable[[], object], building: Callable[[], object]) -> None:
        self.latest: tuple[str, ...] = ()
        self.built: list[int] = []
        self._waiting, self._building = waiting, building

    @contextmanager
    def lock(self) -> Iterator[None]:
        self._waiting()
        yield

    def holds(self, *tags: str) -> bool:
        return False

    def point_at(self, *tags: str) -> None:
        self.latest = tags

    def build(self, project: Project, bentos: object, choice: Choice, key: str, each: object) -> list[str]:
        self.built.append(choice.version.number)
        if len(self.built) == 1:
            self._building()
        return [f"online:{key}", f"batch:{key}"]


@pytest.mark.timeout(120)
@pytest.mark.parametrize("when", ["while it waits", "while it builds"])
def test_what_serves_in_the_end_is_the_champion_of_then(
    when: str, files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = Project(write_settings(tmp_path / "project"))
    for number, path in enumerate(files[:2], start=1):
        recipe = example_recipe(seed=number)
        project.registry.register(path, params={}, metrics={}, recipe=recipe, report=None, tags={})
        project.registry.promote(number, reason="next", who="test")

    def roll_back() -> None:
        project.registry.rollback(reason="it fails", who="test")

    def nothing() -> None:
        pass

    shelf = Shelf(*((roll_back, nothing) if when == "while it waits" else (nothing, roll_back)))
    monkeypatch.setattr(job, "_build_and_check", shelf.build)
    monkeypatch.setattr(job, "_code", lambda root: "code")
    report = job.package(project, cast(Any, shelf))
    assert report.version == 1
    assert shelf.built == ([1] if when == "while it waits" else [2, 1])
    assert all(":v1-" in tag for tag in shelf.latest)
    # A version that is asked for by its number is not replaced by the champion.
    assert job.package(project, cast(Any, shelf), version=2).version == 2
