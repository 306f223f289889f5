"""Let another image serve as a box of a running stack; the former one goes on if the new one does not work."""

from __future__ import annotations

import secrets
from dataclasses import replace

from rich.console import Console

from har.errors import ReleaseError, ServerError
from har.settings import load_settings
from infra.compose.engine import output
from infra.compose.images import require_images
from infra.compose.proxy import StackPlace, write_proxy
from infra.compose.serving import StackServing, with_images
from infra.compose.stack import Stack


def release(stack: Stack, box: str, image: str, console: Console) -> None:
    """Let `image` serve as the box, at once, and note it in `.stack/images.env`.

    The online service has two boxes: the new one is healthy before the proxy sends it anything, and no request is lost.
    For a release step by step see `infra.delivery.online.release`. The batch box is replaced; the worker is started
    again where it has to learn that there is one now.

    Raises:
        ServerError: the image is not to be had, or did not become healthy; the former image runs then.
        ReleaseError: a release is under way.
    """
    if box == "online":
        _release_online(stack, image)
    else:
        _release_batch(stack, image, console)
    console.print(f"{box}: {image} serves.", highlight=False)


def _release_online(stack: Stack, image: str) -> None:
    serving = StackServing(stack)
    wanted = serving.place.wanted()
    if wanted.stable and stack.part_id("haproxy"):
        if wanted.stable == image:
            return
        require_images(with_images(stack, wanted, {wanted.beside: image}), [f"online-{wanted.beside}"])
        try:
            serving.start(image, salt=secrets.token_hex(4))
        except ReleaseError as error:
            where = f"release of {image}"
            raise ServerError(where=where, problem=error.problem or str(error), remedy=error.remedy) from error
        serving.promote(keep_former=False)
        return
    # The first one: nobody is served yet.
    new = replace(stack, state=replace(stack.state, images={**stack.state.images, "online": image}))
    new = replace(new, state=replace(new.state, boxes={"blue": image}))
    require_images(new, ["online-blue", "haproxy"])
    write_proxy(StackPlace(new.state.folder), load_settings(stack.root), tls=stack.state.tls)
    serving = StackServing(new)
    serving.prepare(["online-blue"])
    new.compose("up", "-d", "online-blue", "haproxy")
    new.wait(["online-blue", "haproxy"])
    new.state.save_images()


def _release_batch(stack: Stack, image: str, console: Console) -> None:
    before = stack.state.images.get("batch")
    new = _with_batch(stack, image)
    require_images(new, ["batch"])
    try:
        _start_batch(new)
    except ServerError as error:
        if before is None:
            raise
        console.print(f"{image} does not work: {before} is put back.", highlight=False)
        _start_batch(_with_batch(stack, before))
        raise ServerError(
            where=f"release of {image}", problem=error.problem or str(error), remedy=f"{before} serves. {error.remedy}"
        ) from error
    new.state.save_images()


def _start_batch(stack: Stack) -> None:
    services = ["batch", *(["worker"] if stack.part("worker").container else [])]
    # A compose program may leave a container in place that ends and starts again while it is being replaced.
    if found := stack.part_id("batch"):
        output([stack.engine.name, "rm", "-f", found])
    stack.compose("up", "-d", *services)
    stack.wait(services)


def _with_batch(stack: Stack, image: str) -> Stack:
    return replace(stack, state=replace(stack.state, images={**stack.state.images, "batch": image}))
