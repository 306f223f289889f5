"""Answer windows with the champion in this process; it is loaded again after a promotion."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from har.cutting import signal_rule
from har.errors import HarError
from har.inference import Classifier
from har.plausibility import NO_SIGNAL
from har.registry import Registry
from har.settings import Settings

_LOG = logging.getLogger("har.stream")
LOOK_S = 5.0
"""Between two looks at which version is the champion."""


class Answered(NamedTuple):
    """Answers to N windows: activities (N,), confidence float32 (N,), abstained bool (N,), and the model's version."""

    activities: list[str]
    confidence: NDArray[np.float32]
    abstained: NDArray[np.bool_]
    version: int


class Answerer(Protocol):
    """Answers windows."""

    def refresh(self) -> None:
        """Between two batches: see whether another version serves."""

    def answer(self, windows: NDArray[np.float32]) -> Answered:
        """Answer windows, float32 (N, T, C).

        Raises:
            HarError: not now; the caller keeps the windows and tries again.
        """


class Model:
    """One model file, in this process.

    Args:
        settings: of the project.
        path: the model file.
        version: its number.

    Raises:
        ModelError: the file cannot be used.
        ModelMismatchError: it was made for other settings than the project's.
    """

    def __init__(self, settings: Settings, path: Path, version: int) -> None:
        self.version = version
        self._batch = settings.stream.batch_windows
        self._rule = signal_rule(settings)
        self._classifier = Classifier(path, threads=1, arena=True)
        self._classifier.metadata.require(where=f"model version {version}", **settings.model_input)

    def refresh(self) -> None:
        """It stays the same."""

    def answer(self, windows: NDArray[np.float32]) -> Answered:
        """Answer windows, float32 (N, T, C), in calls of `stream.batch_windows` at most."""
        parts = [self._answer(windows[row : row + self._batch]) for row in range(0, len(windows), self._batch)]
        return Answered(
            [name for part in parts for name in part.activities],
            np.concatenate([part.confidence for part in parts]),
            np.concatenate([part.abstained for part in parts]),
            self.version,
        )

    def _answer(self, windows: NDArray[np.float32]) -> Answered:
        metadata = self._classifier.metadata
        probabilities = self._classifier.predict(windows).probabilities
        absent = self._rule.absent(windows)
        confidence = np.where(absent, np.float32(0), probabilities.max(axis=1, initial=0))
        best = probabilities.argmax(axis=1).tolist()
        names = [
            NO_SIGNAL if silent else metadata.activities[index]
            for index, silent in zip(best, absent.tolist(), strict=True)
        ]
        return Answered(names, confidence, absent | (confidence < metadata.abstain_below), self.version)


class Champion:
    """The champion, loaded again after a promotion.

    Args:
        settings: of the project.
        registry: where the champion is looked up every few seconds.

    Raises:
        NoChampionError: there is none yet.
        ModelMismatchError: it was made for other settings than the project's.
    """

    def __init__(self, settings: Settings, registry: Registry) -> None:
        self._settings = settings
        self._registry = registry
        self._model = self._load(registry.champion().number)
        self._looked = time.monotonic()
        self._failed = False

    @property
    def version(self) -> int:
        """That answers now."""
        return self._model.version

    def refresh(self) -> None:
        """Load the champion again if another version has become it; one that cannot be loaded changes nothing."""
        if time.monotonic() - self._looked < LOOK_S:
            return
        try:
            version = self._registry.champion().number
            if version != self.version:
                before, self._model = self.version, self._load(version)
                _LOG.warning("version %d answers from now on, in place of %d", version, before)
            self._failed = False
        except HarError as error:
            if not self._failed:
                _LOG.error("version %d goes on: %s", self.version, error)
            self._failed = True
        self._looked = time.monotonic()

    def answer(self, windows: NDArray[np.float32]) -> Answered:
        """Answer windows, float32 (N, T, C)."""
        return self._model.answer(windows)

    def _load(self, version: int) -> Model:
        return Model(self._settings, self._registry.model_path(version), version)
