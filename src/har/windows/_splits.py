"""Split subjects into train, validation and held-out; no subject is in two of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from har.errors import NotEnoughDataError


@dataclass(frozen=True)
class Split:
    """Subjects for training, for early stopping and calibration, and for evaluation."""

    train: tuple[str, ...]
    validation: tuple[str, ...]
    held_out: tuple[str, ...]

    def __post_init__(self) -> None:
        subjects = [*self.train, *self.validation, *self.held_out]
        repeated = sorted({subject for subject in subjects if subjects.count(subject) > 1})
        if repeated:
            raise ValueError(f"subject {repeated[0]!r} is in two parts of the split")

    @property
    def id(self) -> str:
        """A hash of the split, twelve hexadecimal digits."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:12]


def split_subjects(
    subjects: Sequence[str], *, held_out: Sequence[str] = (), share: float = 0.3, validation: float = 0.2, seed: int = 0
) -> Split:
    """Split subjects into train, validation and held-out.

    Args:
        subjects: the subjects of the data; order and repetitions do not matter.
        held_out: the held-out subjects; empty: `share` of all, drawn by a hash of the name, so that a new subject
            changes the draw little.
        share: of all subjects, at least one; used if `held_out` is empty.
        validation: share of the other subjects for validation, at least one.
        seed: of the draw of validation subjects.

    Raises:
        NotEnoughDataError: there are too few subjects, or a held-out subject is not in the data.
    """
    everyone = sorted(set(subjects))
    unknown = sorted(set(held_out) - set(everyone))
    if unknown:
        raise NotEnoughDataError(
            where="har.toml, split.held_out",
            expected=f"subjects among {', '.join(everyone) or '(none)'}",
            got=repr(unknown[0]),
            remedy="Ingest recordings of this subject, or correct split.held_out.",
        )
    if len(everyone) < 3:
        raise NotEnoughDataError(
            where="split by subject",
            expected="at least 3 subjects with labelled windows, for training, validation and evaluation",
            got=f"{len(everyone)} ({', '.join(everyone) or 'none'})",
            remedy="Ingest labelled recordings of more subjects.",
        )
    drawn = sorted(everyone, key=_draw)[: max(1, round(share * len(everyone)))]
    held_out_subjects = tuple(sorted(held_out or drawn))
    rest = [subject for subject in everyone if subject not in held_out_subjects]
    if len(rest) < 2:
        raise NotEnoughDataError(
            where="har.toml, split.held_out",
            expected="at least 2 subjects that are not held out",
            got=f"{len(rest)}",
            remedy="Hold out fewer subjects.",
        )
    count = min(len(rest) - 1, max(1, round(validation * len(rest))))
    chosen = set(np.random.default_rng(seed).permutation(rest)[:count].tolist())
    return Split(
        train=tuple(subject for subject in rest if subject not in chosen),
        validation=tuple(sorted(chosen)),
        held_out=held_out_subjects,
    )


def group_folds(window_counts: Mapping[str, int], folds: int) -> list[tuple[str, ...]]:
    """The subjects of each fold, balanced by number of windows: largest subject first, each to the smallest fold.

    The same assignment as scikit-learn's GroupKFold, without importing it.

    Raises:
        NotEnoughDataError: fewer subjects than folds.
    """
    if len(window_counts) < folds:
        raise NotEnoughDataError(
            where=f"{folds} folds by subject",
            expected=f"at least {folds} subjects",
            got=f"{len(window_counts)}",
            remedy="Use fewer folds (--folds), or ingest more subjects.",
        )
    subjects = sorted(window_counts)
    counts = np.array([window_counts[subject] for subject in subjects])
    load = np.zeros(folds, np.int64)
    members: list[list[str]] = [[] for _ in range(folds)]
    for index in np.argsort(counts)[::-1]:
        smallest = int(load.argmin())
        load[smallest] += counts[index]
        members[smallest].append(subjects[index])
    return [tuple(sorted(fold)) for fold in members]


def _draw(subject: str) -> str:
    return hashlib.sha256(subject.encode()).hexdigest()
