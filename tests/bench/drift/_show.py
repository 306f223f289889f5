"""Figures in, tables and a picture out."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from rich.table import Table

from tests.bench.drift._days import Judged
from tests.bench.drift._figures import METHODS, RATES, Figures, curve, values

COLOURS = {"ours": "#0b6e99", "others": "#7fb3c8", "ks": "#b5541c", "psi": "#7a7a7a", "hellinger": "#5b8c3a"}
LABELS = {
    "ours": "ours",
    "others": "ours, others only",
    "ks": "Kolmogorov",
    "psi": "PSI",
    "hellinger": "Hellinger",
    "ks_own": "Kolmogorov, own",
    "psi_own": "PSI, own",
    "hellinger_own": "Hellinger, own",
}


def power(figures: Figures, faults: list[str]) -> Table:
    """Per fault: power at our alarm level on one subject's day and of the day's report, and delay."""
    quiet = (
        f"{figures['undrifted_days']} undrifted subject-days, {_percent(figures['own_histories'])} of subjects with an "
        f"own history: false alarms {_percent(figures['false_alarm_rate'])} "
        f"({_percent(figures['false_alarm_low'])} – {_percent(figures['false_alarm_high'])}), without own histories "
        f"{_percent(figures['others_false_alarm_rate'])}, whylogs' KS {_percent(figures['ks_false_alarm_rate'])}, "
        f"PSI > 0.2 {_percent(figures['psi_false_alarm_rate'])}, "
        f"Hellinger > 0.4 {_percent(figures['hellinger_false_alarm_rate'])}; "
        f"reports {_percent(figures['report_false_alarm_rate'])} "
        f"({_percent(figures['report_others_false_alarm_rate'])}) of {figures['reports']}"
    )
    slow = "; ".join(
        f"{kind.replace('_', ' ')}: confirmed after {_days(figures[f'slow_{kind}_days'])} days, "
        f"{_percent(figures[f'slow_{kind}_confirmed'])} within 30"
        for kind in ("after_quiet_days", "from_the_first_day")
    )
    found = Table(title=quiet, caption=f"A gain that grows by 1 % a day, {slow}. In brackets: without own histories.")
    for name in ("fault", "one subject", "report", "delay, days", "within 2 days"):
        found.add_column(name, justify="left" if name == "fault" else "right")
    for fault in faults:
        found.add_row(
            fault,
            f"{_percent(figures[f'power_{fault}'])} ({_percent(figures[f'power_others_{fault}'])})",
            f"{_percent(figures[f'report_power_{fault}'])} ({_percent(figures[f'report_power_others_{fault}'])})",
            f"{_days(figures[f'delay_days_{fault}'])} ({_days(figures[f'delay_days_others_{fault}'])})",
            _percent(figures[f"within_2_days_{fault}"]),
        )
    return found


def areas(figures: Figures, faults: list[str]) -> Table:
    """Per fault: the area of each method, and by how much ours exceeds the best usual rule."""
    caption = (
        "Areas: mean power at false-alarm rates up to 10 %, thresholds swept, chance 0.05. Margin: ours less the best "
        "of Kolmogorov, PSI and Hellinger against others. 95 % intervals over subjects."
    )
    found = Table(caption=caption)
    for name in ("fault", *LABELS.values(), "margin"):
        found.add_column(name, justify="left" if name == "fault" else "right")
    for fault in [*faults, ""]:
        end = f"_{fault}" if fault else ""
        found.add_row(
            fault or "mean",
            f"{figures[f'auc_ours{end}']:.3f} ({figures[f'auc_ours{end}_low']:.2f} – "
            f"{figures[f'auc_ours{end}_high']:.2f})",
            *(f"{figures[f'auc_{method}{end}']:.3f}" for method in METHODS[1:]),
            f"{figures[f'margin{end}']:+.3f} ({figures[f'margin{end}_low']:+.2f} – "
            f"{figures[f'margin{end}_high']:+.2f})",
        )
    return found


def _percent(value: float | int | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"


def _days(value: float | int | None) -> str:
    return "–" if value is None else f"{value:g}"


def picture(judged: Judged, path: Path) -> None:
    """Power against the false-alarm rate, a panel per fault, as SVG."""
    faults = list(judged.delays)
    columns = min(5, len(faults))
    rows = -(-len(faults) // columns)
    quiet = values(judged, "none")
    with mpl.rc_context({"svg.hashsalt": "har", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(2.6 * columns, 2.4 * rows), layout="constrained")
        panels = np.ravel(figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False))
        for panel, fault in zip(panels, faults, strict=False):
            panel.plot(100 * RATES, 100 * RATES, color="#cccccc", linewidth=0.8)
            faulty = values(judged, fault)
            for method in reversed(COLOURS):
                panel.plot(
                    100 * RATES,
                    100 * curve(quiet[method], faulty[method]),
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
