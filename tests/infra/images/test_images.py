"""The images as an engine builds and runs them: size, user, read-only root, health, answers, and what is in them.

They are built from this project; the engine needs the pinned base image, or one that BASE names.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from serving_support import write_settings
from tests_support import copy_code

from bentos.base import BASE
from har.errors import PackagingError
from har.inference import Package
from har.settings import Settings, load_settings
from infra.images.build import USER_ID, Order, build_box, build_train
from infra.images.check import check_service, check_train, running
from infra.images.engine import Engine
from infra.images.sbom import document, listing

pytestmark = [pytest.mark.release, pytest.mark.timeout(3600)]

ROOT = Path(__file__).resolve().parents[3]
BASE_HERE = os.environ.get("BASE") or BASE
BEYOND_BASE_MB = {"online": 220.0, "batch": 310.0}


def order(settings: Settings, engine: Engine) -> Order:
    base = "" if BASE_HERE == BASE else BASE_HERE
    return Order(settings, engine, base=base, network=os.environ.get("IMAGE_NETWORK", ""))


def removed(engine: Engine, image: str) -> None:
    subprocess.run([engine.name, "rmi", "--force", image], capture_output=True, check=False)


@pytest.fixture(scope="module")
def settings(engine: Engine, tmp_path_factory: pytest.TempPathFactory, package: Package) -> Settings:
    """A project with both bentos of a package, labelled as `har package` labels them."""
    settings = write_settings(tmp_path_factory.mktemp("images") / "project")
    copy_code(settings.root)
    labels = {"org.opencontainers.image.revision": "a1" * 20, "har.model.version": "7", "har.data.version": "samples@3"}
    variables = {**os.environ, "BENTOML_HOME": str(settings.path("bentoml")), "BENTO_IMAGE_LABELS": json.dumps(labels)}
    build = [sys.executable, "-m", "infra.bentoml.build", "test-project", "v7-abcdef01", str(package.model.parent)]
    build += [str(settings.root), str(settings.root / "tags.json"), "bentofile.yaml", "bentos/batch/bentofile.yaml"]
    subprocess.run(build, check=True, capture_output=True, cwd=ROOT, env=variables)
    return settings


@pytest.fixture(scope="module", params=["online", "batch"])
def box(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def image(box: str, settings: Settings, engine: Engine) -> Iterator[str]:
    made = build_box(order(settings, engine), box, settings.path("bentoml"), "v7-abcdef01")
    yield made
    removed(engine, made)


def test_one_tag_per_model_version_small_labelled_and_with_a_health_check(box: str, image: str, engine: Engine) -> None:
    assert image == f"test-project-{box}:v7-abcdef01"
    assert engine.size_mb(image) - engine.size_mb(BASE_HERE) <= BEYOND_BASE_MB[box]
    config = engine.inspect(image)["Config"]
    assert config["User"] == "bentoml"
    assert config["Healthcheck"]["Test"][0] == "CMD"
    labels = config["Labels"]
    assert labels["org.opencontainers.image.revision"] == "a1" * 20
    assert (labels["har.model.version"], labels["har.data.version"]) == ("7", "samples@3")


def test_a_hardened_container_answers_as_its_model_does(box: str, image: str, engine: Engine) -> None:
    found = check_service(engine, box, image)
    assert 0 < found[f"{box}_image_rss_mb"] < 1000


def test_nothing_of_the_build_is_left(box: str, image: str, engine: Engine) -> None:
    with running(engine, image) as service:
        assert service.execute("id", "-u").strip() == str(USER_ID)
        there = service.execute("sh", "-c", "command -v strip gcc cc make apt-get uv pip || true").split()
        base = engine.call(
            "run",
            "--rm",
            BASE_HERE,
            "sh",
            "-c",
            "command -v strip gcc cc make apt-get uv pip || true",
            where="base",
            remedy="See above.",
        ).split()
        assert sorted(there) == sorted(base), "only what the base brings"
        packages = "/app/.venv/lib/python3.11/site-packages"
        look = f"find {packages} /root /home/bentoml/.cache -path '*/tests/*' -type f -o -path '*/.cache/*' -type f"
        left = service.execute("sh", "-c", f"({look}) 2>/dev/null; true").split()
        assert left == [f"{packages}/numpy/_core/tests/_natype.py"]


def test_a_misspelt_setting_ends_the_container_in_a_sentence(image: str, engine: Engine) -> None:
    with (
        pytest.raises(PackagingError, match=r"(?s)HAR_TRAINNING__EPOCHS.*Did you mean"),
        running(engine, image, "--env=HAR_TRAINNING__EPOCHS=3"),
    ):
        pass


def test_its_list_is_what_its_own_python_finds(box: str, image: str, engine: Engine) -> None:
    found = listing(engine, image)
    told = json.loads(document(found))
    listed = {(one["name"], one["version"]) for one in told["components"] if one.get("purl", "").startswith("pkg:pypi")}
    code = "import importlib.metadata, json; "
    code += "print(json.dumps([[one.metadata['Name'], one.version] for one in importlib.metadata.distributions()]))"
    printed = engine.call("run", "--rm", "--entrypoint=python", image, "-c", code, where="list", remedy="See above.")
    assert listed == {tuple(one) for one in json.loads(printed.splitlines()[-1])}
    pins = dict(line.split("==") for line in (ROOT / "requirements" / f"{box}.txt").read_text().split())
    assert {name.lower().replace("_", "-").replace(".", "-") for name, _ in listed} == {
        name.replace(".", "-") for name in pins
    }
    assert len(found["debian"]) > 50


def test_an_image_tag_that_does_not_exist(box: str, image: str, engine: Engine) -> None:
    missing = f"test-project-{box}:v9-00000000"
    for attempt in (lambda: check_service(engine, box, missing), lambda: listing(engine, missing)):
        with pytest.raises(PackagingError, match=rf"{missing}: .*there are: .*{image}"):
            attempt()


def test_a_base_that_cannot_be_fetched(settings: Settings, engine: Engine) -> None:
    wrong = Order(settings, engine, base="localhost/no-such-base:1")
    with pytest.raises(PackagingError, match=r"(?s)test-project-online:v7-abcdef01.*no-such-base.*make images BASE="):
        build_box(wrong, "online", settings.path("bentoml"))


def test_the_train_image_runs_the_whole_loop(engine: Engine) -> None:
    settings = load_settings(ROOT)
    made = build_train(order(settings, engine))
    try:
        config = engine.inspect(made)["Config"]
        assert config["User"] == f"{USER_ID}:{USER_ID}"
        assert config["Healthcheck"]["Test"][0] == "CMD"
        assert config["Labels"]["org.opencontainers.image.version"]
        check_train(engine, made, ROOT)
    finally:
        removed(engine, made)
