"""The usual statistics from the same profiles: their largest value over all features, and whylogs' own test."""

from __future__ import annotations

import sys
import types
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from har.monitoring.drift._bins import edges, profile_shares
from har.monitoring.drift.scores.hellinger import hellinger
from har.monitoring.drift.scores.kolmogorov import kolmogorov
from har.monitoring.drift.scores.psi import psi
from har.monitoring.profiles import Profile

RULES = {"ks": kolmogorov, "psi": psi, "hellinger": hellinger}


class Peers:
    """The rules against the reference of other people, and the same against a subject's own history.

    Args:
        profile: of the reference's windows.
        names: of the features.
        features: float32 (N, F) of these windows.
    """

    def __init__(self, profile: Profile, names: Sequence[str], features: NDArray[np.float32]) -> None:
        self.profile, self.names = profile, names
        self.cuts = edges(features)
        self.reference = self._shares([profile])
        self.own: dict[str, NDArray[np.float64]] = {}
        self.test = _whylogs_test()

    def learn(self, subject: str, history: Sequence[Profile]) -> None:
        """Take these as the subject's own history."""
        self.own[subject] = self._shares(history)

    def statistics(self, subject: str, day: Profile) -> dict[str, float]:
        """By rule the largest value over all features; `…_own`: against the subject's own history."""
        shares, own = self._shares([day]), self.own[subject]
        found = {name: float(rule(shares, self.reference).max()) for name, rule in RULES.items()}
        return found | {f"{name}_own": float(rule(shares, own).max()) for name, rule in RULES.items()}

    def alarms(self, day: Profile) -> bool:
        """Whether whylogs' KS test of any column gives p < 0.05."""
        return any(self._p_value(day, name) < 0.05 for name in self.names)

    def _shares(self, profiles: Sequence[Profile]) -> NDArray[np.float64]:
        return profile_shares(profiles, self.names, self.cuts, ())

    def _p_value(self, day: Profile, name: str) -> float:
        score = self.test.calculate(day.view.get_column(name), self.profile.view.get_column(name))
        return float(score.pvalue) if score is not None else 1.0


def _whylogs_test() -> Any:
    """whylogs' KS test; its package imports IPython, of which the test itself needs nothing."""
    missing = [name for name in ("IPython", "IPython.core", "IPython.core.display") if name not in sys.modules]
    for name in missing:
        sys.modules[name] = types.ModuleType(name)
        sys.modules[name].__dict__.update(HTML=object, display=object)
    from whylogs.viz.drift.column_drift_algorithms import KS

    for name in missing:  # matplotlib asks whether it runs inside IPython
        del sys.modules[name]
    return KS()
