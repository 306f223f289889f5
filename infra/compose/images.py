"""The images that a stack needs: found here, or fetched, before anything is started."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from har.errors import ServerError
from infra.compose.engine import output
from infra.compose.stack import Stack
from infra.compose.state import image_variable

_REFERENCE = re.compile(r"\$\{(STACK_[A-Z_]+):-([^}]*)\}")
_OWN = {
    **dict.fromkeys(("prefect", "mlflow", "worker"), "train"),
    **dict.fromkeys(("online-blue", "online-green"), "online"),
    "batch": "batch",
}


def images_of(stack: Stack, services: Iterable[str]) -> dict[str, str]:
    """The image of each service, with the stack's variables filled in."""
    values = {**os.environ, **stack.state.variables()}
    merged: dict[str, str] = {}
    for path in stack.files:
        content: dict[str, Any] = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        for service, description in (content.get("services") or {}).items():
            if "image" in description:
                merged[service] = description["image"]
    return {
        service: _REFERENCE.sub(lambda found: values.get(found[1]) or found[2], merged[service]) for service in services
    }


def find_train_image(stack: Stack) -> str | None:
    """The newest train image of this project that the engine has."""
    status, text = output([stack.engine.name, "images", "--format", "{{.Repository}}:{{.Tag}}"])
    names = text.split() if status == 0 else []
    return next((name for name in names if _is_box(name, f"{stack.name}-train")), None)


def require_images(stack: Stack, services: Iterable[str]) -> None:
    """Check that the engine has the image of each service, or can fetch it.

    Raises:
        ServerError: one is neither here nor to be had; says which, and what is here.
    """
    for service, image in images_of(stack, services).items():
        if output([stack.engine.name, "image", "inspect", image])[0] == 0:
            continue
        own = _OWN.get(service)
        # An image of this project without a registry's name was built here, or nowhere.
        status, text = (
            (1, "") if own and _is_local(image) else output([stack.engine.name, "pull", "--quiet", image], None)
        )
        if status:
            raise _own_is_missing(stack, own, image) if own else _others_is_missing(stack, service, image, text)


def _own_is_missing(stack: Stack, box: str, image: str) -> ServerError:
    known = [
        name
        for name in output([stack.engine.name, "images", "--format", "{{.Repository}}:{{.Tag}}"])[1].split()
        if _is_box(name, f"{stack.name}-{box}")
    ]
    remedy = "Build it: `make images`." if box == "train" else "Build it of the champion: `make stack-images`."
    return ServerError(
        where=f"{image_variable(box)} ({stack.state.folder / 'images.env'})",
        expected="an image that is here or in its registry",
        got=f"{image}, which is in neither; here are {', '.join(known[:5]) or 'none of that name'}",
        remedy=f"Correct the tag, or remove the line. {remedy}",
    )


def _others_is_missing(stack: Stack, service: str, image: str, text: str) -> ServerError:
    lines = [line for line in text.splitlines() if line.strip()]
    return ServerError(
        where=f"image of {service}",
        expected=f"{image.partition('@')[0]}, here or from its registry",
        got=lines[-1].strip()[:300] if lines else "no answer",
        remedy=f"Load it (`{stack.engine.name} load -i FILE`), or name a mirror: "
        f"STACK_{service.upper()}_IMAGE=registry.example.org/{service}@sha256:… make stack.",
    )


def _is_local(image: str) -> bool:
    return image.partition("/")[0] in (image, "localhost")


def _is_box(image: str, name: str) -> bool:
    repository = image.rpartition(":")[0]
    return repository.rpartition("/")[2] == name and not image.endswith(":<none>")
