"""Files registered with a version: read back by name, unless they were changed."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests_support import example_recipe

from har.errors import RegistryError, UnknownVersionError
from har.registry import Registry


@pytest.fixture
def version(registry: Registry, make_model, tmp_path: Path) -> int:
    reference, report = tmp_path / "reference.json", tmp_path / "report.html"
    reference.write_text('{"features": []}')
    report.write_text("<p>good</p>")
    return registry.register(
        make_model(0),
        params={},
        metrics={},
        recipe=example_recipe(),
        report=report,
        extra_artifacts=[reference],
        tags={"seed": 0},
    ).number


def test_a_file_comes_back_by_name(registry: Registry, version: int) -> None:
    assert registry.artifact(version, "reference.json").read_text() == '{"features": []}'
    assert registry.artifact(version, "report.html").read_text() == "<p>good</p>"


def test_the_alias_leads_to_the_champions_file(registry: Registry, version: int, make_model, tmp_path: Path) -> None:
    """Nothing has to be moved with a promotion: the alias leads to the version's own file."""
    other = tmp_path / "other" / "reference.json"
    other.parent.mkdir()
    other.write_text('{"features": ["x"]}')
    second = registry.register(
        make_model(1), params={}, metrics={}, recipe=example_recipe(), report=None, extra_artifacts=[other], tags={}
    ).number
    registry.promote(version, reason="first", who="test")
    first = registry.artifact("champion", "reference.json").read_text()
    registry.promote(second, reason="better", who="test")
    assert registry.artifact("champion", "reference.json").read_text() == '{"features": ["x"]}'
    registry.rollback(reason="worse", who="test")
    assert registry.artifact("champion", "reference.json").read_text() == first


def test_a_moved_registry_finds_it(registry: Registry, version: int, tmp_path: Path) -> None:
    moved = registry.folder.rename(tmp_path / "moved")
    assert Registry(moved, registry.name).artifact(version, "reference.json").is_relative_to(moved)


def test_a_changed_file_is_refused(registry: Registry, version: int) -> None:
    path = registry.artifact(version, "reference.json")
    path.write_text('{"features": ["forged"]}')
    with pytest.raises(RegistryError, match="the content that was registered"):
        registry.artifact(version, "reference.json")
    path.unlink()
    with pytest.raises(RegistryError, match=r"'reference\.json', but got none"):
        registry.artifact(version, "reference.json")


def test_a_version_without_one_says_what_it_has(registry: Registry, version: int, register) -> None:
    with pytest.raises(RegistryError, match=r"'profile\.bin'.*but got reference\.json, report\.html\. .*har train"):
        registry.artifact(version, "profile.bin")
    with pytest.raises(RegistryError, match="none: an older release registered it without files"):
        registry.artifact(register(seed=7), "reference.json")
    with pytest.raises(UnknownVersionError):
        registry.artifact(99, "reference.json")


def test_the_recorded_hash_stays(registry: Registry, version: int) -> None:
    with pytest.raises(RegistryError, match="Choose another name"):
        registry.set_tags(version, {"artifact.reference.json": "0" * 64})
