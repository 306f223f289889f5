"""Judged days in, figures out: rates with intervals, power at our level, and areas under the curves up to 10 %.

Areas are compared at equal false alarms: every method's threshold is swept. Intervals are 95 % of a bootstrap over
subjects, whose days are drawn together.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tests.bench.drift._days import Judged
from tests.bench.drift._peers import RULES

PEERS = tuple(RULES)
"""Usual rules against the reference of other people."""
METHODS = ("ours", "others", *PEERS, *(f"{name}_own" for name in PEERS))
"""`others`: ours without own histories; `…_own`: the rules against the subject's own history."""
RATES = np.linspace(0.0025, 0.1, 40)
"""False-alarm rates at which methods are compared."""
DRAWS = 300
"""Of the bootstrap."""
Figures = dict[str, float | int | None]
Values = dict[str, NDArray[np.float64]]
"""By method the value of each subject-day."""


def values(judged: Judged, fault: str) -> Values:
    """Each method's values of all subject-days with this fault."""
    days = [one.values for one in judged.subjects if one.fault == fault]
    return {method: np.array([day[method] for day in days]) for method in METHODS}


def curve(quiet: NDArray[np.float64], faulty: NDArray[np.float64]) -> NDArray[np.float64]:
    """Power at each of `RATES`, the threshold swept."""
    thresholds = np.quantile(quiet, 1 - RATES, method="higher")
    return (faulty[:, None] > thresholds).mean(0)


def figures(judged: Judged) -> Figures:
    """The flat figures of one set in `reports/drift-bench.json`."""
    quiet = values(judged, "none")
    who = np.array([one.subject for one in judged.subjects if one.fault == "none"])
    found: Figures = {"undrifted_days": len(who), "own_histories": float(np.mean(judged.histories))}
    for name, method in (("", "ours"), ("others_", "others")):
        alarms = quiet[method] >= 1
        low, high = interval(alarms, who)
        found |= {f"{name}false_alarm_rate": float(alarms.mean())}
        found |= {f"{name}false_alarm_low": low, f"{name}false_alarm_high": high}
    found |= {
        "report_false_alarm_rate": float(np.mean(judged.reports["none"])),
        "report_others_false_alarm_rate": float(np.mean(judged.reports_others["none"])),
        "reports": len(judged.reports["none"]),
        "ks_false_alarm_rate": float(np.mean(judged.default)),
        "psi_false_alarm_rate": float((quiet["psi"] > 0.2).mean()),
        "hellinger_false_alarm_rate": float((quiet["hellinger"] > 0.4).mean()),
    }
    found |= _areas(judged, quiet, who)
    for fault, delays in judged.delays.items():
        faulty = values(judged, fault)
        found |= {
            f"power_{fault}": float((faulty["ours"] >= 1).mean()),
            f"power_others_{fault}": float((faulty["others"] >= 1).mean()),
            f"report_power_{fault}": float(np.mean(judged.reports[fault])),
            f"report_power_others_{fault}": float(np.mean(judged.reports_others[fault])),
            f"delay_days_{fault}": _finite(float(np.median(delays))),
            f"delay_days_others_{fault}": _finite(float(np.median(judged.delays_others[fault]))),
            f"within_2_days_{fault}": float(np.mean(np.array(delays) <= 2)),
        }
    for kind, days in judged.slow.items():
        found |= {
            f"slow_{kind}_days": _finite(float(np.median(days))),
            f"slow_{kind}_confirmed": float(np.mean(np.isfinite(days))),
        }
    return {name: round(value, 4) if isinstance(value, float) else value for name, value in found.items()}


def _areas(judged: Judged, quiet: Values, who: NDArray[np.str_]) -> Figures:
    """Areas of each method by fault and on average, and ours less the best usual rule's, with intervals."""
    faults = list(judged.delays)
    faulty = [values(judged, fault) for fault in faults]
    each = [np.array([one.subject for one in judged.subjects if one.fault == fault]) for fault in faults]
    areas = _table(quiet, faulty, [np.arange(len(who))] + [np.arange(len(one)) for one in each])
    names, random = np.unique(who), np.random.default_rng(0)
    rows = {name: [np.flatnonzero(one == name) for one in [who, *each]] for name in names}
    drawn = np.stack(
        [
            _table(quiet, faulty, [np.concatenate(part) for part in zip(*(rows[name] for name in chosen), strict=True)])
            for chosen in random.choice(names, (DRAWS, len(names)))
        ]
    )
    areas, drawn = (np.concatenate([one, one.mean(-2, keepdims=True)], axis=-2) for one in (areas, drawn))
    ours = METHODS.index("ours")
    peers = [METHODS.index(name) for name in PEERS]
    margin = areas[:, ours] - areas[:, peers].max(1)
    margins = drawn[..., ours] - drawn[..., peers].max(-1)
    found: Figures = {}
    for row, name in enumerate([*(f"_{fault}" for fault in faults), ""]):
        for column, method in enumerate(METHODS):
            low, high = np.quantile(drawn[:, row, column], (0.025, 0.975))
            found[f"auc_{method}{name}"] = float(areas[row, column])
            found |= {f"auc_{method}{name}_low": float(low), f"auc_{method}{name}_high": float(high)}
        low, high = np.quantile(margins[:, row], (0.025, 0.975))
        found |= {
            f"margin{name}": float(margin[row]),
            f"margin{name}_low": float(low),
            f"margin{name}_high": float(high),
        }
    return found


def _table(quiet: Values, faulty: Sequence[Values], rows: Sequence[NDArray[np.int64]]) -> NDArray[np.float64]:
    """Areas, float64 (faults, methods), of these subject-days: the undrifted ones, then those of each fault."""
    return np.array(
        [
            [curve(quiet[method][rows[0]], one[method][of]).mean() for method in METHODS]
            for one, of in zip(faulty, rows[1:], strict=True)
        ]
    )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


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
