"""Find layouts: the modules of this package, and Python files of the user that define `LAYOUT`."""

from __future__ import annotations

from har.plugins import Plugins
from har.recordings.layouts._layout import Layout

_LAYOUTS = Plugins(
    package="har.recordings.layouts",
    name="LAYOUT",
    kind=Layout,
    noun="layout",
    where="har import",
    page="docs/how-to/new-reader.md",
    listed="`har import --list` describes the layouts.",
)


def layouts() -> list[Layout]:
    """Every layout of this package, sorted by name."""
    return _LAYOUTS.all()


def find_layout(name: str) -> Layout:
    """The layout of that name, or the one that a Python file (`my_reader.py`) defines.

    Raises:
        SettingsError: it does not exist.
    """
    return _LAYOUTS.find(name)
