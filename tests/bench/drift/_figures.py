"""Judged days in, figures out: rates with intervals, power at our level, and areas under the curves up to 10 %."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from tests.bench.drift._days import Judged

METHODS = ("ours", "ks", "psi", "hellinger")
RATES = np.linspace(0.0025, 0.1, 40)
"""False-alarm rates at which methods are compared."""


def values(judged: Judged, fault: str, method: str) -> NDArray[np.float64]:
    """One method's values of all subject-days with this fault."""
    return np.array([getattr(one, method) for one in judged.subjects if one.fault == fault])


def curve(judged: Judged, fault: str, method: str) -> NDArray[np.float64]:
    """Power at each of `RATES`, the threshold swept."""
    quiet = values(judged, "none", method)
    thresholds = np.quantile(quiet, 1 - RATES, method="higher")
    return (values(judged, fault, method)[:, None] > thresholds).mean(0)


def figures(judged: Judged) -> dict[str, float | int | None]:
    """The flat figures of `reports/drift-bench.json`."""
    ours = values(judged, "none", "ours") >= 1
    who = np.array([one.subject for one in judged.subjects if one.fault == "none"])
    low, high = interval(ours, who)
    found: dict[str, float | int | None] = {
        "undrifted_days": len(ours),
        "false_alarm_rate": float(ours.mean()),
        "false_alarm_low": low,
        "false_alarm_high": high,
        "report_false_alarm_rate": float(np.mean(judged.reports["none"])),
        "reports": len(judged.reports["none"]),
        "ks_false_alarm_rate": float(np.mean(judged.default)),
        "psi_false_alarm_rate": float((values(judged, "none", "psi") > 0.2).mean()),
        "hellinger_false_alarm_rate": float((values(judged, "none", "hellinger") > 0.4).mean()),
    }
    curves = {fault: {method: curve(judged, fault, method) for method in METHODS} for fault in judged.delays}
    for method in METHODS:
        found[f"auc_{method}"] = float(np.mean([one[method].mean() for one in curves.values()]))
    for fault, one in curves.items():
        best = np.max([one[method] for method in METHODS[1:]], axis=0)
        delay = float(np.median(judged.delays[fault]))
        found |= {
            f"power_{fault}": float((values(judged, fault, "ours") >= 1).mean()),
            f"report_power_{fault}": float(np.mean(judged.reports[fault])),
            f"delay_days_{fault}": delay if math.isfinite(delay) else None,
            f"shortfall_{fault}": float(np.max(best - one["ours"])),
        }
        found |= {f"auc_{method}_{fault}": float(one[method].mean()) for method in METHODS}
    return {name: round(value, 4) if isinstance(value, float) else value for name, value in found.items()}


def interval(alarms: NDArray[np.bool_], subjects: NDArray[np.str_]) -> tuple[float, float]:
    """95 % interval of a rate: of Wilson's (1927) and of the bootstrap over subjects the wider end on either side.

    A subject that stands out does so on all its days, which Wilson's interval does not know; and without any alarm the
    bootstrap is blind.
    """
    n, rate, z = len(alarms), float(alarms.mean()), 1.96
    centre = (rate + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(rate * (1 - rate) / n + z * z / (4 * n * n))
    names = np.unique(subjects)
    per_subject = np.array([alarms[subjects == name].mean() for name in names])
    drawn = np.random.default_rng(0).integers(len(names), size=(4000, len(names)))
    ends = np.quantile(per_subject[drawn].mean(1), (0.025, 0.975))
    return max(0.0, min(centre - half, float(ends[0]))), max(centre + half, float(ends[1]))
