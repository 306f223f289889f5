"""Find sources: the modules of this package, and Python files of the user that define `SOURCE`."""

from __future__ import annotations

from har.plugins import Plugins
from har.settings import Settings
from har.streaming.sources._source import Source, SourceKind

_SOURCES = Plugins(
    package="har.streaming.sources",
    name="SOURCE",
    kind=SourceKind,
    noun="source",
    where="stream.sources",
    page="docs/how-to/new-source.md",
    others=("queue",),
)


def source_kinds() -> list[SourceKind]:
    """Every kind of this package, sorted by name."""
    return _SOURCES.all()


def find_source(name: str) -> SourceKind:
    """The kind of that name, or the one that a Python file (`my_source.py`) defines.

    Raises:
        SettingsError: it does not exist.
    """
    return _SOURCES.find(name)


def open_source(text: str, settings: Settings) -> Source:
    """The source that an entry of `stream.sources` names: NAME, NAME:REST or FILE.py; files are sought in the project.

    Raises:
        SettingsError: there is no such source.
        SourceError: its broker or its client is missing.
    """
    name, _, rest = text.partition(":")
    path = str(settings.root / name) if name.endswith(".py") else name
    return find_source(path).open(settings, rest)
