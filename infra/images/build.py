"""Build the three images: train from the project, online and batch from their bentos."""

from __future__ import annotations

import datetime as dt
import os
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

from bentos.base import BASE
from har.errors import PackagingError
from har.registry import git_state
from har.settings import Settings
from infra.bentoml.store import Store, environment
from infra.images.engine import Engine

BOXES = ("train", "online", "batch")
DOCKERFILE = Path(__file__).with_name("train.Dockerfile")
USER_ID = 1034
"""Of the process in every image, so that volumes can be shared; BentoML's images have it, too."""

_NO_BASE = (
    "Without the registry, name a Python 3.11 image that is here: make images BASE=…; where builds need the machine's "
    "own network: make images IMAGE_NETWORK=host."
)


@dataclass(frozen=True)
class Order:
    """What to build with.

    Attributes:
        settings: the project's.
        engine: builds.
        base: a base image in place of the pinned one; "": the pinned one.
        prefix: of the names, such as "registry.example.org/team"; "": none.
        torch: uv's name of the build of PyTorch for the train image.
        network: of the build, such as "host"; "": the engine's default.
    """

    settings: Settings
    engine: Engine
    base: str = ""
    prefix: str = ""
    torch: str = "cpu"
    network: str = ""

    def name(self, box: str) -> str:
        """The image's name without its tag."""
        return f"{self.prefix.rstrip('/')}/{self.bare(box)}" if self.prefix else self.bare(box)

    def bare(self, box: str) -> str:
        """The image's name without prefix and tag; also the bento's name."""
        return f"{self.settings.project.name}-{box}".lower()


def train_tag(root: Path) -> str:
    """The project's version and the short commit; "dirty" at the end where files differ from it."""
    state = git_state(root)
    commit = state.commit[:7] or "nocommit"
    return f"{_version(root)}-{commit}{'-dirty' if state.dirty else ''}"


def build_train(order: Order) -> str:
    """Build the train image of the project; returns its name.

    Raises:
        PackagingError: the engine fails.
    """
    root = order.settings.root
    state = git_state(root)
    image = f"{order.name('train')}:{train_tag(root)}"
    arguments = {
        "BASE": order.base or BASE,
        "TORCH": order.torch,
        "NAME": order.settings.project.name,
        "VERSION": _version(root),
        "COMMIT": state.recorded,
        "CREATED": _committed_at(root),
    }
    order.engine.call(
        "build",
        *(["--format", "docker"] if order.engine.name != "docker" else []),
        *(["--network", order.network] if order.network else []),
        *(f"--build-arg={name}={value}" for name, value in arguments.items()),
        f"--file={DOCKERFILE}",
        f"--tag={image}",
        str(root),
        where=f"image {image}",
        remedy=_NO_BASE,
        environment={"DOCKER_BUILDKIT": "1"},
    )
    return image


def build_box(order: Order, box: str, store: Path, version: str = "") -> str:
    """Build the image of a bento by `bentoml containerize`; returns its name.

    Args:
        order: what to build with.
        box: online or batch.
        store: BentoML's home.
        version: of the bento; "": the one that `har package` made last.

    Raises:
        PackagingError: there is no such bento, or the engine fails.
    """
    tag = bento_tag(order, box, store, version)
    image = f"{order.name(box)}:{tag.partition(':')[2]}"
    options = [f"network={order.network}"] if order.network else []
    if order.base and order.engine.name == "docker":
        options.append(f"build-context={BASE}=docker-image://{order.base}")
    elif order.base:
        options.append(f"from={order.base}")
    command = [sys.executable, "-m", "bentoml", "containerize", tag, "--backend", order.engine.name, "-t", image]
    for option in options:
        command += ["--opt", option]
    variables = {**os.environ, **environment(store)}
    done = subprocess.run(
        command, capture_output=True, text=True, errors="replace", check=False, env=variables, cwd=order.settings.root
    )
    if done.returncode or not order.engine.exists(image):
        lines = [line for line in (done.stdout + done.stderr).strip().splitlines() if line.strip()]
        causes = [line for line in lines if "rror" in line and "CalledProcessError" not in line] or lines
        raise PackagingError(
            where=f"image {image}",
            problem="`bentoml containerize` failed: " + "\n".join(causes[-5:]),
            remedy=_NO_BASE,
        )
    return image


def bento_tag(order: Order, box: str, store: Path, version: str = "") -> str:
    """NAME:VERSION of a bento in the store.

    Raises:
        PackagingError: it is not there; names those that are.
    """
    folder = store / "bentos" / order.bare(box)
    latest = folder / "latest"
    chosen = version or (latest.read_text(encoding="utf-8").strip() if latest.is_file() else "")
    tag = f"{order.bare(box)}:{chosen}"
    if chosen and Store(store).holds(tag):
        return tag
    there = sorted(path.parent.name for path in folder.glob("*/bento.yaml"))
    raise PackagingError(
        where=f"bento {tag}" if chosen else f"bento {order.bare(box)}",
        expected=f"a bento in {store}",
        got=f"only version{'s' if len(there) > 1 else ''} {', '.join(there)}" if there else "none",
        remedy="Name one of these." if there else "Package the champion first: har package.",
    )


def _version(root: Path) -> str:
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return str(project["version"])


def _committed_at(root: Path) -> str:
    """When the commit was made, so that the same commit gives the same label; now, without one."""
    command = ["git", "-C", str(root), "log", "-1", "--format=%cI"]
    try:
        told = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    except FileNotFoundError:  # no git
        told = ""
    return told or dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
