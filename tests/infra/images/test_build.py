"""What the engine is asked to build, and what is refused before it is asked."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bentos.base import BASE, LABELS_VARIABLE
from har.errors import PackagingError
from har.settings import Settings
from infra.bentoml import bentos as project_bentos
from infra.images.build import Order, bento_tag, build_box, build_train, train_tag
from infra.images.engine import Engine

ROOT = Path(__file__).resolve().parents[3]
DOCKERFILE = ROOT / "infra" / "images" / "train.Dockerfile"
COMMIT = "a1" * 20
Fake = Callable[..., Callable[[], list[list[str]]]]


IMAGE = """
import json, sys
from bentos._image import image
made = image(sys.argv[1])
print(json.dumps([made.base_image, made.commands, made.post_commands, made.python_requirements]))
"""


def image(box: str, labels: dict[str, str]) -> tuple[str, list[str], list[str], str]:
    """Base, commands before and after the installation, and requirements of a bento's image."""
    assert project_bentos.LABELS_VARIABLE == LABELS_VARIABLE
    variables = {**os.environ, LABELS_VARIABLE: json.dumps(labels)}
    command = [sys.executable, "-W", "ignore", "-c", IMAGE, box]
    done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def build_call(calls: list[list[str]]) -> list[str]:
    (call,) = [call for call in calls if call[0] == "build"]
    return call


@pytest.mark.parametrize("name", ["docker", "podman", "buildah"])
def test_the_train_image_is_built_of_the_project_with_what_was_asked_for(
    name: str, fake_engine: Fake, images_project: Settings
) -> None:
    (images_project.root / "COMMIT").write_text(f"{COMMIT}-dirty\n")
    calls = fake_engine(name)
    order = Order(images_project, Engine(name), prefix="registry.example.org/team/", torch="cu130", network="host")
    made = build_train(order)
    assert made == "registry.example.org/team/test-project-train:1.2.3-a1a1a1a-dirty"
    call = build_call(calls())
    for argument in (f"BASE={BASE}", "TORCH=cu130", "VERSION=1.2.3", f"COMMIT={COMMIT}-dirty"):
        assert f"--build-arg={argument}" in call
    assert call[-1] == str(images_project.root)
    assert f"--tag={made}" in call
    assert ("--format" in call) == (name != "docker"), "docker's own format keeps the health check"
    assert call[call.index("--network") + 1] == "host"


def test_a_base_of_ones_own(fake_engine: Fake, images_project: Settings) -> None:
    calls = fake_engine("podman")
    made = build_train(Order(images_project, Engine("podman"), base="local/python:3.11"))
    assert made == f"test-project-train:{train_tag(images_project.root)}"
    assert train_tag(images_project.root) == "1.2.3-nocommit"
    assert "--build-arg=BASE=local/python:3.11" in build_call(calls())


def bento(settings: Settings, box: str, version: str) -> Path:
    folder = settings.path("bentoml") / "bentos" / f"test-project-{box}" / version
    folder.mkdir(parents=True)
    (folder / "bento.yaml").write_text("")
    (folder.parent / "latest").write_text(version)
    return settings.path("bentoml")


def test_the_tag_is_the_bentos_version(images_project: Settings) -> None:
    order = Order(images_project, Engine("podman"))
    for version in ("v1-aaaaaaaa", "v2-bbbbbbbb"):
        store = bento(images_project, "online", version)
    assert bento_tag(order, "online", store) == "test-project-online:v2-bbbbbbbb"
    assert bento_tag(order, "online", store, "v1-aaaaaaaa") == "test-project-online:v1-aaaaaaaa"


def test_a_bento_that_does_not_exist_is_answered_with_those_that_do(
    fake_engine: Fake, images_project: Settings, tmp_path: Path
) -> None:
    calls = fake_engine("podman")
    order = Order(images_project, Engine("podman"))
    with pytest.raises(PackagingError, match=r"test-project-batch: expected a bento in .*none\. .*har package"):
        build_box(order, "batch", images_project.path("bentoml"))
    store = bento(images_project, "online", "v1-aaaaaaaa")
    with pytest.raises(PackagingError, match=r"online:v7: .* only version v1-aaaaaaaa\. Name one"):
        build_box(order, "online", store, "v7")
    (store / "bentos" / "test-project-online" / "latest").write_text("v8-gone")
    with pytest.raises(PackagingError, match="online:v8-gone"):
        build_box(order, "online", store)
    assert calls() == []


def test_the_base_stands_in_one_place() -> None:
    assert re.fullmatch(r"docker\.io/library/python:3\.11-slim@sha256:[0-9a-f]{64}", BASE)
    assert image("online", {})[0] == BASE
    froms = [line for line in DOCKERFILE.read_text().splitlines() if line.startswith("FROM ")]
    assert froms == ["FROM ${BASE} AS build", "FROM ${BASE}"]
    digest = BASE.partition("@")[2]
    listed = subprocess.run(["git", "-C", str(ROOT), "grep", "-l", digest], capture_output=True, text=True, check=False)
    if listed.returncode == 0:  # in a repository
        assert listed.stdout.split() == ["bentos/base.py"]


def test_the_last_stage_of_a_bentos_image_copies_packages_alone() -> None:
    labels = {"org.opencontainers.image.version": "v1-0", "har.data.version": 'samples@7 "x"'}
    base, before, after, requirements = image("batch", labels)
    first, last = before[0], after[-1]
    assert base == BASE
    assert first.endswith("\n\nFROM base-container AS build")
    stage = last.partition("\n\nFROM base-container\n")[2].splitlines()
    assert stage[0] == "COPY --from=build /app /app"
    assert 'LABEL "har.data.version"="samples@7 \\"x\\""' in stage
    assert [line.split()[0] for line in stage[1:]] == ["ENV", "LABEL", "LABEL", "HEALTHCHECK"]
    pins = (ROOT / "requirements" / "batch.txt").read_text().split()
    assert requirements.split() == pins


def test_dockerfiles_are_clean() -> None:
    linter = ROOT / ".venv" / "tools" / "bin" / "hadolint"
    if not linter.is_file():
        pytest.skip("no hadolint in .venv/tools: make setup")
    files = sorted(str(path) for path in ROOT.glob("infra/images/*.Dockerfile"))
    assert files
    done = subprocess.run([str(linter), *files], capture_output=True, text=True, check=False)
    assert done.stdout == ""
    assert done.returncode == 0


def test_a_cuda_build_in_the_image_leaves_the_one_in_the_environment(tmp_path: Path) -> None:
    makefile = tmp_path / "Makefile"
    makefile.write_text(
        f'BIN := {tmp_path}\nsetup:\n\t@echo "setup $$TORCH."\ninclude {ROOT / "infra" / "images" / "targets.mk"}\n'
    )
    (tmp_path / "python").write_text('#!/bin/sh\necho "$3 torch $TORCH base $BASE"\n')
    (tmp_path / "python").chmod(0o755)
    command = ["make", "-f", str(makefile), "image-train", "TORCH=cu130", "BASE=local/python"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.stdout.splitlines() == ["setup .", "train torch cu130 base local/python"], done.stderr
