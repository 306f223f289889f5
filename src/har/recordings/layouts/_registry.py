"""Find layouts: the modules of this package, and Python files of the user that define `LAYOUT`."""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
from pathlib import Path
from types import ModuleType

from har.errors import SettingsError, did_you_mean
from har.recordings.layouts._layout import Layout


def layouts() -> list[Layout]:
    """Every layout of this package, sorted by name."""
    return [find_layout(name) for name in _names()]


def find_layout(name: str) -> Layout:
    """The layout of that name, or the one that a Python file (`my_reader.py`) defines.

    Raises:
        SettingsError: it does not exist.
    """
    if name.endswith(".py"):
        return _from_file(Path(name))
    known = _names()
    if name not in known:
        raise SettingsError(
            where="har import",
            expected=f"a layout ({', '.join(known)}) or a Python file that defines one",
            got=repr(name),
            remedy=did_you_mean(name, known) or "`har import --list` describes the layouts.",
        )
    return _layout(importlib.import_module(f"har.recordings.layouts.{name.replace('-', '_')}"), name)


def _names() -> list[str]:
    folder = [str(Path(__file__).parent)]
    return sorted(
        module.name.replace("_", "-") for module in pkgutil.iter_modules(folder) if not module.name.startswith("_")
    )


def _from_file(path: Path) -> Layout:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if not path.is_file() or spec is None or spec.loader is None:
        raise SettingsError(
            where=str(path), expected="a Python file with a reader", got="no such file", remedy="Check the path."
        )
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:  # also text in another encoding
        raise SettingsError(
            where=f"{path}, line {error.lineno}",
            expected="Python in UTF-8",
            got=str(error.msg),
            remedy="Fix the line, or save the file as UTF-8.",
        ) from error
    return _layout(module, str(path))


def _layout(module: ModuleType, where: str) -> Layout:
    layout = getattr(module, "LAYOUT", None)
    if not isinstance(layout, Layout):
        raise SettingsError(
            where=where,
            expected="a module-level LAYOUT = Layout(...)",
            got="none" if layout is None else type(layout).__name__,
            remedy="See docs/how-to/new-reader.md.",
        )
    return layout
