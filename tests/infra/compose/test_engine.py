"""Which engine and which compose program are taken, and what is said where one of them is missing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from har.errors import ServerError
from infra.compose.engine import find_engine
from infra.compose.images import find_train_image, require_images
from infra.compose.stack import Stack
from infra.compose.starting import start
from infra.compose.state import State

Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Puts a program that runs this shell script on a path with nothing else."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr("sys.executable", str(tmp_path / "no/python"))

    def add(name: str, script: str = "exit 0") -> None:
        (folder / name).write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        (folder / name).chmod(0o755)

    return add


def test_the_first_engine_that_answers_is_taken(install: Install) -> None:
    install("docker", "echo 'Cannot connect to the Docker daemon' >&2; exit 1")
    install("podman")
    install("podman-compose")
    found = find_engine({})
    assert found.name == "podman" and Path(found.compose[0]).name == "podman-compose"


def test_dockers_plugin_goes_before_the_older_program(install: Install) -> None:
    install("docker")
    install("docker-compose")
    assert find_engine({}).compose == ("docker", "compose")
    install("docker", '[ "$1" = info ]')
    assert find_engine({}).compose == ("docker-compose",)


def test_a_named_engine_and_program_are_taken(install: Install) -> None:
    install("docker")
    install("podman")
    assert find_engine({"ENGINE": "podman", "STACK_COMPOSE": "/opt/pc --x"}).compose == ("/opt/pc", "--x")
    with pytest.raises(ServerError, match="ENGINE: expected one of docker, podman, but got 'buildah'"):
        find_engine({"ENGINE": "buildah"})


def test_what_is_missing_is_said_with_the_way_out(install: Install) -> None:
    with pytest.raises(ServerError, match="docker is not installed; podman is not installed") as caught:
        find_engine({})
    assert "make up" in caught.value.remedy
    install("docker", "echo 'Cannot connect to the Docker daemon' >&2; exit 1")
    with pytest.raises(ServerError, match=r"docker does not answer \(Cannot connect"):
        find_engine({})
    install("podman")
    with pytest.raises(ServerError, match=r"podman: expected `docker compose`.*podman-compose==") as caught:
        find_engine({})


def _stack(root: Path, install: Install, **variables: str) -> Stack:
    install("podman-compose")
    return Stack(root, "wrist", State.load(root, "wrist", variables), find_engine({"ENGINE": "podman"}))


_IMAGES = """case "$1 $2" in
  "images --format")
    echo "docker.io/library/wrist-trainer:1 localhost/wrist-train:0.2-abc"
    echo localhost/wrist-train:0.1-abc;;
  "image inspect") [ "$3" = localhost/wrist-train:0.2-abc ];;
  pull*) echo "Error: no such host" >&2; exit 125;;
esac"""


def test_the_newest_train_image_is_found(tmp_path: Path, install: Install) -> None:
    install("podman", _IMAGES)
    assert find_train_image(_stack(tmp_path, install)) == "localhost/wrist-train:0.2-abc"


def test_an_image_that_is_nowhere_is_named_with_those_that_are_here(tmp_path: Path, install: Install) -> None:
    install("podman", _IMAGES)
    require_images(_stack(tmp_path, install, STACK_TRAIN_IMAGE="localhost/wrist-train:0.2-abc"), ["worker"])
    stack = _stack(tmp_path, install, STACK_TRAIN_IMAGE="wrist-train:0.3-abc")
    with pytest.raises(ServerError, match=r"wrist-train:0\.3-abc, which is in neither.*0\.2-abc.*`make images`"):
        require_images(stack, ["worker"])
    with pytest.raises(ServerError, match=r"postgres: expected docker\.io/.*no such host.*podman load"):
        require_images(stack, ["postgres"])


def test_without_a_train_image_nothing_is_made(tmp_path: Path, install: Install) -> None:
    from rich.console import Console

    install("podman")
    with pytest.raises(ServerError, match=r"expected an image named wrist-train, but got none.*make images"):
        start(_stack(tmp_path, install), [], Console())
    assert not (tmp_path / ".stack").exists()


def test_the_volumes_of_another_folder_are_not_taken_over(tmp_path: Path, install: Install) -> None:
    from rich.console import Console

    install("podman", 'case "$1 $2" in "volume ls") echo wrist_postgres;; esac')
    stack = _stack(tmp_path, install, STACK_TRAIN_IMAGE="wrist-train:1")
    with pytest.raises(ServerError, match=r"wrist_postgres …\), started from another folder") as caught:
        start(stack, [], Console())
    assert "STACK_PROJECT=b" in caught.value.remedy and not (tmp_path / ".stack").exists()
