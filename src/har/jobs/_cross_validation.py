"""Cross-validation by subject: a network evaluated on subjects that it was not trained on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from har.engine import Each, in_turn
from har.errors import EvaluationError, NotEnoughDataError
from har.evaluation import RESAMPLES, Evaluation, Outcome, evaluate
from har.training import FitOptions, Signal, alone, fit
from har.windows import WindowSet, group_folds, split_subjects

_PREDICT = 1024

Windows = Callable[[], WindowSet]
"""Gives the windows in whichever process it is called; can be pickled where parts travel."""


@dataclass(frozen=True)
class FoldPart:
    """A network to be trained without some subjects and evaluated on them.

    Attributes:
        windows: of all subjects.
        signal: what they hold.
        options: network, seed and length of the training.
        validation: share of the training subjects that training stops and calibrates on, at least one.
        held_out: subjects of this fold.
    """

    windows: Windows
    signal: Signal
    options: FitOptions
    validation: float
    held_out: tuple[str, ...]

    @property
    def seed(self) -> int:
        """Of the training."""
        return self.options.seed

    def __str__(self) -> str:
        return f"fold without {', '.join(self.held_out)}, seed {self.seed}"


@dataclass(frozen=True, eq=False)
class FoldResult:
    """What a fold's network says about the labelled windows of its held-out subjects.

    Attributes:
        seed: of the training.
        held_out: the subjects.
        probabilities: float32 (n, K), in the order of the windows.
        accuracy: share of them named right.
    """

    seed: int
    held_out: tuple[str, ...]
    probabilities: NDArray[np.float32]
    accuracy: float


@dataclass(frozen=True, eq=False)
class CrossValidation:
    """One outcome per seed over all windows, and the figures of all seeds together.

    Attributes:
        network: the network's name.
        seeds: in the order of `outcomes`.
        folds: subjects of each fold.
        outcomes: per seed, the answers for every labelled window by the network that was not trained on its subject.
        evaluation: of all seeds; its figures are means over seeds, its interval resamples subjects.
    """

    network: str
    seeds: tuple[int, ...]
    folds: tuple[tuple[str, ...], ...]
    outcomes: tuple[Outcome, ...]
    evaluation: Evaluation

    @property
    def accuracies(self) -> tuple[float, ...]:
        """Accuracy over all windows, per seed."""
        return tuple(outcome.accuracy for outcome in self.outcomes)

    @property
    def accuracy_std(self) -> float:
        """Population standard deviation of the accuracy over seeds; 0 for one seed."""
        return float(np.std(self.accuracies))

    def flat(self) -> dict[str, float | int | str]:
        """The headline figures, one level deep."""
        return {
            "accuracy": self.evaluation.accuracy,
            "accuracy_std": self.accuracy_std,
            "macro_f1": self.evaluation.macro_f1,
            "accuracy_low": self.evaluation.accuracy_low,
            "accuracy_high": self.evaluation.accuracy_high,
            "subjects": len(self.evaluation.subjects),
            "windows": self.evaluation.windows,
            "network": self.network,
            "folds": len(self.folds),
            "seeds": len(self.seeds),
        }


def cross_validate(
    windows: Windows,
    *,
    signal: Signal,
    options: FitOptions = FitOptions(),  # noqa: B008  frozen
    folds: int = 5,
    seeds: Sequence[int] = (0, 1, 2),
    validation: float = 0.2,
    resamples: int = RESAMPLES,
    each: Each = in_turn,
    recordings: NDArray[np.str_] | None = None,
) -> CrossValidation:
    """Evaluate a network on every subject, each time trained without that subject.

    The folds are those of GroupKFold and the same for every seed. A fold's validation subjects, on which training
    stops and calibrates, come from the fold's own training subjects.

    Args:
        windows: gives those of all subjects; windows without a label are left out.
        signal: what the windows hold.
        options: of every training; its seed is not used.
        folds: by subject.
        seeds: one cross-validation each.
        validation: share of a fold's training subjects, at least one.
        resamples: of the bootstrap over subjects.
        each: how to run the folds of all seeds, and the bootstrap.
        recordings: the names of the recordings, by number; None: the figures name no recording.

    Raises:
        SettingsError: an unknown network.
        NotEnoughDataError: no labelled windows, fewer subjects than folds, or a fold with a single activity to learn.
        PartsError: several folds were given to an engine, and some failed; names their subjects and seeds.
        EvaluationError: no seed, or one twice.
    """
    if not seeds or len(set(seeds)) != len(seeds):
        raise EvaluationError(
            where="seeds", expected="at least one seed, each once", got=str(list(seeds)), remedy="Name other seeds."
        )
    known = _labelled(windows)
    if not len(known):
        raise NotEnoughDataError(
            where="cross-validation",
            expected="labelled windows",
            got="none",
            remedy="Add the activity column to the files, or lower windows.purity in har.toml.",
        )
    members = tuple(group_folds(Counter(known.subjects.tolist()), folds))
    parts = [
        FoldPart(windows, signal, replace(options, seed=seed), validation, held_out)
        for seed in seeds
        for held_out in members
    ]
    found = {(result.seed, result.held_out): result for result in each(evaluate_fold, parts)}
    of_windows = None if recordings is None else recordings[known.recordings]
    outcomes = []
    for seed in seeds:
        probabilities = np.full((len(known), len(signal.activities)), np.nan, np.float32)
        for held_out in members:
            probabilities[np.isin(known.subjects, held_out)] = found[seed, held_out].probabilities
        labels = known.labels.astype(np.int64)
        outcomes.append(Outcome(labels, probabilities, known.subjects, signal.activities, of_windows))
    return CrossValidation(
        network=options.network,
        seeds=tuple(seeds),
        folds=members,
        outcomes=tuple(outcomes),
        evaluation=evaluate(outcomes, resamples=resamples, each=each),
    )


def evaluate_fold(part: FoldPart) -> FoldResult:
    """Train a network without the fold's subjects, and evaluate it on them.

    Folds in threads of one process take turns, as torch does not let them train side by side, and so that the process
    holds the windows of one fold at a time. Folds side by side need an engine of several processes.
    """
    with alone():
        return _evaluated(part)


def _evaluated(part: FoldPart) -> FoldResult:
    windows = _labelled(part.windows)
    subjects = np.unique(windows.subjects).tolist()
    split = split_subjects(subjects, held_out=part.held_out, validation=part.validation, seed=part.options.seed)
    fitted = fit(windows, split.train, split.validation, signal=part.signal, options=part.options)
    held_out = windows.select(np.isin(windows.subjects, part.held_out))
    probabilities = np.concatenate([fitted.predict(batch)[0] for batch in held_out.batches(_PREDICT)])
    accuracy = float((probabilities.argmax(axis=1) == held_out.labels).mean())
    return FoldResult(part.seed, part.held_out, probabilities, accuracy)


def _labelled(windows: Windows) -> WindowSet:
    every = windows()
    return every.select(every.labels >= 0)
