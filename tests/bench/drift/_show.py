"""Figures in, a table and a picture out."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from rich.table import Table

from tests.bench.drift._days import Judged
from tests.bench.drift._figures import METHODS, RATES, curve

COLOURS = {"ours": "#0b6e99", "ks": "#b5541c", "psi": "#7a7a7a", "hellinger": "#5b8c3a"}
LABELS = {"ours": "ours", "ks": "Kolmogorov", "psi": "PSI", "hellinger": "Hellinger"}


def table(figures: dict[str, float | int | None], faults: list[str]) -> Table:
    """Per fault: power on one subject's day and of the day's report, delay, and areas under the curves."""
    quiet = (
        f"{figures['undrifted_days']} undrifted subject-days: false alarms {_percent(figures['false_alarm_rate'])} "
        f"({_percent(figures['false_alarm_low'])} – {_percent(figures['false_alarm_high'])}), "
        f"whylogs' KS {_percent(figures['ks_false_alarm_rate'])}, "
        f"PSI > 0.2 {_percent(figures['psi_false_alarm_rate'])}, "
        f"Hellinger > 0.4 {_percent(figures['hellinger_false_alarm_rate'])}; "
        f"reports {_percent(figures['report_false_alarm_rate'])} of {figures['reports']}"
    )
    found = Table(title=quiet, caption="Areas: mean power at false-alarm rates up to 10 %, thresholds swept.")
    for name in ("fault", "one subject", "report", "delay, days", *LABELS.values(), "shortfall"):
        found.add_column(name, justify="left" if name == "fault" else "right")
    for fault in faults:
        delay = figures[f"delay_days_{fault}"]
        found.add_row(
            fault,
            _percent(figures[f"power_{fault}"]),
            _percent(figures[f"report_power_{fault}"]),
            "–" if delay is None else f"{delay:g}",
            *(f"{figures[f'auc_{method}_{fault}']:.3f}" for method in METHODS),
            f"{figures[f'shortfall_{fault}']:.3f}",
        )
    found.add_row("mean", "", "", "", *(f"{figures[f'auc_{method}']:.3f}" for method in METHODS), "")
    return found


def _percent(value: float | int | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"


def picture(judged: Judged, path: Path) -> None:
    """Power against the false-alarm rate, a panel per fault, as SVG."""
    faults = list(judged.delays)
    columns = min(5, len(faults))
    rows = -(-len(faults) // columns)
    with mpl.rc_context({"svg.hashsalt": "har", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(2.6 * columns, 2.4 * rows), layout="constrained")
        panels = np.ravel(figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False))
        for panel, fault in zip(panels, faults, strict=False):
            panel.plot(100 * RATES, 100 * RATES, color="#cccccc", linewidth=0.8)
            for method in reversed(METHODS):
                panel.plot(
                    100 * RATES,
                    100 * curve(judged, fault, method),
                    color=COLOURS[method],
                    linewidth=2.2 if method == "ours" else 1.2,
                    label=LABELS[method],
                )
            panel.set_title(fault, fontsize=9)
            panel.set_ylim(0, 103)
            panel.grid(color="#eeeeee")
        for panel in panels[len(faults) :]:
            panel.set_visible(False)
        panels[0].legend(frameon=False, fontsize=8)
        figure.supxlabel("false alarms on undrifted subject-days, %")
        figure.supylabel("subject-days with the fault that alarm, %")
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, format="svg", metadata={"Date": None})
