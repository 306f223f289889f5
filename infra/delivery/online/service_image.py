"""Build the candidate's online image, where the project has images and the machine an engine; else say why not.

`build/delivery/image.json` tells the next steps its name and engine; without an image there is no such file. ENGINE
names an engine that has to be there; ENGINE=none builds no image.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from har.console import console
from har.errors import HarError, ReleaseError
from har.settings import load_settings
from infra.delivery._step import RESULTS, results, run_step, write_json
from infra.delivery.online.candidate import Candidate

NAME = "image.json"


class Image(NamedTuple):
    """An image, and the engine that has it."""

    name: str
    engine: str

    @classmethod
    def read(cls, root: Path) -> Image | None:
        """The image that the last step built; None: there is none."""
        path = root / RESULTS / NAME
        return cls(**json.loads(path.read_text(encoding="utf-8"))) if path.exists() else None


def build_image(root: Path, candidate: Candidate) -> Image | None:
    """Build the image; None, with a sentence: it is not possible here.

    Raises:
        ReleaseError: it cannot be built, or the engine that ENGINE names is not there.
    """
    path = results(root) / NAME
    path.unlink(missing_ok=True)
    if not (root / "infra" / "images").is_dir():
        console.print("Skipped: this project has no infra/images.")
        return None
    if os.environ.get("ENGINE") == "none":
        console.print("Skipped: ENGINE=none asks for no image.")
        return None
    from infra.images.engine import find_engine

    try:
        engine = find_engine(first=load_settings(root).images.engine)
        engine.require_running()
    except HarError as error:
        if os.environ.get("ENGINE"):
            raise
        console.print(f"Skipped: no image is built here. {error}", markup=False, highlight=False, soft_wrap=True)
        return None
    key = candidate.online.partition(":")[2]
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "infra.images",
            "online",
            "--store",
            str(candidate.store),
            "--tag",
            key,
            "--engine",
            engine.name,
        ],
        cwd=root,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        raise ReleaseError(
            where=candidate.online, problem="no image could be built", remedy="See above what the engine said."
        )
    image = Image(done.stdout.split()[-1], engine.name)
    write_json(path, image._asdict())
    return image


def _main() -> int:
    root = load_settings().root
    image = build_image(root, Candidate.read(root))
    if image is not None:
        console.print(f"Image: {image.name}", highlight=False)
    return 0


if __name__ == "__main__":
    run_step(_main)
