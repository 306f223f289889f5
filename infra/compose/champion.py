"""From the champion that the worker packaged to the boxes that serve it: copy bentos, build images, release them."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from rich.console import Console

from har.errors import ServerError
from har.files import temporary_folder
from har.settings import load_settings
from infra.compose.engine import output
from infra.compose.release import release
from infra.compose.stack import Stack

_BUILDER = "infra.images"
_STORE = "/srv/har/.bentoml"


def refresh(stack: Stack, console: Console, *, base: str = "") -> int:
    """Build the images of the packaged champion, unless they are here, and release those that do not serve yet.

    Args:
        stack: with a running worker.
        console: to say what happens.
        base: another base image than the pinned one.

    Returns:
        0.

    Raises:
        ServerError: the champion is not packaged, an image cannot be built, or a box does not become healthy.
    """
    command = ["python", "-m", "infra.compose.inside.run", "python", "-m", "infra.compose.inside.packaged"]
    packaged: dict[str, str] = json.loads(stack.answer_of("worker", command).splitlines()[-1])
    prefix = os.environ.get("PREFIX", load_settings(stack.root).images.registry)
    wanted = {box: f"{prefix.rstrip('/')}/{packaged[box]}" if prefix else packaged[box] for box in ("batch", "online")}
    missing = [box for box, image in wanted.items() if output([stack.engine.name, "image", "inspect", image])[0]]
    if missing:
        with console.status(f"Building {', '.join(wanted[box] for box in missing)} …"):
            _build(stack, packaged, missing, base)
    for box, image in wanted.items():
        if stack.state.images.get(box) == image and stack.part(box).healthy:
            console.print(f"{box}: {image} serves already.", highlight=False)
            continue
        stack = _current(stack)
        with console.status(f"Starting {image} …"):
            release(stack, box, image, console)
    return 0


def _current(stack: Stack) -> Stack:
    """The stack as the last release left it."""
    return Stack.open(stack.root, stack.name, engine=stack.engine.name)


def _build(stack: Stack, packaged: dict[str, str], boxes: list[str], base: str) -> None:
    with temporary_folder("images") as folder:
        store = folder / "bentoml"
        for kind, tag in (("models", packaged["model"]), *(("bentos", packaged[box]) for box in boxes)):
            name, _, version = tag.partition(":")
            target = store / kind / name
            target.mkdir(parents=True)
            source = f"{stack.require('worker')}:{_STORE}/{kind}/{name}/{version}"
            status, text = output([stack.engine.name, "cp", source, str(target / version)], None)
            if status:
                raise ServerError(where=source, problem=f"cannot be copied ({text.strip()})", remedy="Try again.")
            (target / "latest").write_text(version, encoding="utf-8")
        version = packaged["model"].partition(":")[2]
        _run([*boxes, "--store", str(store), "--tag", version, *(["--base", base] if base else [])], stack)


def _run(arguments: list[str], stack: Stack) -> None:
    log = stack.state.folder / "build.log"
    with log.open("wb") as file:
        status = subprocess.run(
            [sys.executable, "-m", _BUILDER, *arguments],
            cwd=stack.root,
            env={**os.environ, "ENGINE": stack.engine.name},
            stdout=file,
            stderr=subprocess.STDOUT,
            check=False,
        ).returncode
    if status:
        text = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:])
        raise ServerError(
            where="building the images", problem=f"ended with {status}", remedy=f"The log, {log}, ends:\n{text}"
        )
