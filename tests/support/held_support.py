"""Archives, tables and folders as apps and devices export them."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np


def zipped(path: Path, entries: Mapping[str, str | bytes]) -> Path:
    """A zip archive of these files."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return path


def written(path: Path, text: str) -> Path:
    """A text file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def table(
    header: Sequence[str], *columns: Sequence[object] | np.ndarray, separator: str = ",", above: Sequence[str] = ()
) -> str:
    """A delimited table; floats keep all their digits."""
    lists = [column.tolist() if isinstance(column, np.ndarray) else list(column) for column in columns]
    rows = [separator.join(str(value) for value in row) for row in zip(*lists, strict=True)]
    return "\n".join([*above, separator.join(header), *rows]) + "\n"
