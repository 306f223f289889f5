"""The source of a network that the project's code does not hold: its files, a hash of them, and their import."""

from __future__ import annotations

import ast
import hashlib
import importlib
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from har.plugins import explained, load_file
from har.settings import network_file, project_root

_IMPORTS = threading.RLock()
_loaded: dict[str, tuple[Path, str]] = {}
"""Of each module that was imported as a network: its file, and the hash of the sources at that time."""


def network_sources(name: str, root: Path | None = None) -> dict[str, str]:
    """The text of the files that a drop-in network is made of, by path from the project's folder.

    These are its own file and what that imports from the same folder, in turn; packages that are installed are not
    among them, and neither is this project's code. Of a network of `har.training.networks`: none.

    Args:
        name: as in har.toml.
        root: the project's folder; None: that of the nearest har.toml.

    Raises:
        SettingsError: there is no such module or file.
    """
    if not is_drop_in(name):
        return {}
    root = project_root() if root is None else root.resolve()
    base, found = _files(name, root)
    return {path.relative_to(base).as_posix(): path.read_text("utf-8", errors="replace") for path in sorted(found)}


def network_source(name: str, root: Path | None = None) -> str:
    """A hash of `network_sources`: 64 hexadecimal digits; "": the network is part of this project's code."""
    return _digest(network_sources(name, root)) if is_drop_in(name) else ""


def is_drop_in(name: str) -> bool:
    """Whether the name is `module:Class` or a file's, and not that of a network in this package."""
    return ":" in name or name.endswith(".py")


def load_network(name: str, root: Path | None = None) -> ModuleType:
    """Import the module of `module:Class`, or a file, as it is on disk now.

    Raises:
        SettingsError: it does not exist, or importing it fails.
    """
    root = project_root() if root is None else root.resolve()
    if name.endswith(".py"):
        with _found_first(root):
            return load_file(network_file(name, root), "network")
    module, path = name.partition(":")[0], network_file(name, root)
    if not path.is_relative_to(root):  # of an installed package, which stays as it was imported first
        with explained(path):
            return importlib.import_module(module)
    base, files = _files(name, root)
    digest = _digest(network_sources(name, root))
    with _found_first(base), explained(path):
        if _loaded.get(module) != (path, digest):
            # Another project's module of this name, or this one before it was edited.
            for one in [_dotted(file, base) for file in files]:
                sys.modules.pop(one, None)
            importlib.invalidate_caches()
        found = importlib.import_module(module)
        _loaded[module] = path, digest
        return found


def _digest(sources: dict[str, str]) -> str:
    digest = hashlib.sha256()
    for path, text in sorted(sources.items()):
        digest.update(f"{path}\0{hashlib.sha256(text.encode()).hexdigest()}\n".encode())
    return digest.hexdigest()


def _files(name: str, root: Path) -> tuple[Path, set[Path]]:
    """The folder that imports begin at, and the files of the network in it."""
    first = network_file(name, root)
    if first.is_relative_to(root):
        base = root
    else:  # an installed package, or a file somewhere else
        depth = 0 if name.endswith(".py") else name.count(".", 0, name.index(":")) + (first.name == "__init__.py")
        base = first.parents[depth]
    found, todo = set[Path](), [first, *_packages(first, base)]
    while todo:
        path = todo.pop()
        if path not in found:
            found.add(path)
            todo += _imported(path, base)
    return base, found


def _imported(path: Path, base: Path) -> list[Path]:
    """Files under `base` that a file imports, wherever in its code."""
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):  # what is wrong is said when it is imported
        return []
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            package = path.relative_to(base).parts[: -node.level] if node.level else ()
            module = ".".join([*package, *([node.module] if node.module else [])])
            names += [module, *(f"{module}.{alias.name}" for alias in node.names)]
    return [file for name in names for file in _resolved(name, base)]


def _resolved(module: str, base: Path) -> list[Path]:
    """The files of a dotted name under `base`: its own, and those of the packages that hold it."""
    if not module or module.split(".")[0] == "har":
        return []
    stem = base.joinpath(*module.split("."))
    own = [path for path in (stem.with_suffix(".py"), stem / "__init__.py") if path.is_file()]
    return [path for one in own[:1] for path in (one.resolve(), *_packages(one, base))]


def _packages(path: Path, base: Path) -> list[Path]:
    """The `__init__.py` of the folders between a file and `base`."""
    folders = [folder for folder in path.parents if folder != base and folder.is_relative_to(base)]
    return [folder / "__init__.py" for folder in folders if (folder / "__init__.py").is_file()]


def _dotted(path: Path, base: Path) -> str:
    parts = path.relative_to(base).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@contextmanager
def _found_first(folder: Path) -> Iterator[None]:
    """Imports of the block look into this folder first; one block at a time."""
    with _IMPORTS:
        sys.path.insert(0, str(folder))
        try:
            yield
        finally:
            sys.path.remove(str(folder))
