"""Engines that only write down how they were called, and the real one of this machine."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from serving_support import make_rule, train_model, write_settings

from har.errors import PackagingError
from har.inference import Package
from har.settings import Settings
from infra.images.engine import Engine, find_engine

RECORDER = """#!{python}
import json, sys
with open({log!r}, "a") as log:
    log.write(json.dumps(sys.argv[1:]) + "\\n")
if sys.argv[1] in {failing!r}:
    print("the daemon is away", file=sys.stderr)
    sys.exit(1)
print({answers!r}.get(sys.argv[1], ""))
"""


@pytest.fixture
def fake_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Callable[[], list[list[str]]]]:
    """Put an engine on an otherwise empty PATH; returns a function that lists how it was called."""
    folder = tmp_path / "engines"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.delenv("ENGINE", raising=False)

    def make(name: str, *, failing: tuple[str, ...] = (), **answers: str) -> Callable[[], list[list[str]]]:
        log = tmp_path / f"{name}.log"
        text = RECORDER.format(python=sys.executable, log=str(log), failing=failing, answers=answers)
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
        return lambda: [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []

    return make


@pytest.fixture
def images_project(tmp_path: Path) -> Settings:
    """A project with a version, and no repository."""
    settings = write_settings(tmp_path / "project")
    (settings.root / "pyproject.toml").write_text('[project]\nname = "test-project"\nversion = "1.2.3"\n')
    return settings


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    """A small real model as version 7."""
    model = train_model(tmp_path_factory.mktemp("model") / "champion.onnx", seed=1)
    return Package.write(
        tmp_path_factory.mktemp("package"), model=model, version=7, previous=None, shadow=None, rule=make_rule()
    )


@pytest.fixture(scope="session")
def engine() -> Engine:
    """An engine of this machine that runs containers; tests that ask for it are skipped without one."""
    try:
        found = find_engine()
        found.require_running()
    except PackagingError as error:
        pytest.skip(f"no container engine here that runs containers: {error.got or error.problem}")
    return found
