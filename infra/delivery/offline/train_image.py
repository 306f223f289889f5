"""Build the train image, or run the smoke tests inside it, where there is a container engine; else say why not.

    python -m infra.delivery.offline.train_image [--test]

ENGINE names an engine that has to be there; ENGINE=none builds no image.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from har.console import console
from har.errors import HarError
from har.settings import load_settings
from infra.delivery._step import run_step


def skipped(root: Path) -> str:
    """Why no image is built here; "": it can be.

    Raises:
        PackagingError: the engine that ENGINE names does not answer.
    """
    if not (root / "infra" / "images").is_dir():
        return "this project has no infra/images."
    wanted = os.environ.get("ENGINE", "")
    if wanted == "none":
        return "ENGINE=none asks for no image."
    from infra.images.engine import find_engine

    try:
        find_engine(wanted).require_running()
    except HarError as error:
        if wanted:
            raise
        return f"no image is built here. {error}"
    return ""


def _main() -> int:
    root = load_settings().root
    why = skipped(root)
    if why:
        console.print(f"Skipped: {why}", markup=False, highlight=False, soft_wrap=True)
        return 0
    step = ["infra.images.check", "train"] if "--test" in sys.argv[1:] else ["infra.images", "train"]
    return subprocess.run([sys.executable, "-m", *step], cwd=root, check=False).returncode


if __name__ == "__main__":
    run_step(_main)
