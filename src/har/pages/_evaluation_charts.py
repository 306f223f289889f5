"""The charts of an evaluation: confusion matrix, subjects, reliability of the confidence, abstention."""

from __future__ import annotations

from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from har.evaluation import Evaluation
from har.pages._charts import ACCENT, GRID, INK, MUTED, ON_ACCENT, SECOND, new_figure, style, svg

_CROWDED = 10
"""With more activities than this, cells show counts alone, and names below the matrix are slanted."""


def pictures(evaluation: Evaluation, champion: Evaluation | None = None) -> dict[str, Markup]:
    """The report's charts as SVG elements: confusion, subjects, reliability and abstention."""
    with style():
        return {
            "confusion": svg(_confusion(evaluation), "confusion", _describe_confusion(evaluation)),
            "subjects": svg(_subjects(evaluation, champion), "subjects", _describe_subjects(evaluation)),
            "reliability": svg(_reliability(evaluation), "reliability", _describe_reliability(evaluation)),
            "abstention": svg(_abstention(evaluation), "abstention", _describe_abstention(evaluation)),
        }


def _confusion(evaluation: Evaluation) -> Figure:
    counts = np.array(evaluation.confusion)
    names, classes = evaluation.activities, len(evaluation.activities)
    share = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    crowded = classes > _CROWDED
    side = 560 if not crowded else min(900, 150 + 42 * classes)
    figure = new_figure(side, side * 0.9, layout="constrained")
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
    axes.set(
        xlim=(-0.5, classes - 0.5), ylim=(classes - 0.5, -0.5), xlabel="Predicted activity", ylabel="True activity"
    )
    axes.spines[:].set_visible(False)
    return figure


def _subjects(evaluation: Evaluation, champion: Evaluation | None) -> Figure:
    rows = sorted(evaluation.subjects, key=lambda row: (-row.accuracy, row.subject))
    former = {row.subject: row.accuracy for row in champion.subjects} if champion else {}
    figure = new_figure(560, 110 + 30 * len(rows), layout="constrained")
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
    figure = new_figure(560, 480, layout="constrained")
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
    figure = new_figure(560, 400, layout="constrained")
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
        label="Correct among the answered",
    )
    axes.legend(loc="lower left", frameon=False)
    axes.set(xlim=(0, 100), ylim=(0, 102), xlabel="Least confidence to answer, %", ylabel="Share of windows, %")
    axes.grid()
    axes.spines["left"].set_visible(False)
    return figure


def _describe_confusion(evaluation: Evaluation) -> str:
    counts = np.array(evaluation.confusion)
    wrong = counts - np.diag(np.diag(counts))
    if not wrong.any():
        return "Confusion matrix: every window is classified correctly."
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
    reached = "" if at.accuracy is None else f", {100 * at.accuracy:.1f} % of them correctly"
    return (
        f"Coverage and accuracy against the confidence threshold; at 80 % confidence {100 * at.coverage:.1f} % of "
        f"the windows are answered{reached}."
    )
