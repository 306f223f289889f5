"""List the packages of both services: `build/delivery/online.cdx.json` and `batch.cdx.json` (CycloneDX).

Of a box with an image (`make service-image`), what is in it, its base included. Else the Python packages
that `requirements/online.txt` and `batch.txt` pin, which are exactly what an image installs.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from har.console import console
from har.errors import ScanError
from har.settings import load_settings
from infra.delivery._step import results, run_step
from infra.delivery.online.service_image import Image

BOXES = ("online", "batch")
_AGAIN = "Build it again: make service-image."


def write_sbom(root: Path, box: str) -> Path:
    """Write the SBOM of a box's pinned packages; returns its path.

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


def write_image_sbom(root: Path, box: str, image: Image) -> Path:
    """Write the SBOM of a box's image; returns its path.

    Raises:
        ScanError: it cannot be listed.
    """
    command = [sys.executable, "-m", "infra.images.sbom", "--engine", image.engine, f"{box}={image.name}"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    listed = load_settings(root).path("reports") / "sbom" / f"{box}.cdx.json"
    if done.returncode or not listed.is_file():
        raise ScanError(
            where=f"image {image.name}", problem=f"cannot be listed: {done.stderr.strip()[-500:]}", remedy=_AGAIN
        )
    return Path(shutil.copy2(listed, results(root) / f"{box}.cdx.json"))


def _main() -> int:
    root = load_settings().root
    image = Image.read(root)
    for box in BOXES:
        listed = write_image_sbom(root, box, image) if image and box == "online" else write_sbom(root, box)
        console.print(f"{listed}", highlight=False, soft_wrap=True)
    return 0


if __name__ == "__main__":
    run_step(_main)
