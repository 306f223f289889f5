"""A stack for trials: a copy of the project, a name and ports of its own, stand-ins where no registry is reached."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from har.errors import ServerError
from har.settings import load_settings
from infra.compose.engine import Engine, find_engine, output
from infra.compose.images import find_train_image
from infra.compose.stack import Stack
from infra.compose.state import PORTS

PROJECT = Path(__file__).resolve().parents[2]
STANDINS = PROJECT / "tests/infra/compose/standins"
NAME = load_settings(PROJECT).project.name
_PARTS = (
    "har.toml",
    "prefect.yaml",
    "infra",
    "bentos",
    "flows",
    "src",
    "requirements",
    "bentofile.yaml",
    "pyproject.toml",
)
_OTHERS = ("postgres", "haproxy", "alertmanager", "prometheus", "grafana")


@dataclass(frozen=True)
class Trial:
    """A stack that a test may break; `variables` are those of its commands."""

    root: Path
    variables: dict[str, str]

    @property
    def stack(self) -> Stack:
        return Stack.open(self.root, NAME, self.variables)

    def run(self, *arguments: str, timeout_s: float = 1800) -> subprocess.CompletedProcess[str]:
        """One of the stack's commands, as a person or a script calls it."""
        return subprocess.run(
            [sys.executable, "-m", "infra.compose", *arguments],
            cwd=self.root,
            env=self.variables,
            capture_output=True,
            text=True,
            timeout=timeout_s,
        )

    def must(self, *arguments: str, timeout_s: float = 1800) -> str:
        done = self.run(*arguments, timeout_s=timeout_s)
        assert done.returncode == 0, f"{arguments}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
        return done.stdout

    def deploy_run(self, name: str, *options: str) -> None:
        """Run a deployment to its end."""
        said = self.must("run", "prefect", "deployment", "run", name, *options, "--watch")
        assert "finished successfully" in said, said[-2000:]

    def sql(self, database: str, query: str) -> str:
        command = ["psql", "-U", "postgres", "-d", database, "-Atc", query]
        return self.stack.answer_of("postgres", command).strip()

    def rows(self) -> dict[str, str]:
        """The rows of each table of the lake, as `har status` shows them."""
        cells = [line.split("│") for line in self.must("run", "har", "status").splitlines() if line.count("│") == 5]
        return {cell[1].strip(): cell[4].strip() for cell in cells}

    def wait_until(self, happened: Callable[[], bool], what: str, timeout_s: float = 900) -> None:
        deadline = time.monotonic() + timeout_s
        while not happened():
            assert time.monotonic() < deadline, f"not within {timeout_s:g} s: {what}"
            time.sleep(1)


def expressions() -> list[str]:
    """Every expression of the dashboards."""
    folder = PROJECT / "infra/compose/grafana/dashboards"
    dashboards = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]
    panels = [panel for dashboard in dashboards for panel in dashboard["panels"]]
    return [target["expr"] for panel in panels for target in panel.get("targets", ())]


def engine_or_skip() -> Engine:
    try:
        return find_engine(os.environ)
    except ServerError as error:
        pytest.skip(f"no container engine with a compose program: {error}")


@contextmanager
def trial(folder: Path) -> Iterator[Trial]:
    """A trial in `folder`, which is not started yet; its containers and volumes are removed at the end."""
    engine = engine_or_skip()
    with _prepared(engine, folder) as made:
        if "STACK_TRAIN_IMAGE" not in made.variables and find_train_image(made.stack) is None:
            pytest.skip("there is no train image: make images")
        yield made


@contextmanager
def trial_of(engine: Engine, others: Sequence[str], **variables: str) -> Iterator[Trial]:
    """The same with these variables, where only some of the images of others are needed."""
    with tempfile.TemporaryDirectory() as folder, _prepared(engine, Path(folder), others, **variables) as made:
        yield made


@contextmanager
def _prepared(engine: Engine, folder: Path, others: Sequence[str] = _OTHERS, **further: str) -> Iterator[Trial]:
    root = folder / "project"
    root.mkdir()
    for part in _PARTS:
        source = PROJECT / part
        if source.is_dir():
            shutil.copytree(source, root / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, root / part)
    with ExitStack() as sockets:
        free = [sockets.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in PORTS]
        ports = {name: str(one.getsockname()[1]) for name, one in zip(PORTS, free, strict=True)}
    variables = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("HAR_", "PREFECT_", "MLFLOW_"))},
        **ports,
        "STACK_PROJECT": f"trial-{uuid.uuid4().hex[:8]}",
        "ENGINE": engine.name,
        "COLUMNS": "200",
        # Its own code, as in a clone.
        "PYTHONPATH": os.pathsep.join([str(root / "src"), str(root)]),
        **further,
    }
    if not _reaches_the_registry(engine):
        _build_standins(engine, others)
        variables["STACK_OVERRIDE"] = str(STANDINS / "compose.override.yaml")
    made = Trial(root, variables)
    try:
        yield made
    finally:
        made.run("compose", "down", "-v")


def _reaches_the_registry(engine: Engine) -> bool:
    """Whether the images of others are here or can be had: the smallest is asked for."""
    text = (PROJECT / "infra/compose/compose.yaml").read_text(encoding="utf-8")
    image = text.partition("STACK_HAPROXY_IMAGE:-")[2].partition("}")[0]
    return (
        output([engine.name, "image", "inspect", image])[0] == 0
        or output([engine.name, "pull", "-q", image], None)[0] == 0
    )


def _build_standins(engine: Engine, others: Sequence[str]) -> None:
    for name in others:
        image = f"localhost/har-standin-{name}:dev"
        if output([engine.name, "image", "inspect", image])[0] == 0:
            continue
        command = [engine.name, "build", "--network", "host", "--target", name, "-t", image, "-f"]
        built = subprocess.run([*command, STANDINS / "Containerfile", STANDINS], capture_output=True, text=True)
        if built.returncode:
            pytest.skip(f"neither a registry nor a base image for stand-ins is reached: {built.stderr[-300:]}")
