"""Windows in, answers out: the one place that says what a window's answer is, for the nightly job and the stream."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from har.inference._classifier import Classifier, Prediction
from har.plausibility import NO_SIGNAL, SignalRule


class Answers(NamedTuple):
    """What a model says about N windows.

    Attributes:
        best: int (N,), the most probable activity's place among the model's; -1 for a window without a signal.
        confidence: float32 (N,), its probability; 0 without a signal.
        abstained: bool (N,), confidence below the model's `abstain_below`, or no signal.
        unknown: bool (N,), unlike the training data; None: the model's file cannot say, or nobody asked. A window
            without a signal is not unknown.
        probabilities: float32 (N, K), as the model computed them, also without a signal.
        features: float32 (N, F).
    """

    best: NDArray[np.intp]
    confidence: NDArray[np.float32]
    abstained: NDArray[np.bool_]
    unknown: NDArray[np.bool_] | None
    probabilities: NDArray[np.float32]
    features: NDArray[np.float32]

    def activities(self, names: tuple[str, ...]) -> list[str]:
        """The answers as names, (N,); `NO_SIGNAL` where nothing was measured."""
        return [names[index] if index >= 0 else NO_SIGNAL for index in self.best.tolist()]

    def rows(self, rows: NDArray[np.intp] | slice) -> Answers:
        """The answers to some of the windows."""
        return Answers(
            self.best[rows],
            self.confidence[rows],
            self.abstained[rows],
            None if self.unknown is None else self.unknown[rows],
            self.probabilities[rows],
            self.features[rows],
        )

    @property
    def is_evidence(self) -> NDArray[np.bool_]:
        """Which windows tell a smoother something: those with a signal that are like the training data, bool (N,)."""
        measured = self.best >= 0
        return measured if self.unknown is None else measured & ~self.unknown


def answer(
    classifier: Classifier, windows: NDArray[np.float32], rule: SignalRule, *, unknown_share: float = 0.0
) -> Answers:
    """Answer windows; the bits of an answer depend on its window alone, see `Classifier.predict_exactly`.

    Args:
        classifier: the model, with one thread.
        windows: float32 (N, T, C), SI units.
        rule: says which have no signal.
        unknown_share: `scoring.unknown_share`; 0: nobody asks.

    Raises:
        WindowError, ModelError: see `Classifier.predict`.
    """
    return answers_of(
        classifier, classifier.predict_exactly(windows), rule.absent(windows), unknown_share=unknown_share
    )


def answers_of(
    classifier: Classifier, prediction: Prediction, absent: NDArray[np.bool_], *, unknown_share: float = 0.0
) -> Answers:
    """The answers that follow from what a model computed, and from which windows have no signal, bool (N,)."""
    probabilities = prediction.probabilities
    confidence = np.where(absent, np.float32(0), probabilities.max(axis=1, initial=0))
    unknown = None
    if prediction.distance is not None and unknown_share > 0:
        unknown = (prediction.distance > classifier.metadata.unknown_beyond(unknown_share)) & ~absent
    return Answers(
        best=np.where(absent, -1, probabilities.argmax(axis=1)),
        confidence=confidence,
        abstained=absent | (confidence < classifier.metadata.abstain_below),
        unknown=unknown,
        probabilities=probabilities,
        features=prediction.features,
    )
