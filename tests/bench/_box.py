"""The online service's own packages in an environment that holds nothing else: how large it is, and what runs in it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.bench._server import ROOT


def install(folder: Path) -> Path | None:
    """Install `requirements/online.txt` into a new environment; its interpreter, None if that failed."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    uv = [sys.executable, "-m", "uv"]
    commands = (
        [*uv, "venv", "--quiet", "--python", version, str(folder)],
        [*uv, "pip", "install", "--quiet", "--python", str(folder), "-r", str(ROOT / "requirements" / "online.txt")],
    )
    for command in commands:
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        if result.returncode:
            print(f"{' '.join(command)}:\n{result.stderr}", file=sys.stderr)
            return None
    return folder / "bin" / "python"


def size_mb(python: Path) -> float:
    """What the packages take on disk, as installed: bytecode, which every start may write anew, is left out."""
    files = (path for path in python.parents[1].glob("lib/*/site-packages/**/*") if path.is_file())
    return sum(path.stat().st_size for path in files if path.suffix != ".pyc") / 1e6
