"""Run `tests/smoke` inside the train image: the whole loop on the embedded sample, as the image's user."""

from __future__ import annotations

import importlib.metadata
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from har.errors import PackagingError
from har.files import temporary_folder
from infra.images.engine import Engine

RUNNER = ("pytest", "pluggy", "iniconfig")
"""What runs the tests; it is lent to the container and not in the image."""


def require_loop(engine: Engine, image: str, root: Path, options: Sequence[str]) -> float:
    """Run the smoke tests in a container; returns the seconds that they took.

    Args:
        engine: runs it.
        image: the train image.
        root: the project, with `tests`.
        options: of the container.

    Raises:
        PackagingError: a test failed; has the end of the output.
    """
    tests = root / "tests"
    if not (tests / "smoke").is_dir():
        raise PackagingError(
            where=str(tests / "smoke"),
            expected="the tests that run inside the image",
            got="no such folder",
            remedy="Run this in the project's folder.",
        )
    with temporary_folder("runner") as folder:
        folder.chmod(0o755)  # the container's user reads it
        lend(folder / "runner")
        shutil.copytree(tests / "smoke", folder / "smoke", ignore=shutil.ignore_patterns("__pycache__"))
        (folder / "pytest.ini").write_text(
            "[pytest]\nmarkers =\n  stack: starts servers\n  release: nightly\n  timeout: not kept here\n"
            "addopts = --import-mode=importlib\n"
        )
        _open_for_reading(folder)
        mounts = [
            f"--volume={folder / 'runner'}:/runner:ro",
            f"--volume={folder / 'smoke'}:/srv/har/tests/smoke:ro",
            f"--volume={folder / 'pytest.ini'}:/runner.ini:ro",
        ]
        began = time.monotonic()
        engine.call(
            *("run", "--rm", *options, *mounts, "--env=PYTHONPATH=/runner", image),
            *("python", "-m", "pytest", "-c", "/runner.ini", "--rootdir=/srv/har", "-p", "no:cacheprovider"),
            *("-q", "--basetemp=/tmp/smoke", "/srv/har/tests/smoke"),
            where=f"image {image}, tests/smoke inside it",
            remedy="Fix what the test says; outside of the image: .venv/bin/pytest tests/smoke.",
        )
        return time.monotonic() - began


def lend(folder: Path) -> None:
    """Copy the packages of `RUNNER` from this environment to a folder.

    Raises:
        PackagingError: one is not installed here.
    """
    for name in RUNNER:
        try:
            files = importlib.metadata.distribution(name).files or []
        except importlib.metadata.PackageNotFoundError as error:
            raise PackagingError(
                where=name, expected="a package of this environment", got="none", remedy="Run: make setup."
            ) from error
        for file in files:
            inside = Path(file)
            if ".." in inside.parts or "__pycache__" in inside.parts:
                continue
            (folder / inside).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(Path(str(file.locate())), folder / inside)


def _open_for_reading(folder: Path) -> None:
    for path in folder.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
