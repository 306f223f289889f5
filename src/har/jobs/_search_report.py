"""What a search has found: how many configurations were tried, and what the best one is worth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from har.errors import NotEnoughDataError
from har.jobs._search import Search
from har.tuning import Counts, Trial, compare, interval


@dataclass(frozen=True)
class Further:
    """Counts of the project's own configuration and of the best one under seeds that chose nothing, fold by fold."""

    start: list[Counts]
    best: list[Counts]


def start_and_best(trials: Sequence[Trial], metric: str) -> tuple[Trial, Trial]:
    """The project's own configuration and the best one, which may be the same."""
    complete = [trial for trial in trials if trial.state == "complete"]
    start = next((trial for trial in complete if trial.is_start), None)
    if start is None:
        raise NotEnoughDataError(
            where="har tune",
            expected="the project's own configuration among those that were tried",
            got="none yet",
            remedy="Another process tries it, or none was to be tried: run it again with --trials 1.",
        )
    return start, max(complete, key=lambda trial: (trial.figure(metric), trial.is_start, -trial.number))


def figures_of(
    search: Search,
    trials: Sequence[Trial],
    start: Trial,
    best: Trial,
    further: Further,
    importance: dict[str, float],
) -> dict[str, Any]:
    """The report as JSON's values."""
    metric = search.metric
    states = Counter(trial.state for trial in trials)
    return {
        "search": search.name,
        "network": search.space.network,
        "metric": metric,
        "samples_version": search.version,
        "subjects": sum(len(fold) for fold in search.folds),
        "folds": len(search.folds),
        "held_out_never_read": list(search.held_out),
        "seed": search.seed,
        "trials": {name: states[name] for name in ("complete", "pruned", "failed", "running")},
        "start": {"values": dict(start.values), **vars(interval(start.counts, metric))},
        "best": {"number": best.number, "values": dict(best.values), **vars(interval(best.counts, metric))},
        "best_less_start": vars(compare(best.counts, start.counts, metric)),
        "further_seeds": _further(further, search) if further.best else None,
        "importance": importance,
        "har.toml": {} if best.is_start else search.space.sections(search.project.settings, best.values),
        "tried": [
            {"number": one.number, "state": one.state, "value": one.figure(metric), "folds": len(one.folds)}
            | {"values": dict(one.values), "reason": one.reason}
            for one in trials
        ],
    }


def _further(further: Further, search: Search) -> dict[str, Any]:
    ours, theirs, metric = _summed(further.best), _summed(further.start), search.metric
    return {
        "seeds": len(further.best) // len(search.folds),
        "best": vars(interval(ours, metric)),
        "start": vars(interval(theirs, metric)),
        "best_less_start": vars(compare(ours, theirs, metric)),
    }


def _summed(folds: Sequence[Counts]) -> dict[str, NDArray[np.int64]]:
    """Counts of all seeds together, by subject."""
    subjects = {subject for fold in folds for subject in fold}
    return {subject: np.sum([fold[subject] for fold in folds if subject in fold], axis=0) for subject in subjects}
