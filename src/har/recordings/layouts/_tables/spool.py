"""Numbers that are kept on disk, not in memory, until the part that is needed is read."""

from __future__ import annotations

import mmap
import tempfile

import numpy as np
from numpy.typing import NDArray


class Spool:
    """Rows of float64 in an unnamed temporary file: appended block by block, read in parts.

    The system removes the file when it is closed, also if the process is killed. Use it in a `with` block.
    """

    def __init__(self, width: int) -> None:
        self._width = width
        self._file = tempfile.TemporaryFile(prefix="har-import-")  # noqa: SIM115  closed by __exit__
        self._rows = 0

    def __enter__(self) -> Spool:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __len__(self) -> int:
        return self._rows

    def append(self, rows: NDArray[np.float64]) -> None:
        """Add rows, float64 (n, width).

        Raises:
            OSError: the disk of the temporary folder is full.
        """
        self._file.write(np.ascontiguousarray(rows, np.float64).tobytes())
        self._rows += len(rows)

    def take(self, rows: slice | NDArray[np.int64]) -> NDArray[np.float64]:
        """Some of the rows, in memory, float64 (n, width)."""
        if not self._rows:
            return np.empty((0, self._width))
        self._file.flush()
        with mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            table = np.frombuffer(mapped, np.float64).reshape(self._rows, self._width)
            taken = table[rows] if isinstance(rows, np.ndarray) else table[rows].copy()
            del table  # the map cannot be closed while an array shows it
        return taken
