"""Windows of all subjects in, accuracy and changes per hour of raw and smoothed answers out, by cross-validation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from har.inference import Answers, ModelMetadata, Runs, Smoother
from har.training import FitOptions, Signal, fit, learn_runs
from har.windows import WindowSet, group_folds, split_subjects

KINDS: tuple[Literal["hmm", "duration"], ...] = ("hmm", "duration")
_PIECE_S = (20.0, 60.0)


class Scored(NamedTuple):
    """Windows of one subject in order of time: labels and probabilities, and the number of each one's segment."""

    subject: str
    labels: NDArray[np.int64]
    probabilities: NDArray[np.float32]
    segments: NDArray[np.int64]


class Fold(NamedTuple):
    """A network's answers for subjects whom it does not know, and what it learned about runs."""

    runs: Runs
    subjects: list[Scored]


def folds(
    windows: WindowSet, signal: Signal, *, options: FitOptions, count: int, validation: float = 0.2
) -> Iterator[Fold]:
    """Train without each fold's subjects, and answer their windows."""
    for held_out in group_folds(Counter(windows.subjects.tolist()), count):
        names = np.unique(windows.subjects).tolist()
        split = split_subjects(names, held_out=held_out, validation=validation, seed=options.seed)
        fitted = fit(windows, split.train, split.validation, signal=signal, options=options)
        seen = windows.for_subjects((*split.train, *split.validation))
        subjects = []
        for subject in held_out:
            own = windows.for_subjects((subject,))
            found = np.concatenate([fitted.predict(batch)[0] for batch in own.batches(1024)])
            subjects.append(Scored(subject, own.labels.astype(np.int64), found, own.segments.astype(np.int64)))
        yield Fold(learn_runs(seen, len(signal.activities), rate_hz=signal.rate_hz), subjects)


def joined(scored: Scored, step_s: float, seed: int = 0) -> Scored:
    """The subject's recordings cut into pieces of 20 to 60 s and joined in drawn order, as if they were one day.

    So that activities follow one another, where each recording holds a single one.
    """
    generator = np.random.default_rng(seed)
    pieces = []
    for segment in np.unique(scored.segments):
        rows = np.flatnonzero(scored.segments == segment)
        while len(rows):
            size = max(1, round(generator.uniform(*_PIECE_S) / step_s))
            pieces.append(rows[:size])
            rows = rows[size:]
    order = np.concatenate([pieces[index] for index in generator.permutation(len(pieces))])
    return Scored(scored.subject, scored.labels[order], scored.probabilities[order], np.zeros(len(order), np.int64))


def figures(results: Sequence[Fold], metadata: ModelMetadata) -> dict[str, Any]:
    """Per kind of smoothing: accuracy and changes per hour, over subjects: mean, standard deviation, least and most."""
    step_s = metadata.stride / metadata.rate_hz
    rows: dict[str, list[tuple[float, float]]] = {name: [] for name in ("truth", "raw", *KINDS)}
    for result in results:
        for scored in result.subjects:
            answers = {"truth": scored.labels, "raw": scored.probabilities.argmax(axis=1)}
            answers |= {kind: smoothed(scored, metadata, result.runs, kind) for kind in KINDS}
            for name, given in answers.items():
                accuracy = float((given == scored.labels).mean())
                rows[name].append((accuracy, _changes_per_hour(given, scored.segments, step_s)))
    return {name: _spread(np.array(values)) for name, values in rows.items()}


def smoothed(
    scored: Scored, metadata: ModelMetadata, runs: Runs, kind: Literal["hmm", "duration"]
) -> NDArray[np.int64]:
    """The smoothed activity of each window, (N,)."""
    smoother = Smoother(metadata, runs, kind, metadata.stride)
    step_us = round(1e6 * metadata.stride / metadata.rate_hz)
    answers = answers_from(scored.probabilities)
    found: list[tuple[int, str]] = []
    for segment in dict.fromkeys(scored.segments.tolist()):
        rows = np.flatnonzero(scored.segments == segment)
        found += smoother.push(segment, [step_us * index for index in range(len(rows))], answers.rows(rows))
        found += smoother.flush(segment)
    names = {name: index for index, name in enumerate(metadata.activities)}
    return np.array([names[name] for _, name in found])


def answers_from(probabilities: NDArray[np.float32]) -> Answers:
    """Answers to measured windows of which only the probabilities are known."""
    nothing = np.zeros(len(probabilities), np.bool_)
    return Answers(
        probabilities.argmax(axis=1),
        probabilities.max(axis=1),
        nothing,
        None,
        probabilities,
        np.empty((len(probabilities), 0), np.float32),
    )


def _changes_per_hour(answers: NDArray[np.integer], segments: NDArray[np.int64], step_s: float) -> float:
    within = segments[1:] == segments[:-1]
    return float(((answers[1:] != answers[:-1]) & within).sum() / max(1e-9, len(answers) * step_s / 3600))


def _spread(values: NDArray[np.float64]) -> dict[str, float]:
    accuracy, changes = values.T
    return {
        "accuracy": float(accuracy.mean()),
        "accuracy_sd": float(accuracy.std()),
        "accuracy_least": float(accuracy.min()),
        "accuracy_most": float(accuracy.max()),
        "changes_per_hour": float(changes.mean()),
        "changes_per_hour_sd": float(changes.std()),
        "subjects": len(values),
    }
