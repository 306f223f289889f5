"""Model files on object storage: each is downloaded once and checked; experiments are not mixed; refusals are told."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from s3_support import bucket, faulty_proxy, needs_moto
from tests_support import example_recipe

from har.errors import ModelError, RegistryError, StoreError
from har.registry import Registry
from har.storage import Location

pytestmark = [pytest.mark.stack, pytest.mark.timeout(120), needs_moto]


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Location:
    return bucket(monkeypatch, prefix="models")


@pytest.fixture
def registry(folder: Path, place: Location) -> Registry:
    return Registry(folder, "wrist", artifacts=place)


def test_a_model_is_downloaded_once_and_found_by_its_hash(registry: Registry, place: Location, register) -> None:
    number = register(3)
    assert not (registry.folder / "artifacts").exists()
    path = registry.model_path(number)
    assert path.is_relative_to(registry.folder / "cache")
    assert registry.recipe(number).seed == 3
    (key,) = [entry.name for entry in place.list() if entry.name.endswith("model.onnx")]
    whole = (place / key).read_bytes()
    assert path.read_bytes() == whole
    (place / key).delete()
    again = Registry(registry.folder, registry.name, artifacts=place)
    assert again.model_path(number) == path  # nobody asks the store
    path.write_bytes(b"damaged")
    with pytest.raises(ModelError, match=rf"{place}/{key}: expected the registered model file, but got none"):
        registry.model_path(number)
    (place / key).write_bytes(b"another model")
    with pytest.raises(ModelError, match=rf"{place}/{key}: expected the content that was registered"):
        registry.model_path(number)
    assert path.read_bytes() == b"damaged"
    (place / key).write_bytes(whole)
    assert registry.model_path(number).read_bytes() == whole
    assert [entry.name for entry in path.parent.iterdir()] == ["model.onnx"]


def test_a_registry_does_not_go_to_another_place_by_itself(stocked: Registry, place: Location, make_model) -> None:
    remote = Registry(stocked.folder, stocked.name, artifacts=place)
    assert remote.model_path(2) == stocked.model_path(2)
    model = make_model(9)
    refusal = rf"under {place}, but got artifacts under .*, which MLflow fixes"
    with pytest.raises(RegistryError, match=refusal):
        remote.require_place()
    with pytest.raises(RegistryError, match=refusal):
        remote.register(model, params={}, metrics={}, recipe=stocked.recipe(1), report=None, tags={})
    assert not list(place.list())
    assert len(remote.versions()) == 4


def test_files_that_were_brought_to_another_bucket_are_found_there(
    registry: Registry, place: Location, register
) -> None:
    number = register()
    path = registry.model_path(number)
    whole = path.read_bytes()
    other = Location(f"s3://{place.bucket}/restored", place.service)
    for entry in list(place.list()):
        (other / entry.name).write_bytes((place / entry.name).read_bytes())
        (place / entry.name).delete()
    path.unlink()
    moved = Registry(registry.folder, registry.name, artifacts=other)
    assert moved.model_path(number).read_bytes() == whole
    assert moved.recipe(number).seed == 0


def test_a_store_that_refuses_leaves_no_version(folder: Path, place: Location, make_model) -> None:
    with faulty_proxy(status=(403, "AccessDenied")) as proxy:
        service = dataclasses.replace(place.service, endpoint=proxy.url, retries=0)
        refused = Registry(folder, "wrist", artifacts=Location(place.address, service))
        with pytest.raises(StoreError, match="AccessDenied"):
            refused.require_place()
        with pytest.raises(StoreError, match=rf"{place}.*credentials that the store accepts.*AccessDenied"):
            refused.register(make_model(), params={}, metrics={}, recipe=example_recipe(), report=None, tags={})
    registry = Registry(folder, "wrist", artifacts=place)
    assert registry.versions() == []
    register = registry.register(make_model(), params={}, metrics={}, recipe=example_recipe(), report=None, tags={})
    assert register.number == 1
