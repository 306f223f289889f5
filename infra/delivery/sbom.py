"""List the Python packages of both services: `build/delivery/online.cdx.json` and `batch.cdx.json` (CycloneDX).

Their images install exactly what `requirements/online.txt` and `batch.txt` pin. `make sbom` looks into built images,
and lists the packages of the base image as well.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from har.console import console
from har.errors import ScanError
from har.settings import load_settings
from infra.delivery._step import results, run_step

BOXES = ("online", "batch")


def write_sbom(root: Path, box: str) -> Path:
    """Write the SBOM of a box; returns its path.

    Raises:
        ScanError: the tool is missing or fails.
    """
    tool = Path(sys.prefix) / "tools" / "bin" / "cyclonedx-py"
    if not tool.exists():
        raise ScanError(where=str(tool), expected="cyclonedx-py", got="no such file", remedy="Install it: make setup.")
    path = results(root) / f"{box}.cdx.json"
    pins = root / "requirements" / f"{box}.txt"
    options = ["--of", "JSON", "--output-reproducible", "--output-file", str(path)]
    done = subprocess.run([str(tool), "requirements", str(pins), *options], capture_output=True, text=True, check=False)
    if done.returncode:
        raise ScanError(
            where=str(pins), problem=f"cannot be listed: {done.stderr.strip()[-300:]}", remedy="Compile it: make lock."
        )
    return path


def _main() -> int:
    root = load_settings().root
    for box in BOXES:
        console.print(f"{write_sbom(root, box)}", highlight=False, soft_wrap=True)
    return 0


if __name__ == "__main__":
    run_step(_main)
