"""The candidate of the stack in containers: what its worker has packaged, copied out of the worker's store."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from har.errors import ReleaseError
from har.inference import Package
from infra.compose.engine import output
from infra.compose.stack import Stack
from infra.delivery.online.candidate import Candidate

_STORE = "/srv/har/.bentoml"
_PACKAGED = ("python", "-m", "infra.compose.inside.run", "python", "-m", "infra.compose.inside.packaged")


def from_stack(stack: Stack, store: Path) -> Candidate:
    """Copy the champion's package and bentos from the stack's worker into a store of this machine.

    Args:
        stack: with a running worker.
        store: BentoML's home for them.

    Raises:
        ServerError: the worker does not run, or has packaged no champion.
        ReleaseError: the bentos cannot be copied.
        ModelError: the package is damaged.
    """
    packaged: dict[str, str] = json.loads(stack.answer_of("worker", _PACKAGED).splitlines()[-1])
    for kind, tag in (("models", packaged["model"]), ("bentos", packaged["online"]), ("bentos", packaged["batch"])):
        name, _, key = tag.partition(":")
        target = store / kind / name / key
        shutil.rmtree(target, ignore_errors=True)
        target.parent.mkdir(parents=True, exist_ok=True)
        source = f"{stack.require('worker')}:{_STORE}/{kind}/{name}/{key}"
        status, text = output([stack.engine.name, "cp", source, str(target)])
        if status:
            raise ReleaseError(where=source, problem=f"cannot be copied: {text.strip()[-300:]}", remedy="Try again.")
    name, _, key = packaged["model"].partition(":")
    package = Package.read(store / "models" / name / key)
    return Candidate(package.version, packaged["online"], packaged["batch"], package.model, store)
