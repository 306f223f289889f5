"""Which layouts there are: one per file of this package, and any file of the user's that holds a `LAYOUT`."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import pkgutil
from pathlib import Path
from types import ModuleType

from har.errors import SettingsError
from har.recordings.layouts._layout import Layout


def layouts() -> list[Layout]:
    """Every layout of this package, sorted by name."""
    return [find_layout(name) for name in _names()]


def find_layout(name: str) -> Layout:
    """The layout of that name, or the one in a Python file (`my_reader.py`).

    Raises:
        SettingsError: there is none.
    """
    if name.endswith(".py"):
        return _from_file(Path(name))
    known = _names()
    if name not in known:
        close = difflib.get_close_matches(name.lower(), known, n=1)
        raise SettingsError(
            where="har import",
            expected=f"a layout: {', '.join(known)}, or a Python file that holds one",
            got=repr(name),
            remedy=f"Did you mean {close[0]!r}?" if close else "`har import --list` says what each of them reads.",
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
    spec.loader.exec_module(module)
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
