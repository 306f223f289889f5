"""Answers in, the figures of a table's row out; differences are paired over subjects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from har.evaluation import RESAMPLES, Outcome, evaluate
from har.evaluation import _metrics as metrics
from har.evaluation._bootstrap import bootstrap_figures
from tests.bench.quality._data import Data
from tests.bench.quality._measure import Measured, Speed

_INTERVAL = (2.5, 97.5)


def row(data: Data, measured: Measured, default: Measured, speed: Speed, default_speed: Speed) -> dict[str, Any]:
    """All figures of one peer on one set, as JSON values; shares from 0 to 1."""
    evaluation = evaluate(measured.outcomes)
    flat = evaluation.flat()
    groups = group_macro_f1(data, measured.outcomes)
    return {
        "peer": measured.peer.name,
        "what": measured.peer.what,
        **{
            name: flat[name]
            for name in ("accuracy", "accuracy_low", "accuracy_high", "macro_f1", "macro_f1_low", "macro_f1_high")
        },
        "least_recall": flat["least_recall"],
        "least_subject_accuracy": flat["least_subject_accuracy"],
        "group_macro_f1": float(np.mean(groups)),
        "group_macro_f1_std": float(np.std(groups, ddof=1)),
        **paired(measured.outcomes, default.outcomes),
        "seeds": len(measured.outcomes),
        "train_s": measured.seconds,
        "one_us": speed.one_us,
        "one_ratio": speed.one_us / default_speed.one_us,
        "batch_us": speed.batch_us,
        "batch_ratio": speed.batch_us / default_speed.batch_us,
        "mb": measured.peer.size(measured.model) / 1e6,
        "recall": {one.activity: one.recall for one in evaluation.classes},
        "subjects": {one.subject: one.accuracy for one in evaluation.subjects},
    }


def paired(outcomes: Sequence[Outcome], default: Sequence[Outcome]) -> dict[str, float]:
    """The default's accuracy and macro-F1 minus the peer's, with 95 % intervals; the same subjects are drawn for both.

    Each resample of subjects gives both figures of both; an interval is that of their differences.
    """
    ours, theirs = (_tallies(runs) for runs in (default, outcomes))
    drawn = bootstrap_figures(ours, resamples=RESAMPLES, seed=0) - bootstrap_figures(
        theirs, resamples=RESAMPLES, seed=0
    )
    found = {}
    for number, (name, of) in enumerate((("accuracy", metrics.accuracy), ("macro_f1", metrics.macro_f1))):
        totals = [np.mean([of(_total(one)) for one in runs]) for runs in (ours, theirs)]
        low, high = np.percentile(drawn[number], _INTERVAL)
        found |= {
            f"{name}_gain": float(totals[0] - totals[1]),
            f"{name}_gain_low": float(low),
            f"{name}_gain_high": float(high),
        }
    return found


def group_macro_f1(data: Data, outcomes: Sequence[Outcome]) -> list[float]:
    """Macro-F1 of each fold over all activities, 0 for one without a window or an answer, the mean over seeds.

    As WHAR Arena counts: its macro-F1 of a group divides by all activities, and its figure is the mean over groups.
    """
    found = []
    for fold in range(len(data.folds)):
        chosen = data.fold_of == fold
        values = []
        for outcome in outcomes:
            alone = np.zeros(int(chosen.sum()), np.int64)
            classes = len(outcome.activities)
            counts = metrics.confusion_by_subject(outcome.labels[chosen], outcome.answers[chosen], alone, classes)
            values.append(float(metrics.f1(metrics.tally(counts[0])).mean()))
        found.append(float(np.mean(values)))
    return found


def _tallies(outcomes: Sequence[Outcome]) -> list[metrics.Tally]:
    found = []
    for outcome in outcomes:
        _, subject = np.unique(outcome.subjects, return_inverse=True)
        counts = metrics.confusion_by_subject(outcome.labels, outcome.answers, subject, len(outcome.activities))
        found.append(metrics.tally(counts))
    return found


def _total(counts: metrics.Tally) -> metrics.Tally:
    return metrics.Tally(*(part.sum(axis=0) for part in counts))
