"""What a worker on another machine must have in common with the job: Python, this code, packages, and the folders."""

from __future__ import annotations

import os
import platform
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from har.settings import Settings

PACKAGES = ("numpy", "polars", "deltalake", "onnxruntime", "pyarrow", "whylogs", "torch", "mlflow")
"""Two versions of these could give two results, or not read each other's files."""
FOLDERS = ("lake", "inbox", "mlflow")


@dataclass(frozen=True)
class Place:
    """A worker and what it has; `problem` says why it gets no part."""

    name: str
    python: str = ""
    code: str = ""
    packages: Mapping[str, str] = field(default_factory=dict)
    cores: int = 1
    memory_mb: int = 0
    problem: str = ""


def probe() -> Callable[..., dict[str, Any]]:
    """A function that tells what a process has: Python, a hash of `har`'s code, packages, and the marked folders.

    It travels as code, not by its name, and needs nothing but Python: a worker without this package can run it.
    """

    def look(packages: tuple[str, ...] = (), marks: tuple[str, ...] = ()) -> dict[str, Any]:
        import hashlib
        import importlib.metadata
        import importlib.util
        import pathlib
        import platform

        try:
            spec = importlib.util.find_spec("har")
        except ImportError:
            spec = None
        code = ""
        if spec is not None and spec.submodule_search_locations:
            folder = pathlib.Path(next(iter(spec.submodule_search_locations)))
            digest = hashlib.sha256()
            for path in sorted(folder.rglob("*.py")):
                digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
            code = digest.hexdigest()[:12]
        found = {}
        for name in packages:
            try:
                found[name] = importlib.metadata.version(name)
            except importlib.metadata.PackageNotFoundError:
                continue
        hidden = [mark for mark in marks if not pathlib.Path(mark).exists()]
        return {"python": platform.python_version(), "code": code, "packages": found, "hidden": hidden}

    return look


def answer(_: int) -> str:
    """An empty part: who ran it."""
    time.sleep(0.05)
    return f"{platform.node()}/{os.getpid()}/{threading.get_ident()}"


def here() -> dict[str, Any]:
    """What the job's own process has."""
    found: dict[str, Any] = probe()(PACKAGES)
    return found


def difference(there: Mapping[str, Any] | Exception, ours: Mapping[str, Any]) -> str:
    """Why a worker must not get a part; "": it may."""
    if isinstance(there, Exception):
        return f"it cannot be asked what it has: {type(there).__name__}: {there}"
    if not there["code"]:
        return "it has no package har"
    if minor(there["python"]) != minor(ours["python"]):
        return f"it has Python {there['python']}, the job {ours['python']}"
    if there["code"] != ours["code"]:
        return f"it has other code of har ({there['code']}, the job {ours['code']})"
    others = [
        f"{name} {there['packages'].get(name, 'missing')} (the job: {version})"
        for name, version in ours["packages"].items()
        if there["packages"].get(name) != version
    ]
    if others:
        return f"it has {', '.join(others)}"
    if there["hidden"]:
        folders = ", ".join(str(Path(mark).parent) for mark in there["hidden"])
        return f"it does not see the project's files in {folders}"
    return ""


def minor(version: str) -> str:
    """`3.11` of `3.11.9`."""
    return ".".join(version.split(".")[:2])


@contextmanager
def marked_folders(settings: Settings) -> Iterator[tuple[str, ...]]:
    """Hidden files in the project's folders, as long as the block lasts: who sees them sees the same folders."""
    marks = []
    for name in FOLDERS:
        if "://" in str(getattr(settings.paths, name)) or (name == "mlflow" and settings.tracking.uri):
            continue
        folder = settings.path(name)
        if folder.is_dir():
            marks.append(folder / f".har-engine-{uuid.uuid4().hex}")
    try:
        for mark in marks:
            mark.touch()
        yield tuple(map(str, marks))
    finally:
        for mark in marks:
            mark.unlink(missing_ok=True)
