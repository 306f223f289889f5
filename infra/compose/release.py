"""Replace one box of a running stack by another image, and put the old one back if the new one does not work."""

from __future__ import annotations

from dataclasses import replace

from rich.console import Console

from har.errors import ServerError
from infra.compose.engine import output
from infra.compose.images import require_images
from infra.compose.stack import Stack

_SERVICES = {"online": ["online", "haproxy"], "batch": ["batch"]}


def release(stack: Stack, box: str, image: str, console: Console) -> None:
    """Start `image` as the box, wait until it is healthy, and note it in `.stack/images.env`.

    The worker is started again where it has to learn that there is a batch box now.

    Raises:
        ServerError: the image is not to be had, or did not become healthy; the former image runs again then.
    """
    before = stack.state.images.get(box)
    new = _with(stack, box, image)
    require_images(new, [box])
    try:
        _start(new, box)
    except ServerError as error:
        if before is None:
            raise
        console.print(f"{image} does not work: {before} is put back.", highlight=False)
        _start(_with(stack, box, before), box)
        raise ServerError(
            where=f"release of {image}", problem=error.problem or str(error), remedy=f"{before} serves. {error.remedy}"
        ) from error
    new.state.save_images()
    console.print(f"{box}: {image} serves.", highlight=False)


def _start(stack: Stack, box: str) -> None:
    services = list(_SERVICES[box])
    if box == "batch" and stack.part("worker").container:
        services.append("worker")
    # A compose program may leave a container in place that ends and starts again while it is being replaced.
    if found := stack.part(box).container:
        output([stack.engine.name, "rm", "-f", found])
    stack.compose("up", "-d", *services)
    stack.wait(services)


def _with(stack: Stack, box: str, image: str) -> Stack:
    return replace(stack, state=replace(stack.state, images={**stack.state.images, box: image}))
