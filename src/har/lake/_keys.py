"""The keys that one process added to a table, so that adding further rows need not read these from disk again."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import polars as pl
from numpy.typing import NDArray


class KeySet:
    """Hashes of keys in sorted runs, each at least twice as long as the next: adding n of them takes n log n in all."""

    def __init__(self) -> None:
        self._runs: list[NDArray[np.uint64]] = []

    def __len__(self) -> int:
        return sum(map(len, self._runs))

    def add(self, hashes: NDArray[np.uint64]) -> None:
        """Add hashes, (n,), in any order."""
        self._runs.append(np.sort(hashes))
        while len(self._runs) > 1 and len(self._runs[-2]) < 2 * len(self._runs[-1]):
            merged = np.sort(np.concatenate((self._runs.pop(), self._runs.pop())), kind="stable")
            self._runs.append(merged)

    def may_hold(self, hashes: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Which of these were added, bool (n,); by chance also one that was not."""
        found = np.zeros(len(hashes), bool)
        for run in self._runs:
            if len(run):
                place = np.minimum(np.searchsorted(run, hashes), len(run) - 1)
                found |= run[place] == hashes
        return found


@dataclass
class Added:
    """What a process added to a table since a version, with no other writer in between.

    Attributes:
        names: the columns of the keys, date and subject included.
        base: the version before the first addition; what it holds has to be looked up.
        version: the version after the last one; if the table has another, someone else wrote.
        keys: of the rows that were added.
    """

    names: tuple[str, ...]
    base: int
    version: int
    keys: KeySet = field(default_factory=KeySet)


def hashes(keys: pl.DataFrame) -> NDArray[np.uint64]:
    """A hash of each row, (n,); the same in one process only."""
    return keys.hash_rows(seed=0).to_numpy()
