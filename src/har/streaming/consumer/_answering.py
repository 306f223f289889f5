"""Answer windows with the champion in this process; it is loaded again after a promotion."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from har.cutting import signal_rule
from har.errors import HarError, NoChampionError
from har.inference import Answers, Classifier, ModelMetadata, answer
from har.registry import Registry
from har.settings import Settings

_LOG = logging.getLogger("har.stream")
LOOK_S = 5.0
"""Between two looks at which version is the champion."""


class Answered(NamedTuple):
    """Answers to N windows, of a version with this metadata."""

    answers: Answers
    metadata: ModelMetadata
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
        self._rule = signal_rule(settings)
        self._unknown_share = settings.scoring.unknown_share
        self._classifier = Classifier(path, threads=1, arena=True)
        self._classifier.metadata.require(where=f"model version {version}", **settings.model_input)

    def refresh(self) -> None:
        """It stays the same."""

    def answer(self, windows: NDArray[np.float32]) -> Answered:
        """Answer windows, float32 (N, T, C); the bits of an answer do not depend on the others."""
        answers = answer(self._classifier, windows, self._rule, unknown_share=self._unknown_share)
        return Answered(answers, self._classifier.metadata, self.version)


class Champion:
    """The champion, loaded again after a promotion. Before the first one, windows wait in the store.

    Args:
        settings: of the project.
        registry: where the champion is looked up every few seconds.

    Raises:
        ModelMismatchError: it was made for other settings than the project's.
    """

    def __init__(self, settings: Settings, registry: Registry) -> None:
        self._settings = settings
        self._registry = registry
        self._model: Model | None = None
        self._failed = False
        self._looked = time.monotonic()
        try:
            self._model = self._load(registry.champion().number)
        except NoChampionError as error:
            _LOG.warning("messages are received, and answered once there is a champion: %s", error)

    @property
    def version(self) -> int:
        """That answers now; 0: none does."""
        return self._model.version if self._model else 0

    def refresh(self) -> None:
        """Load the champion again if another version has become it; one that cannot be loaded changes nothing."""
        if time.monotonic() - self._looked < LOOK_S:
            return
        try:
            version = self._registry.champion().number
            if version != self.version:
                before, self._model = self.version, self._load(version)
                _LOG.warning("version %d answers from now on, in place of %s", version, before or "none")
            self._failed = False
        except HarError as error:
            if not self._failed and self._model is not None:
                _LOG.error("version %d goes on: %s", self.version, error)
            self._failed = True
        self._looked = time.monotonic()

    def answer(self, windows: NDArray[np.float32]) -> Answered:
        """Answer windows, float32 (N, T, C).

        Raises:
            NoChampionError: there is none yet.
        """
        if self._model is None:
            self._model = self._load(self._registry.champion().number)
        return self._model.answer(windows)

    def _load(self, version: int) -> Model:
        return Model(self._settings, self._registry.model_path(version), version)
