"""One set of recordings under one protocol, ready for every peer; what is expensive is computed once and kept."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from har.files import make_folder, replacing
from har.lake import Lake
from har.settings import Settings
from har.training import Signal
from har.windows import WindowSet
from tests.bench.quality import _features
from tests.bench.quality._protocols import Folds, Protocol

SOURCE = Path(_features.__file__).resolve().parents[3] / "src" / "har"


@dataclass(frozen=True, eq=False)
class Data:
    """What every peer gets.

    Attributes:
        name: of the set.
        protocol: how windows and folds were made.
        settings: of the set's project, with the protocol's windows.
        windows: all have a label.
        folds: the subjects of each fold.
        folder: for results that are kept.
    """

    name: str
    protocol: Protocol
    settings: Settings
    windows: WindowSet
    folds: Folds
    folder: Path

    @classmethod
    def of(cls, name: str, protocol: Protocol, settings: Settings, kept: Path) -> Data:
        """Cut the windows of a project's lake; `kept` is the folder for results of all sets."""
        settings = protocol.configure(settings)
        windows = protocol.windows(Lake(settings.location("lake"), settings.sensors.channels), settings)
        folds = protocol.folds(windows, settings)
        digest = hashlib.sha256()
        for array in (windows.samples, windows.starts, windows.labels):
            digest.update(np.ascontiguousarray(array).tobytes())
        decides = [windows.subjects.tolist(), folds, repr(Signal.from_settings(settings)), settings.split.validation]
        digest.update(json.dumps(decides).encode())
        return cls(name, protocol, settings, windows, folds, kept / f"{name}-{protocol.name}-{digest.hexdigest()[:12]}")

    @cached_property
    def signal(self) -> Signal:
        """What the windows hold."""
        return Signal.from_settings(self.settings)

    @cached_property
    def fold_of(self) -> NDArray[np.int64]:
        """The fold in which each window is tested, (N,)."""
        numbers = {subject: number for number, fold in enumerate(self.folds) for subject in fold}
        return np.array([numbers[subject] for subject in self.windows.subjects.tolist()])

    @cached_property
    def minimal(self) -> Timed:
        """tsfresh's minimal features."""
        return self._kept("minimal", code_of(Path(_features.__file__)), lambda: _features.minimal_of(self.windows))

    @cached_property
    def descriptors(self) -> Timed:
        """The project's own descriptors."""
        code = code_of(SOURCE / "training" / "_descriptors.py", SOURCE / "training" / "_spectrum.py")
        return self._kept("descriptors", code, lambda: _features.descriptors_of(self.windows, self.signal))

    def _kept(self, name: str, code: str, compute: Callable[[], NDArray[np.float32]]) -> Timed:
        path = self.folder / f"{name}-{code}.npz"
        try:
            with path.open("rb") as file, np.load(file) as held:
                return Timed(held["values"], float(held["seconds"]))
        except (OSError, ValueError, KeyError, BadZipFile):
            began = time.process_time()
            found = Timed(compute(), time.process_time() - began)
            make_folder(self.folder)
            with replacing(path) as new, new.open("wb") as file:
                np.savez(file, values=found.values, seconds=found.seconds)
            return found


@dataclass(frozen=True, eq=False)
class Timed:
    """Features of all windows, float32 (N, F), and the processor seconds that they took."""

    values: NDArray[np.float32]
    seconds: float


def code_of(*places: Path) -> str:
    """Twelve digits that identify some files, or all Python files of a folder."""
    digest = hashlib.sha256()
    for place in places:
        for file in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
            digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:12]
