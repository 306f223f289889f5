"""Render every overlay with the kustomize of `.venv/tools`, and check what comes out against the schemas."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from har.errors import SettingsError
from har.files import temporary_folder
from har.settings import Settings
from infra.kubernetes.write import BOXES, HERE, Order, write

TOOLS = Path(sys.prefix) / "tools" / "bin"
VARIANTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "staging": ("staging", ()),
    "production": ("production", ()),
    "production-haproxy": ("production", ("haproxy",)),
    "production-keda": ("production", ("keda",)),
    "production-object-storage": ("production", ("object-storage",)),
    "production-operator": ("production", ("operator",)),
    "production-stream": ("production", ("stream",)),
    "production-stream-keda": ("production", ("keda", "stream", "stream-keda")),
}
"""Every overlay, and every component on one."""


def lint(settings: Settings, kept: Path | None = None) -> None:
    """Check every variant.

    Args:
        settings: the project's.
        kept: a folder for the rendered manifests, VARIANT.yaml; None: they are not kept.

    Raises:
        SettingsError: kustomize or a schema refuses something; has all breaches.
    """
    with temporary_folder("kubernetes") as folder, ThreadPoolExecutor() as workers:
        target = kept or folder
        target.mkdir(parents=True, exist_ok=True)
        files = list(workers.map(lambda name: render(settings, name, folder / name, target), VARIANTS))
        validate(files)


def render(settings: Settings, variant: str, folder: Path, target: Path) -> Path:
    """Write a variant with images by made-up tags, and render it; returns the file.

    Raises:
        SettingsError: kustomize refuses it.
    """
    stage, further = VARIANTS[variant]
    images = {box: f"{settings.project.name.lower()}-{box}:v1-00000000" for box in BOXES}
    write(settings, Order(stage, images, further=further), folder)
    file = target / f"{variant}.yaml"
    file.write_text(kustomize(folder), encoding="utf-8")
    return file


def kustomize(folder: Path) -> str:
    """What `kubectl kustomize` makes of a folder.

    Raises:
        SettingsError: it refuses.
    """
    done = _run([_tool("kubectl"), "kustomize", str(folder)])
    if done.returncode:
        raise SettingsError(
            where=str(folder),
            problem=f"kustomize refuses it: {done.stderr.strip()}",
            remedy=f"Mend the file in {HERE.name} that it names.",
        )
    return done.stdout


def validate(files: list[Path]) -> None:
    """Check manifests against the schemas; fields that a kind does not have are refused.

    Raises:
        SettingsError: a breach; has all of them.
    """
    done = _run([_tool("python"), "-I", str(HERE / "validate.py"), *map(str, files)])
    if done.returncode:
        raise SettingsError(
            where="manifests",
            problem=f"Kubernetes would refuse them:\n{(done.stdout or done.stderr).strip()}",
            remedy=f"Mend them in infra/{HERE.name}.",
        )


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    with tempfile.TemporaryDirectory() as home:  # kubectl writes nothing into the user's own
        return subprocess.run(command, capture_output=True, text=True, check=False, env={"HOME": home, "PATH": ""})


def _tool(name: str) -> str:
    path = TOOLS / name
    if not path.is_file():
        raise SettingsError(where=str(path), expected="a tool", got="no such file", remedy="Install it: make setup.")
    return str(path)
