"""Which drift scores there are: one per file of this package."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from types import ModuleType

from har.errors import MonitoringError
from har.monitoring.drift import scores as _package
from har.monitoring.drift.scores._score import Score


@functools.cache
def scores() -> tuple[Score, ...]:
    """Every drift score, sorted by name.

    Raises:
        MonitoringError: a file without a score, or no score that alarms.
    """
    names = sorted(one.name for one in pkgutil.iter_modules(_package.__path__) if not one.name.startswith("_"))
    found = tuple(_score(importlib.import_module(f"{_package.__name__}.{name}"), name) for name in names)
    if not any(one.alarms for one in found):
        raise _refused("at least one score that alarms", f"{len(found)} scores, none of which does")
    return found


def alarming() -> tuple[Score, ...]:
    """The scores by which a day may alarm."""
    return tuple(one for one in scores() if one.alarms)


def own_scores() -> tuple[Score, ...]:
    """The scores by which a subject's day may alarm against the subject's own history."""
    return tuple(one for one in scores() if one.own)


def _score(module: ModuleType, name: str) -> Score:
    score = getattr(module, "SCORE", None)
    where = f"drift score {name}"
    if not isinstance(score, Score):
        raise _refused("a module-level SCORE = Score(...)", type(score).__name__, where)
    if score.name != name:
        raise _refused(f"the name of its file, {name!r}", repr(score.name), where)
    if score.alarms and score.direction != "higher":
        raise _refused(
            "a score that alarms to be higher for distributions that differ more", "one that is lower", where
        )
    if (score.alarms or score.own) and score.least_level <= 0:
        raise _refused("a least_level above 0 for a score that alarms", str(score.least_level), where)
    return score


def _refused(expected: str, got: str, where: str = "har.monitoring.drift.scores") -> MonitoringError:
    return MonitoringError(where=where, expected=expected, got=got, remedy="See docs/how-to/new-drift-score.md.")
