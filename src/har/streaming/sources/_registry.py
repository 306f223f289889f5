"""Find sources: the modules of this package, and Python files of the user that define `SOURCE`."""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
from pathlib import Path
from types import ModuleType

from har.errors import SettingsError, did_you_mean
from har.settings import Settings
from har.streaming.sources._source import Source, SourceKind

_WHERE = "stream.sources"


def source_kinds() -> list[SourceKind]:
    """Every kind of this package, sorted by name."""
    return [find_source(name) for name in _names()]


def find_source(name: str) -> SourceKind:
    """The kind of that name, or the one that a Python file (`my_source.py`) defines.

    Raises:
        SettingsError: it does not exist.
    """
    if name.endswith(".py"):
        return _from_file(Path(name))
    known = _names()
    if name not in known:
        raise SettingsError(
            where=_WHERE,
            expected=f"queue, {', '.join(known)}, or a Python file that defines a source",
            got=repr(name),
            remedy=did_you_mean(name, ["queue", *known]) or "See docs/how-to/new-source.md.",
        )
    return _kind(importlib.import_module(f"har.streaming.sources.{name.replace('-', '_')}"), name)


def open_source(text: str, settings: Settings) -> Source:
    """The source that an entry of `stream.sources` names: NAME, NAME:REST or FILE.py; files are sought in the project.

    Raises:
        SettingsError: there is no such source.
        SourceError: its broker or its client is missing.
    """
    name, _, rest = text.partition(":")
    path = str(settings.root / name) if name.endswith(".py") else name
    return find_source(path).open(settings, rest)


def _names() -> list[str]:
    folder = [str(Path(__file__).parent)]
    return sorted(
        module.name.replace("_", "-") for module in pkgutil.iter_modules(folder) if not module.name.startswith("_")
    )


def _from_file(path: Path) -> SourceKind:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if not path.is_file() or spec is None or spec.loader is None:
        raise SettingsError(
            where=str(path), expected="a Python file with a source", got="no such file", remedy="Check the path."
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
    return _kind(module, str(path))


def _kind(module: ModuleType, where: str) -> SourceKind:
    kind = getattr(module, "SOURCE", None)
    if not isinstance(kind, SourceKind):
        raise SettingsError(
            where=where,
            expected="a module-level SOURCE = SourceKind(...)",
            got="none" if kind is None else type(kind).__name__,
            remedy="See docs/how-to/new-source.md.",
        )
    return kind
