"""Splits by subject, chosen before a window is cut: nobody stands on two sides."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from har.errors import NotEnoughDataError


@dataclass(frozen=True)
class Split:
    """Subjects to train on, to stop and calibrate on, and to judge on."""

    train: tuple[str, ...]
    validation: tuple[str, ...]
    held_out: tuple[str, ...]

    def __post_init__(self) -> None:
        everyone = [*self.train, *self.validation, *self.held_out]
        twice = sorted({subject for subject in everyone if everyone.count(subject) > 1})
        if twice:
            raise ValueError(f"subject {twice[0]!r} stands on two sides of the split")

    @property
    def id(self) -> str:
        """Twelve hexadecimal digits that name exactly this split."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:12]


def split_subjects(
    subjects: Sequence[str], *, held_out: Sequence[str] = (), share: float = 0.3, validation: float = 0.2, seed: int = 0
) -> Split:
    """Part subjects into train, validation and held-out.

    Args:
        subjects: everyone in the data; order and repetitions do not matter.
        held_out: who judges; empty: `share` of all, drawn by a hash of the name so that newcomers move few.
        share: of all subjects, one at least; read where `held_out` is empty.
        validation: share of the others that stops and calibrates, one subject at least.
        seed: draws the validation subjects.

    Raises:
        NotEnoughDataError: fewer than one subject for each side, or a held-out name nobody bears.
    """
    everyone = sorted(set(subjects))
    unknown = sorted(set(held_out) - set(everyone))
    if unknown:
        raise NotEnoughDataError(
            where="har.toml, split.held_out",
            expected=f"subjects among {', '.join(everyone) or '(none)'}",
            got=repr(unknown[0]),
            remedy="Ingest that subject's recordings, or name another.",
        )
    if len(everyone) < 3:
        raise NotEnoughDataError(
            where="split by subject",
            expected="3 subjects with labelled windows at least: to train, to calibrate, to judge",
            got=f"{len(everyone)} ({', '.join(everyone) or 'none'})",
            remedy="Ingest labelled recordings of more subjects.",
        )
    drawn = sorted(everyone, key=_draw)[: max(1, round(share * len(everyone)))]
    judges = tuple(sorted(held_out or drawn))
    rest = [subject for subject in everyone if subject not in judges]
    if len(rest) < 2:
        raise NotEnoughDataError(
            where="har.toml, split.held_out",
            expected="2 subjects at least that are not held out",
            got=f"{len(rest)}",
            remedy="Hold out fewer subjects.",
        )
    count = min(len(rest) - 1, max(1, round(validation * len(rest))))
    chosen = set(np.random.default_rng(seed).permutation(rest)[:count].tolist())
    return Split(
        train=tuple(subject for subject in rest if subject not in chosen),
        validation=tuple(sorted(chosen)),
        held_out=judges,
    )


def group_folds(windows_of: Mapping[str, int], folds: int) -> list[tuple[str, ...]]:
    """Subjects of each fold, balanced by their number of windows: the largest first, each to the lightest fold.

    The same assignment as scikit-learn's GroupKFold, without its import.

    Raises:
        NotEnoughDataError: fewer subjects than folds.
    """
    if len(windows_of) < folds:
        raise NotEnoughDataError(
            where=f"{folds} folds by subject",
            expected=f"{folds} subjects at least",
            got=f"{len(windows_of)}",
            remedy="Use fewer folds (--folds), or ingest more subjects.",
        )
    subjects = sorted(windows_of)
    counts = np.array([windows_of[subject] for subject in subjects])
    load = np.zeros(folds, np.int64)
    members: list[list[str]] = [[] for _ in range(folds)]
    for index in np.argsort(counts)[::-1]:
        lightest = int(load.argmin())
        load[lightest] += counts[index]
        members[lightest].append(subjects[index])
    return [tuple(sorted(fold)) for fold in members]


def _draw(subject: str) -> str:
    return hashlib.sha256(subject.encode()).hexdigest()
