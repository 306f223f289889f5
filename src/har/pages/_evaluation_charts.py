"""An evaluation in, pictures out: inline SVG whose colours and fonts are the page's, so that both themes fit.

matplotlib lays out and measures; the colours it draws with are stand-ins for CSS variables.
"""

from __future__ import annotations

import io
import re
import warnings
from html import escape
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from har.evaluation import Evaluation

INK, MUTED, GRID, ACCENT, ON_ACCENT, SECOND = (f"#0{digit}0{digit}0{digit}" for digit in range(1, 7))
_VARIABLES = {
    INK: "--ink",
    MUTED: "--muted",
    GRID: "--grid",
    ACCENT: "--accent",
    ON_ACCENT: "--on-accent",
    SECOND: "--second",
}
_STYLE: Any = {
    "svg.hashsalt": "har",
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.size": 12,
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": GRID,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "lines.linewidth": 2.2,
    "lines.solid_capstyle": "round",
}
_CROWDED = 10
"""More activities than this: cells show counts alone, and names below the matrix stand upright."""


def pictures(evaluation: Evaluation, champion: Evaluation | None = None) -> dict[str, str]:
    """The report's pictures as SVG elements: confusion, subjects, reliability and abstention."""
    # Whatever a user's matplotlibrc says, equal figures give equal bytes.
    with mpl.rc_context(), warnings.catch_warnings():
        # The browser's fonts draw the text; a sign that matplotlib's own font lacks is not missing there.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        return {
            "confusion": _svg(_confusion(evaluation), "confusion", _describe_confusion(evaluation)),
            "subjects": _svg(_subjects(evaluation, champion), "subjects", _describe_subjects(evaluation)),
            "reliability": _svg(_reliability(evaluation), "reliability", _describe_reliability(evaluation)),
            "abstention": _svg(_abstention(evaluation), "abstention", _describe_abstention(evaluation)),
        }


def _figure(width: float, height: float) -> Figure:
    """A figure of so many CSS pixels."""
    return Figure(figsize=(width / 72, height / 72), layout="constrained")


def _confusion(evaluation: Evaluation) -> Figure:
    counts = np.array(evaluation.confusion)
    names, classes = evaluation.activities, len(evaluation.activities)
    share = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    crowded = classes > _CROWDED
    side = 560 if not crowded else min(900, 150 + 42 * classes)
    figure = _figure(side, side * 0.9)
    axes: Axes = figure.subplots()
    for row, column in np.ndindex(classes, classes):
        value, strong = share[row, column], share[row, column] > 0.75
        axes.add_patch(Rectangle((column - 0.47, row - 0.47), 0.94, 0.94, facecolor=GRID, alpha=0.35, linewidth=0))
        if not counts[row, column]:
            continue
        axes.add_patch(
            Rectangle((column - 0.47, row - 0.47), 0.94, 0.94, facecolor=ACCENT, alpha=0.12 + 0.88 * value, linewidth=0)
        )
        ink = ON_ACCENT if strong else INK
        text: dict[str, Any] = {"ha": "center", "va": "center", "color": ink}
        axes.text(column, row - (0 if crowded else 0.12), f"{counts[row, column]}", **text, fontsize=12)
        if not crowded:
            axes.text(column, row + 0.23, f"{100 * value:.0f} %", **text, fontsize=10)
    steep = crowded or max(map(len, names)) > 8
    axes.set_xticks(range(classes), names, rotation=45 if steep else 0, ha="right" if steep else "center")
    axes.set_yticks(range(classes), names)
    axes.set(xlim=(-0.5, classes - 0.5), ylim=(classes - 0.5, -0.5), xlabel="Answer", ylabel="Truth")
    axes.spines[:].set_visible(False)
    return figure


def _subjects(evaluation: Evaluation, champion: Evaluation | None) -> Figure:
    rows = sorted(evaluation.subjects, key=lambda row: (-row.accuracy, row.subject))
    former = {row.subject: row.accuracy for row in champion.subjects} if champion else {}
    figure = _figure(560, 110 + 30 * len(rows))
    axes: Axes = figure.subplots()
    place = np.arange(len(rows))
    axes.barh(place, [100 * row.accuracy for row in rows], height=0.62, color=ACCENT, alpha=0.85)
    for y, row in enumerate(rows):
        axes.text(101.5, y, f"{100 * row.accuracy:.1f} %", va="center", fontsize=11)
    marked = [y for y, row in enumerate(rows) if row.subject in former]
    if marked:
        axes.plot(
            [100 * former[rows[y].subject] for y in marked], marked, "D", color=SECOND, markersize=7, clip_on=False
        )
    axes.axvspan(100 * evaluation.accuracy_low, 100 * evaluation.accuracy_high, color=INK, alpha=0.1, linewidth=0)
    axes.axvline(100 * evaluation.accuracy, color=INK, linewidth=1.4, linestyle=(0, (5, 3)))
    axes.text(
        100 * evaluation.accuracy,
        -0.75,
        f"all {100 * evaluation.accuracy:.1f} %",
        ha="center",
        va="bottom",
        fontsize=11,
    )
    axes.set_yticks(place, [row.subject for row in rows])
    axes.set(xlim=(0, 100), ylim=(len(rows) - 0.4, -0.7), xlabel="Accuracy, %")
    axes.set_xticks(range(0, 101, 20))
    # Room for the figures right of the bars, which constrained layout would otherwise clip to the axes.
    axes.text(114, 0, " ", fontsize=11)
    axes.grid(axis="x")
    axes.spines["left"].set_visible(False)
    return figure


def _reliability(evaluation: Evaluation) -> Figure:
    figure = _figure(560, 480)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3.2, 1))
    width = 100 * (evaluation.reliability[0].high - evaluation.reliability[0].low)
    filled = [row for row in evaluation.reliability if row.confidence is not None and row.accuracy is not None]
    upper.plot([0, 100], [0, 100], color=INK, linewidth=1.4, linestyle=(0, (5, 3)))
    upper.bar(
        [100 * row.low for row in filled],
        [100 * (row.accuracy or 0) for row in filled],
        width=0.92 * width,
        align="edge",
        color=ACCENT,
        alpha=0.85,
    )
    upper.plot(
        [100 * (row.confidence or 0) for row in filled],
        [100 * (row.accuracy or 0) for row in filled],
        "o",
        color=SECOND,
        clip_on=False,
    )
    upper.set(xlim=(0, 100), ylim=(0, 102), ylabel="Accuracy, %")
    total = sum(row.windows for row in evaluation.reliability)
    lower.bar(
        [100 * row.low for row in filled],
        [100 * row.windows / total for row in filled],
        width=0.92 * width,
        align="edge",
        color=MUTED,
        alpha=0.7,
    )
    lower.set(xlabel="Confidence, %", ylabel="Windows, %")
    for axes in (upper, lower):
        axes.grid(axis="y")
        axes.spines["left"].set_visible(False)
    figure.align_ylabels()
    return figure


def _abstention(evaluation: Evaluation) -> Figure:
    figure = _figure(560, 400)
    axes: Axes = figure.subplots()
    points = evaluation.abstention
    answered = [point for point in points if point.accuracy is not None]
    axes.plot(
        [100 * point.threshold for point in points],
        [100 * point.coverage for point in points],
        color=SECOND,
        linestyle=(0, (4, 2)),
        label="Answered",
    )
    axes.plot(
        [100 * point.threshold for point in answered],
        [100 * (point.accuracy or 0) for point in answered],
        color=ACCENT,
        label="Right among the answered",
    )
    axes.legend(loc="lower left", frameon=False)
    axes.set(
        xlim=(0, 100), ylim=(0, 102), xlabel="Answer only with this confidence or more, %", ylabel="Share of windows, %"
    )
    axes.grid()
    axes.spines["left"].set_visible(False)
    return figure


def _svg(figure: Figure, name: str, description: str) -> str:
    """The figure as one SVG element: described in words, ids of its own, colours and fonts of the page."""
    buffer = io.StringIO()
    figure.savefig(
        buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None, "Format": None, "Type": None}
    )
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    # A style element inside an SVG holds for the whole page; the page says the same for its pictures alone.
    text = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", text, count=1, flags=re.DOTALL)
    for colour, variable in _VARIABLES.items():
        text = re.sub(rf"\b(fill|stroke): {colour}\b", rf"\1: var({variable})", text)
    text = re.sub(r"font: ([\d.]+px) [^;\"]*", r"font-size: \1", text)
    text = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", text)
    width, height = figure.get_size_inches() * 72
    opening = (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" role="img" '
        f'aria-labelledby="{name}-description" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:g} {height:g}">\n <title id="{name}-description">{escape(description)}</title>'
    )
    return re.sub(r"<svg[^>]*>", lambda _: opening, text, count=1)


def _describe_confusion(evaluation: Evaluation) -> str:
    counts = np.array(evaluation.confusion)
    wrong = counts - np.diag(np.diag(counts))
    if not wrong.any():
        return "Confusion matrix: every window lies on the diagonal."
    row, column = np.unravel_index(wrong.argmax(), wrong.shape)
    names = evaluation.activities
    return (
        f"Confusion matrix of {len(names)} activities; the most frequent mistake is {names[row]} answered as "
        f"{names[column]}, {wrong[row, column]} of {counts[row].sum()} windows."
    )


def _describe_subjects(evaluation: Evaluation) -> str:
    rows = sorted(evaluation.subjects, key=lambda row: row.accuracy)
    return (
        f"Accuracy per subject, from {100 * rows[0].accuracy:.1f} % ({rows[0].subject}) to "
        f"{100 * rows[-1].accuracy:.1f} % ({rows[-1].subject}); {100 * evaluation.accuracy:.1f} % over all windows."
    )


def _describe_reliability(evaluation: Evaluation) -> str:
    return (
        "Accuracy against confidence in 15 bins; the expected calibration error is "
        f"{100 * evaluation.calibration_error:.1f} points."
    )


def _describe_abstention(evaluation: Evaluation) -> str:
    at = next(point for point in evaluation.abstention if point.threshold >= 0.8)
    reached = "" if at.accuracy is None else f", {100 * at.accuracy:.1f} % of them rightly"
    return (
        f"Coverage and accuracy against the confidence asked for; at 80 % confidence {100 * at.coverage:.1f} % of "
        f"the windows are answered{reached}."
    )
