"""The registry over HTTP, as in containers: one server with a login, and the files of models go through it."""

from __future__ import annotations

import os
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ports_support import free_port
from tests_support import example_recipe

from har.errors import ModelError, RegistryError
from har.registry import Registry
from har.registry._backend import DATABASE
from infra.local.child import Child
from infra.local.server import wait_for

pytestmark = pytest.mark.stack

NAME = "wrist"


@pytest.fixture
def server(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A server on a free port, and this process as its client; yields the folder of its files."""
    port = free_port()
    files = tmp_path / "files"
    variables = {"MLFLOW_BACKEND_STORE_URI": f"sqlite:///{folder / DATABASE}", "STACK_LOGIN": "har:pass/word"}
    arguments = ["--bind=127.0.0.1", f"--port={port}", f"--artifacts={files}", "--serve-artifacts", "--host=mlflow"]
    child = Child(
        "MLflow",
        ["infra.local.serve_mlflow", *arguments],
        environment={**os.environ, **variables},
        log=tmp_path / "mlflow.log",
    )
    address = f"http://127.0.0.1:{port}"
    try:
        wait_for(child, f"{address}/health", 120)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "har")
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "pass/word")
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
        yield files
    finally:
        child.stop()


def test_versions_files_and_hashes_work_through_a_server(
    server: Path, tmp_path: Path, make_model: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = Registry(tmp_path / "worker", NAME)
    model = make_model(0)
    recipe = example_recipe(seed=0)
    stored = mine.register(model, params={}, metrics={"accuracy": 0.9}, recipe=recipe, report=None, tags={"seed": 0})
    number = stored.number
    # Another machine has none of the files, and gets the same bytes.
    other = Registry(tmp_path / "other", NAME)
    assert other.model_path(number).read_bytes() == model.read_bytes()
    assert other.recipe(number) and other.version(number).sha256 == mine.version(number).sha256
    assert len([*server.rglob("model.onnx")]) == 1, "the file lies where the server keeps them"

    # A file that was changed on the server is not taken.
    file = next(server.rglob("model.onnx"))
    file.write_bytes(file.read_bytes() + b"x")
    with pytest.raises(ModelError, match="other content"):
        Registry(tmp_path / "third", NAME).model_path(number)

    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "wrong")
    with pytest.raises(RegistryError, match="expected an answer from MLflow"):
        Registry(tmp_path / "fourth", NAME).versions()


def test_it_answers_to_its_names_and_with_the_login_only(server: Path) -> None:
    address = os.environ["MLFLOW_TRACKING_URI"]

    def status(path: str, **headers: str) -> int:
        try:
            request = urllib.request.Request(address + path, headers=headers)  # noqa: S310  this machine
            with urllib.request.urlopen(request) as answer:  # noqa: S310
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    assert status("/") == 401 and status("/health") == 200
    assert status("/health", Host="evil.example") == 403
    assert status("/health", Host="mlflow:5000") == 200
