"""What `training.network` may say; checked without importing torch or the network.

A network is named as one of the files of har/training/networks (`spectral`), as a class in a module of the project or
of an installed package (`my_networks.deep:DeepConvLstm`), or as a Python file that holds a `NETWORK`.
"""

from __future__ import annotations

import importlib.util
import os
import pkgutil
from pathlib import Path

from har.errors import SettingsError, did_you_mean

_FOLDER = Path(__file__).resolve().parents[1] / "training" / "networks"
_PAGE = "See docs/how-to/own-network.md."


def network_names() -> list[str]:
    """The networks of this project, sorted: a file `deep_conv_lstm.py` is the network `deep-conv-lstm`."""
    names = [module.name for module in pkgutil.iter_modules([str(_FOLDER)]) if not module.name.startswith("_")]
    return sorted(name.replace("_", "-") for name in names)


def check_network(name: str, root: Path | None = None) -> str:
    """The name as it is recorded, if such a network exists.

    Args:
        name: one of `network_names`, `module:Class`, or the path of a Python file.
        root: the project's folder, which modules are found from; None: the folder of the nearest har.toml.

    Returns:
        The name; of a file in the project's folder, its path from there.

    Raises:
        SettingsError: there is no such network, module or file.
    """
    root = project_root() if root is None else root.resolve()
    if name.endswith(".py"):
        path = Path(name).resolve() if Path(name).is_file() else network_file(name, root)
        return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)
    if ":" in name:
        network_file(name, root)
        return name
    names = network_names()
    if name not in names:
        raise SettingsError(
            where="training.network",
            expected=f"{', '.join(names)}, module:Class, or a Python file that holds a network",
            got=repr(name),
            remedy=did_you_mean(name, names) or "See docs/how-to/own-network.md to add one.",
        )
    return name


def project_root() -> Path:
    """The folder of the nearest har.toml, of `HAR_ROOT` or of the folder that the process runs in; else the latter."""
    start = Path(os.environ.get("HAR_ROOT") or Path.cwd()).resolve()
    return next((folder for folder in (start, *start.parents) if (folder / "har.toml").is_file()), Path.cwd())


def network_file(name: str, root: Path) -> Path:
    """The file of `module:Class`, or of a path relative to `root`.

    Raises:
        SettingsError: there is none, or the name is neither.
    """
    if name.endswith(".py"):
        if not (root / name).is_file():
            raise SettingsError(
                where="training.network",
                expected="a Python file with a network",
                got=f"{name!r}, which does not exist",
                remedy="Check the path; it is relative to the current folder or to the project's.",
            )
        return (root / name).resolve()
    module, _, attribute = name.partition(":")
    parts = module.split(".")
    if not all(part.isidentifier() for part in (*parts, attribute)):
        raise SettingsError(
            where="training.network",
            expected="module:Class, such as my_networks.deep:DeepConvLstm",
            got=repr(name),
            remedy="Join folders and the file by dots, without .py, and name one class after the colon.",
        )
    for base in (root, *_installed(parts[0])):
        stem = base.joinpath(*parts)
        for path in (stem.with_name(f"{stem.name}.py"), stem / "__init__.py"):
            if path.is_file():
                return path.resolve()
    beside = sorted({".".join(path.relative_to(root).with_suffix("").parts) for path in _modules(root)})
    raise SettingsError(
        where="training.network",
        expected=f"a module {module} in {root}, or in an installed package",
        got="none",
        remedy=did_you_mean(module, beside) or _PAGE,
    )


def _installed(package: str) -> list[Path]:
    """The folders that an installed package of this name lies in."""
    spec = importlib.util.find_spec(package)  # of a top-level name, which imports nothing
    if spec is None:
        return []
    places = list(spec.submodule_search_locations or ()) or [spec.origin or ""]
    return [Path(place).parent for place in places if place.endswith(".py") or Path(place).is_dir()]


def _modules(root: Path) -> list[Path]:
    """Python files in the project's folder and in the folders there that look like packages."""
    files = [*root.glob("*.py"), *root.glob("[a-z]*/*.py")]
    return [path for path in files if all(part.isidentifier() for part in path.relative_to(root).with_suffix("").parts)]
