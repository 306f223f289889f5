"""Labelled windows in, the figures of a network on subjects that it was not trained on out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from har.errors import EvaluationError, NotEnoughDataError
from har.evaluation import Evaluation, Outcome, evaluate
from har.windows import WindowSet, group_folds, split_subjects

if TYPE_CHECKING:
    from har.training import EpochReport, Fitted, Signal

_PREDICT = 1024


@dataclass(frozen=True)
class Progress:
    """Where a cross-validation stands.

    Attributes:
        done: networks fitted and evaluated so far.
        total: networks to fit, folds times seeds.
        seed: of the current network.
        fold: the current fold, from 1.
        folds: how many there are.
        epoch: what the current fit just reported; None once it is done.
        accuracy: of the network just evaluated, on its fold; None while it is being fitted.
    """

    done: int
    total: int
    seed: int
    fold: int
    folds: int
    epoch: EpochReport | None = None
    accuracy: float | None = None


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
    windows: WindowSet,
    *,
    signal: Signal,
    network: str = "spectral",
    folds: int = 5,
    seeds: Sequence[int] = (0, 1, 2),
    epochs: int = 15,
    batch_size: int = 128,
    device: str = "auto",
    validation: float = 0.2,
    on_progress: Callable[[Progress], None] | None = None,
) -> CrossValidation:
    """Evaluate a network on every subject, each time trained without that subject.

    The folds are those of GroupKFold and the same for every seed. A fold's validation subjects, on which training
    stops and calibrates, come from the fold's own training subjects.

    Args:
        windows: of all subjects; those without a label are left out first.
        signal: what the windows hold.
        network: "spectral" or "dscnn".
        folds: by subject.
        seeds: one cross-validation each.
        epochs: at most, per network.
        batch_size: windows per training step.
        device: "auto", "cpu" or "cuda".
        validation: share of a fold's training subjects, at least one.
        on_progress: called after every epoch and after every network.

    Raises:
        NotEnoughDataError: no labelled windows, fewer subjects than folds, or a fold with a single activity to learn.
        EvaluationError: no seed, or one twice.
    """
    if not seeds or len(set(seeds)) != len(seeds):
        raise EvaluationError(
            where="seeds", expected="at least one seed, each once", got=str(list(seeds)), remedy="Name other seeds."
        )
    windows = windows.select(windows.labels >= 0)
    if not len(windows):
        raise NotEnoughDataError(
            where="cross-validation",
            expected="labelled windows",
            got="none",
            remedy="Add the activity column to the files, or lower windows.purity in har.toml.",
        )
    # torch takes seconds to import, and nothing else in this package needs it.
    from har.training import fit

    train = partial(fit, windows, signal=signal, network=network, epochs=epochs, batch_size=batch_size, device=device)
    members = tuple(group_folds(Counter(windows.subjects.tolist()), folds))
    total = len(members) * len(seeds)
    subjects = np.unique(windows.subjects).tolist()
    report = on_progress or _ignore
    outcomes = []
    for run, seed in enumerate(seeds):
        probabilities = np.full((len(windows), len(signal.activities)), np.nan, np.float32)
        for fold, held_out in enumerate(members):
            progress = partial(Progress, total=total, seed=seed, fold=fold + 1, folds=len(members))
            done = run * len(members) + fold

            def on_epoch(epoch: EpochReport, progress: Callable[..., Progress] = progress, done: int = done) -> None:
                report(progress(done=done, epoch=epoch))

            split = split_subjects(subjects, held_out=held_out, validation=validation, seed=seed)
            fitted = train(split.train, split.validation, seed=seed, on_epoch=on_epoch)
            rows = np.flatnonzero(np.isin(windows.subjects, held_out))
            probabilities[rows] = _predict(fitted, windows, rows)
            correct = probabilities[rows].argmax(axis=1) == windows.labels[rows]
            report(progress(done=done + 1, accuracy=float(correct.mean())))
        outcomes.append(Outcome(windows.labels.astype(np.int64), probabilities, windows.subjects, signal.activities))
    return CrossValidation(
        network=network, seeds=tuple(seeds), folds=members, outcomes=tuple(outcomes), evaluation=evaluate(outcomes)
    )


def _predict(fitted: Fitted, windows: WindowSet, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Probabilities (rows, K)."""
    parts = [
        fitted.predict(windows.batch(rows[first : first + _PREDICT]))[0] for first in range(0, len(rows), _PREDICT)
    ]
    return np.concatenate(parts)


def _ignore(progress: Progress) -> None:
    """For a caller that shows no progress."""
