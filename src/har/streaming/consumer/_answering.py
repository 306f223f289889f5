"""Answer windows with the champion in this process; it is loaded again after a promotion."""

from __future__ import annotations

import logging
import time
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
_LOOK_S = 5.0


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


class Champion:
    """The champion in this process.

    Args:
        settings: of the project.
        registry: where the champion is looked up every few seconds.
        batch: windows per call of the model.

    Raises:
        NoChampionError: there is none yet.
        ModelMismatchError: it was made for other settings than the project's.
    """

    def __init__(self, settings: Settings, registry: Registry, *, batch: int) -> None:
        self._settings = settings
        self._registry = registry
        self._batch = batch
        self._rule = signal_rule(settings)
        self.version = registry.champion().number
        self._classifier = self._load(self.version)
        self._looked = time.monotonic()

    def refresh(self) -> None:
        """Load the champion again if another version has become it; a version that cannot be loaded changes nothing."""
        if time.monotonic() - self._looked < _LOOK_S:
            return
        try:
            version = self._registry.champion().number
            if version != self.version:
                self._classifier = self._load(version)
                _LOG.warning("version %d answers from now on, in place of %d", version, self.version)
                self.version = version
        except HarError as error:
            _LOG.error("version %d goes on: %s", self.version, error)
        self._looked = time.monotonic()

    def answer(self, windows: NDArray[np.float32]) -> Answered:
        """Answer windows, float32 (N, T, C)."""
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

    def _load(self, version: int) -> Classifier:
        classifier = Classifier(self._registry.model_path(version), threads=1, arena=True)
        classifier.metadata.require(where=f"model version {version}", **self._settings.model_input)
        return classifier
