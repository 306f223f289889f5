"""Labelled windows in, what a network reaches on subjects it has never seen out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from har.errors import EvaluationError, NotEnoughDataError
from har.evaluation._evaluation import Evaluation, evaluate
from har.evaluation._outcome import Outcome
from har.windows import WindowSet, group_folds, split_subjects

if TYPE_CHECKING:
    from har.training import EpochReport, Signal

_PREDICT = 1024


@dataclass(frozen=True)
class Progress:
    """Where a cross-validation stands.

    Attributes:
        done: networks fitted and judged so far.
        total: networks to fit, folds times seeds.
        seed: of the current network.
        fold: the current fold, from 1.
        folds: how many there are.
        epoch: what the current fit just reported; None once it is done.
        accuracy: of the network just judged, on its fold; None while it is being fitted.
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
        outcomes: per seed, every labelled window as the network judged it that had not seen its subject.
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
        return tuple(float((outcome.answers == outcome.labels).mean()) for outcome in self.outcomes)

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
    """Judge every subject by a network that never saw that subject.

    The folds are those of GroupKFold and the same for every seed. A fold's validation subjects, on which training
    stops and calibrates, come from the fold's own training subjects.

    Args:
        windows: of all subjects; those without a label are left out first.
        signal: what the windows hold.
        network: a name in `har.training.networks`, or the path of a Python file that holds one.
        folds: by subject.
        seeds: one cross-validation each.
        epochs: at most, per network.
        batch_size: windows per training step.
        device: "auto", "cpu" or "cuda".
        validation: share of a fold's training subjects, one at least.
        on_progress: called after every epoch and after every network.

    Raises:
        SettingsError: an unknown network.
        NotEnoughDataError: no labelled windows, fewer subjects than folds, or a fold with a single activity to learn.
        EvaluationError: no seed, or one twice.
    """
    if not seeds or len(set(seeds)) != len(seeds):
        raise EvaluationError(
            where="seeds", expected="one seed at least, each once", got=str(list(seeds)), remedy="Name other seeds."
        )
    windows = windows.select(windows.labels >= 0)
    if not len(windows):
        raise NotEnoughDataError(
            where="cross-validation",
            expected="labelled windows",
            got="none",
            remedy="Add the activity column to the files, or lower windows.purity in har.toml.",
        )
    members = tuple(group_folds(Counter(windows.subjects.tolist()), folds))
    total = len(members) * len(seeds)
    tell = on_progress or _ignore
    outcomes = []
    for run, seed in enumerate(seeds):
        probabilities = np.full((len(windows), len(signal.activities)), np.nan, np.float32)
        for fold, held_out in enumerate(members):
            progress = partial(Progress, total=total, seed=seed, fold=fold + 1, folds=len(members))
            done = run * len(members) + fold

            def on_epoch(report: EpochReport, progress: Callable[..., Progress] = progress, done: int = done) -> None:
                tell(progress(done=done, epoch=report))

            rows = np.flatnonzero(np.isin(windows.subjects, held_out))
            probabilities[rows] = _judge_fold(
                windows, held_out, rows, validation, seed, signal, network, epochs, batch_size, device, on_epoch
            )
            right = probabilities[rows].argmax(axis=1) == windows.labels[rows]
            tell(progress(done=done + 1, accuracy=float(right.mean())))
        outcomes.append(Outcome(windows.labels.astype(np.int64), probabilities, windows.subjects, signal.activities))
    return CrossValidation(
        network=network, seeds=tuple(seeds), folds=members, outcomes=tuple(outcomes), evaluation=evaluate(outcomes)
    )


def _judge_fold(
    windows: WindowSet,
    held_out: tuple[str, ...],
    rows: np.ndarray[tuple[int], np.dtype[np.int64]],
    validation: float,
    seed: int,
    signal: Signal,
    network: str,
    epochs: int,
    batch_size: int,
    device: str,
    on_epoch: Callable[[EpochReport], None],
) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """Probabilities (rows, K) of the fold's windows."""
    # torch takes seconds to import, and nothing else in this package needs it.
    from har.training import FitOptions, fit

    split = split_subjects(np.unique(windows.subjects).tolist(), held_out=held_out, validation=validation, seed=seed)
    fitted = fit(
        windows,
        split.train,
        split.validation,
        signal=signal,
        options=FitOptions(network, seed, epochs, batch_size, device),
        on_epoch=on_epoch,
    )
    parts = [
        fitted.predict(windows.batch(rows[first : first + _PREDICT]))[0] for first in range(0, len(rows), _PREDICT)
    ]
    return np.concatenate(parts)


def _ignore(progress: Progress) -> None:
    """For a caller that does not watch."""
