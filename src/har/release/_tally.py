"""Adds up windows that both versions answered, as they come, into the values that quality is judged by."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from har.release._paired import BLOCK, LABELLED_BLOCK, LABELLED_ROUNDS, SUMS, Floats, Paired

Codes = NDArray[np.integer]


@dataclass(frozen=True)
class Answers:
    """Windows of one version pair, in the order in which they came; n of them.

    Attributes:
        subjects: int (n,), codes of the subjects, which a tally numbers as it meets them.
        new, former: int (n,), codes of the two answers.
        sure, former_sure: (n,), the two confidences.
    """

    subjects: Codes
    new: Codes
    former: Codes
    sure: Floats
    former_sure: Floats

    def sums(self) -> Floats:
        """The `SUMS` of each window, (n, 6), without labels."""
        differ = self.new != self.former
        columns = np.zeros((len(differ), len(SUMS)))
        columns[:, 0] = 1
        columns[:, 1] = differ
        columns[:, 2] = np.where(differ, self.sure - self.former_sure, 0.0)
        return columns


@dataclass
class _Observations:
    """Blocks and rounds of one kind of windows."""

    size: int
    quotas: tuple[int, ...]
    blocks: list[Floats] = field(default_factory=list)
    rounds: list[list[Floats]] = field(default_factory=list)
    _rest: dict[int, Floats] = field(default_factory=dict)
    _total: dict[int, Floats] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.rounds = [[] for _ in self.quotas]

    def add(self, subjects: Codes, sums: Floats) -> None:
        """Further windows, in their order."""
        if not len(subjects):
            return
        order = np.argsort(subjects, kind="stable")
        names, starts = np.unique(subjects[order], return_index=True)
        for name, rows in zip(names.tolist(), np.split(sums[order], starts[1:]), strict=True):
            self._fill_blocks(name, rows)
            if self.quotas:
                self._fill_rounds(name, rows)

    def _fill_blocks(self, name: int, rows: Floats) -> None:
        rows = np.concatenate([self._rest.get(name, rows[:0]), rows])
        full = len(rows) // self.size * self.size
        if full:
            self.blocks.append(rows[:full].reshape(-1, self.size, len(SUMS)).sum(axis=1))
        self._rest[name] = rows[full:]

    def _fill_rounds(self, name: int, rows: Floats) -> None:
        before = self._total.get(name, np.zeros(len(SUMS)))
        done = int(before[3])
        for quota, filled in zip(self.quotas, self.rounds, strict=True):
            if done < quota <= done + len(rows):
                filled.append(before + rows[: quota - done].sum(axis=0))
        self._total[name] = before + rows.sum(axis=0)


class Tally:
    """The evidence of one release.

    Args:
        activities: K names; answers are codes of them.
    """

    def __init__(self, activities: tuple[str, ...]) -> None:
        self.activities = activities
        self._names: dict[str, int] = {}
        self._all = _Observations(BLOCK, ())
        self._labelled = _Observations(LABELLED_BLOCK, LABELLED_ROUNDS)
        self._requests = self._windows = self._agreeing = 0
        self._sure = np.zeros(2)
        self._classes = np.zeros((5, 0, len(activities)))  # mix, former_mix, kept, lost_sure, kept_sure

    def code(self, subject: str) -> int:
        """The code of a subject."""
        return self._names.setdefault(subject, len(self._names))

    def known(self, subject: str) -> int:
        """The code of a subject; -1 if it has none."""
        return self._names.get(subject, -1)

    def add(self, answers: Answers, *, requests: int) -> None:
        """Further windows, of so many requests."""
        self._requests += requests
        self._windows += len(answers.new)
        self._all.add(answers.subjects, answers.sums())
        same = answers.new == answers.former
        self._agreeing += int(same.sum())
        self._sure += answers.sure[same].sum(), answers.former_sure[same].sum()
        missing = len(self._names) - self._classes.shape[1]
        self._classes = np.pad(self._classes, ((0, 0), (0, missing), (0, 0)))
        who, former = answers.subjects, answers.former
        np.add.at(self._classes[0], (who, answers.new), 1)
        np.add.at(self._classes[1], (who, former), 1)
        np.add.at(self._classes[2], (who[same], former[same]), 1)
        np.add.at(self._classes[3], (who[~same], former[~same]), answers.former_sure[~same])
        np.add.at(self._classes[4], (who[same], former[same]), answers.former_sure[same])

    def label(self, subjects: Codes, right: NDArray[np.bool_], former_right: NDArray[np.bool_]) -> None:
        """Windows, already added, whose true activity has become known: which version named it."""
        sums = np.zeros((len(right), len(SUMS)))
        sums[:, 3] = 1
        sums[:, 4] = right & ~former_right
        sums[:, 5] = former_right & ~right
        self._labelled.add(subjects, sums)

    def paired(self, *, seen: int | None = None) -> Paired:
        """The evidence so far.

        Args:
            seen: subjects of the present step; by default, all.
        """
        mix, former_mix, kept, lost_sure, kept_sure = self._classes
        agreeing = max(self._agreeing, 1)
        return Paired(
            requests=self._requests,
            windows=self._windows,
            subjects=tuple(self._names),
            seen=len(self._names) if seen is None else seen,
            blocks=_joined(self._all.blocks),
            labelled_blocks=_joined(self._labelled.blocks),
            rounds=tuple(_stacked(one) for one in self._labelled.rounds),
            agreeing=self._agreeing,
            sure=float(self._sure[0] / agreeing),
            former_sure=float(self._sure[1] / agreeing),
            activities=self.activities,
            mix=mix.copy(),
            former_mix=former_mix.copy(),
            kept=kept.copy(),
            lost_sure=lost_sure.copy(),
            kept_sure=kept_sure.copy(),
        )


def _joined(parts: list[Floats]) -> Floats:
    if len(parts) > 1:  # so that it is done once for each part
        parts[:] = [np.concatenate(parts)]
    return parts[0] if parts else np.empty((0, len(SUMS)))


def _stacked(rows: list[Floats]) -> Floats:
    return np.array(rows).reshape(-1, len(SUMS))
