"""Every figure against scikit-learn, a construction or a simulation."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter
from run_support import in_processes
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, precision_recall_fscore_support

from har.engine import Each, in_threads
from har.errors import EvaluationError, NotEnoughDataError
from har.evaluation import Evaluation, Outcome, bootstrap_mean, evaluate
from har.evaluation._bootstrap import blocks_of, resample_subjects

MakeOutcome = Callable[..., Outcome]


@pytest.mark.parametrize("seed", range(3))
def test_agrees_with_scikit_learn(outcome: MakeOutcome, seed: int) -> None:
    given = outcome(seed, skill=1.5)
    judged = evaluate(given, resamples=50)
    assert judged.accuracy == pytest.approx(accuracy_score(given.labels, given.answers))
    assert judged.macro_f1 == pytest.approx(f1_score(given.labels, given.answers, average="macro"))
    np.testing.assert_array_equal(judged.confusion, confusion_matrix(given.labels, given.answers))
    table = np.array([(row.precision, row.recall, row.f1, row.support) for row in judged.classes], float)
    np.testing.assert_allclose(table.T, precision_recall_fscore_support(given.labels, given.answers))
    for row in judged.subjects:
        own = given.subjects == row.subject
        assert row.windows == own.sum()
        assert row.accuracy == pytest.approx(accuracy_score(given.labels[own], given.answers[own]))
        present = np.unique(given.labels[own])
        assert row.macro_f1 == pytest.approx(
            f1_score(given.labels[own], given.answers[own], labels=present, average="macro")
        )


def test_macro_f1_counts_the_activities_present(certain: MakeOutcome) -> None:
    """Nobody performed c or d: neither a wrong answer c nor the absence of d adds a zero of its own."""
    judged = evaluate(certain([0, 0, 1, 1], [0, 2, 1, 1], ["s1", "s1", "s2", "s2"], ("a", "b", "c", "d")))
    assert judged.macro_f1 == pytest.approx((2 / 3 + 1) / 2)
    third, fourth = judged.classes[2:]
    assert (third.precision, third.recall, third.f1, third.support) == (0.0, None, None, 0)
    assert (fourth.precision, fourth.recall, fourth.f1, fourth.support) == (None, None, None, 0)


def test_class_that_is_never_answered(certain: MakeOutcome) -> None:
    judged = evaluate(certain([0, 0, 1, 1], [0, 0, 0, 0], ["s1", "s2", "s1", "s2"], ("a", "b")))
    never = judged.classes[1]
    assert (never.precision, never.recall, never.f1) == (None, 0.0, 0.0)
    assert judged.macro_f1 == pytest.approx((2 / 3 + 0) / 2)
    assert judged.flat()["least_recall"] == 0


def test_class_of_one_subject_only(certain: MakeOutcome) -> None:
    """Resamples without that subject have no such class; the interval stays finite and every class keeps its row."""
    judged = evaluate(certain([0, 0, 0, 0, 1, 1], [0, 0, 0, 0, 1, 0], ["s1", "s1", "s2", "s2", "s3", "s3"], ("a", "b")))
    assert 0 <= judged.macro_f1_low <= judged.macro_f1 <= judged.macro_f1_high <= 1
    assert judged.macro_f1_high == 1.0
    assert judged.classes[1].support == 2


def test_the_weakest_recordings_are_named_with_their_most_frequent_error() -> None:
    """One recording of a good subject was made with the sensor turned."""
    activities = ("sit", "lie", "walk")
    labels = np.array([0] * 20 + [2] * 20 + [0] * 20)
    answers = np.array([0] * 20 + [2] * 20 + [1] * 9 + [2] * 2 + [0] * 9)
    recordings = np.repeat(["2024-05-06 s01 a", "2024-05-06 s01 b", "2024-05-07 s01 a"], 20)
    given = Outcome(labels, np.eye(3, dtype=np.float32)[answers], np.repeat(["s01", "s02", "s01"], 20), activities)
    assert evaluate(given).weakest == ()
    named = replace(given, recordings=recordings)
    # Two runs count every window once.
    first, second, third = evaluate([named, named]).weakest
    assert (first.recording, first.windows, first.accuracy) == ("2024-05-07 s01 a", 20, 0.45)
    assert (first.activity, first.answer, first.share) == ("sit", "lie", 0.45)
    assert [(one.accuracy, one.activity) for one in (second, third)] == [(1.0, None), (1.0, None)]
    (only,) = evaluate(named.select(recordings == "2024-05-07 s01 a")).weakest
    assert only == first
    with pytest.raises(EvaluationError, match="a recording for each of 60 windows"):
        replace(given, recordings=recordings[:5])


def test_interval_of_one_subject_is_the_point(outcome: MakeOutcome) -> None:
    judged = evaluate(outcome(subjects=1, windows=90))
    assert (judged.accuracy_low, judged.accuracy_high) == (judged.accuracy, judged.accuracy)
    assert (judged.macro_f1_low, judged.macro_f1_high) == (judged.macro_f1, judged.macro_f1)


def test_interval_is_over_subjects_not_windows(certain: MakeOutcome) -> None:
    """Two subjects, all right and all wrong, a thousand windows each: the next subject may be either."""
    labels, subjects = [0] * 2000, ["s1"] * 1000 + ["s2"] * 1000
    judged = evaluate(certain(labels, [0] * 1000 + [1] * 1000, subjects, ("a", "b")))
    assert (judged.accuracy_low, judged.accuracy, judged.accuracy_high) == (0.0, 0.5, 1.0)


def test_interval_weighs_subjects_by_their_windows() -> None:
    """The vectorised bootstrap equals drawing the windows of the drawn subjects one resample at a time."""
    generator = np.random.default_rng(4)
    sizes = (5, 40, 12)
    subjects = np.repeat(["s1", "s2", "s3"], sizes)
    labels = generator.integers(0, 3, len(subjects))
    answers = np.where(generator.random(len(subjects)) < 0.6, labels, (labels + 1) % 3)
    given = Outcome(labels, np.eye(3, dtype=np.float32)[answers], subjects, ("a", "b", "c"))
    judged = evaluate(given, resamples=4000, seed=1)
    rows = [np.flatnonzero(subjects == name) for name in ("s1", "s2", "s3")]
    draws = []
    for _ in range(1500):
        drawn = np.concatenate([rows[index] for index in generator.integers(0, 3, 3)])
        true, said = labels[drawn], answers[drawn]
        f1 = [2 * ((true == k) & (said == k)).sum() / ((true == k).sum() + (said == k).sum()) for k in np.unique(true)]
        draws.append(((true == said).mean(), np.mean(f1)))
    low, high = np.percentile(draws, (2.5, 97.5), axis=0)
    assert (judged.accuracy_low, judged.macro_f1_low) == pytest.approx(low, abs=0.02)
    assert (judged.accuracy_high, judged.macro_f1_high) == pytest.approx(high, abs=0.02)


def test_interval_covers_the_truth() -> None:
    """Subjects drawn from a known population: the 95 % interval of 20 of them holds its mean about that often.

    A percentile bootstrap is a little too narrow for few subjects; an interval over windows would cover under 60 %.
    """
    generator = np.random.default_rng(7)
    subjects, each, trials, truth = 20, 40, 150, 0.8
    names = np.repeat([f"s{index:02d}" for index in range(subjects)], each)
    labels = np.zeros(len(names), np.int64)
    covered = 0
    for trial in range(trials):
        skill = generator.beta(8, 2, subjects)
        answers = (generator.random(len(names)) >= np.repeat(skill, each)).astype(int)
        judged = evaluate(
            Outcome(labels, np.eye(2, dtype=np.float32)[answers], names, ("a", "b")), resamples=400, seed=trial
        )
        covered += judged.accuracy_low <= truth <= judged.accuracy_high
    assert 0.87 <= covered / trials <= 0.99


def test_bootstrap_of_a_mean_resamples_subjects(outcome: MakeOutcome) -> None:
    """The accuracy's interval is that of the mean of correct answers."""
    given = outcome()
    judged = evaluate(given, seed=3)
    assert bootstrap_mean(given.correct, given.subjects, (2.5, 97.5), seed=3) == pytest.approx(
        (judged.accuracy_low, judged.accuracy_high)
    )
    few = given.select(given.subjects < "s02")
    assert bootstrap_mean(few.correct, few.subjects, (5.0,)) is None


@pytest.mark.parametrize(
    "each", [in_threads, pytest.param(in_processes, marks=[pytest.mark.stack, pytest.mark.release])]
)
def test_a_large_bootstrap_is_the_same_wherever_its_blocks_are_drawn(
    each: Each, outcome: MakeOutcome, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("har.evaluation._bootstrap.BLOCK", 1000)
    given = outcome()
    travelled: list[int] = []

    def watched(function: Callable[[Any], Any], parts: Sequence[Any]) -> Iterator[Any]:
        travelled.append(len(parts))
        return each(function, parts)

    here = evaluate(given, resamples=10_050, seed=3)
    assert here == evaluate(given, resamples=10_050, seed=3, each=watched)
    (parts,) = travelled
    assert parts > 2
    # Few resamples stay here, and a block's seed is not that of another.
    assert evaluate(given, resamples=100, each=watched) == evaluate(given, resamples=100)
    assert len(travelled) == 1
    subjects = len(np.unique(given.subjects))
    first, second = blocks_of(subjects, 2000)[:2]
    assert (resample_subjects(subjects, first, 3) != resample_subjects(subjects, second, 3)).any()
    assert sum(block.resamples for block in blocks_of(subjects, 10_050)) == 10_050
    mean = bootstrap_mean(given.correct, given.subjects, (2.5, 97.5), resamples=10_050, seed=3)
    assert mean == pytest.approx((here.accuracy_low, here.accuracy_high))


def _confident(confidence: np.ndarray, right: np.ndarray) -> Outcome:
    probabilities = np.stack([confidence, 1 - confidence], axis=1).astype(np.float32)
    return Outcome(np.where(right, 0, 1), probabilities, np.full(len(right), "s1"), ("a", "b"))


def test_calibrated_answers_have_no_calibration_error() -> None:
    confidence = np.repeat([0.6, 0.7, 0.75, 0.9], 1000)
    right = np.concatenate([np.arange(1000) < 1000 * value for value in (0.6, 0.7, 0.75, 0.9)])
    judged = evaluate(_confident(confidence, right), resamples=1)
    assert judged.calibration_error == pytest.approx(0, abs=1e-6)


def test_overconfidence_is_the_calibration_error() -> None:
    """Always 95 % sure, right in 70 %: the error is 25 points, all in one bin."""
    judged = evaluate(_confident(np.full(1000, 0.95), np.arange(1000) < 700), resamples=1)
    assert judged.calibration_error == pytest.approx(0.25, abs=1e-6)
    filled = [row for row in judged.reliability if row.windows]
    assert len(judged.reliability) == 15
    assert [(row.windows, row.confidence, row.accuracy) for row in filled] == [(1000, pytest.approx(0.95), 0.7)]
    assert filled[0].low < 0.95 <= filled[0].high


def test_certainty_falls_into_the_last_bin(certain: MakeOutcome) -> None:
    judged = evaluate(certain([0, 1], [0, 1], ["s1", "s1"], ("a", "b")))
    assert judged.reliability[-1].windows == 2
    assert judged.calibration_error == 0


def test_abstention_curve(outcome: MakeOutcome) -> None:
    given = outcome(skill=1.5)
    judged = evaluate(given, resamples=1)
    coverage = [point.coverage for point in judged.abstention]
    assert coverage[0] == 1.0
    assert judged.abstention[0].accuracy == pytest.approx(judged.accuracy)
    assert all(later <= earlier for earlier, later in pairwise(coverage))
    point = next(point for point in judged.abstention if point.threshold == 0.5)
    answered = given.confidence >= 0.5
    assert point.coverage == pytest.approx(answered.mean())
    assert point.accuracy == pytest.approx((given.answers == given.labels)[answered].mean())


def test_abstention_answers_a_window_at_the_threshold() -> None:
    """As scoring does: less than the threshold abstains, the threshold itself does not."""
    judged = evaluate(_confident(np.full(10, 0.7), np.ones(10, bool)), resamples=1)
    at = {round(point.threshold, 2): point for point in judged.abstention}
    assert (at[0.7].coverage, at[0.7].accuracy) == (1.0, 1.0)
    assert (at[0.71].coverage, at[0.71].accuracy) == (0.0, None)


def test_runs_are_averaged(outcome: MakeOutcome) -> None:
    runs = [outcome(seed, skill=1.5) for seed in range(3)]
    judged, each = evaluate(runs), [evaluate(run) for run in runs]
    assert judged.accuracy == pytest.approx(np.mean([one.accuracy for one in each]))
    assert judged.macro_f1 == pytest.approx(np.mean([one.macro_f1 for one in each]))
    assert (judged.runs, judged.windows) == (3, 600)
    assert sum(map(sum, judged.confusion)) == 1800
    assert [row.support for row in judged.classes] == [row.support for row in each[0].classes]
    assert [row.windows for row in judged.subjects] == [row.windows for row in each[0].subjects]
    assert judged.accuracy_low < judged.accuracy < judged.accuracy_high


def test_same_seed_same_figures(outcome: MakeOutcome) -> None:
    assert evaluate(outcome(), seed=3) == evaluate(outcome(), seed=3)
    assert evaluate(outcome(), seed=3).accuracy_low != evaluate(outcome(), seed=4).accuracy_low


def test_order_of_windows_does_not_matter(outcome: MakeOutcome) -> None:
    given = outcome()
    order = np.random.default_rng(0).permutation(len(given))
    shuffled = Outcome(given.labels[order], given.probabilities[order], given.subjects[order], given.activities)
    assert evaluate(shuffled).accuracy_low == evaluate(given).accuracy_low


def test_survives_json(outcome: MakeOutcome) -> None:
    judged = evaluate(outcome())
    plain = judged.to_json()
    text = json.dumps(plain, allow_nan=False)
    assert json.loads(text) == plain
    assert TypeAdapter(Evaluation).validate_json(text) == judged


def test_flat_is_flat(outcome: MakeOutcome) -> None:
    judged = evaluate(outcome())
    assert judged.flat()["accuracy"] == judged.accuracy
    assert judged.flat()["least_subject_accuracy"] == min(row.accuracy for row in judged.subjects)
    assert all(isinstance(value, int | float) for value in judged.flat().values())


def test_nothing_to_judge(outcome: MakeOutcome) -> None:
    empty = outcome(windows=0)
    assert len(empty.answers) == len(empty.confidence) == 0
    with pytest.raises(NotEnoughDataError, match="at least one labelled window"):
        evaluate(empty)
    with pytest.raises(NotEnoughDataError):
        evaluate([])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": np.array([0, -1])}, "expected labels from 0 to 1, but got -1"),
        ({"labels": np.array([0, 2])}, "expected labels from 0 to 1, but got 2"),
        ({"labels": np.array([0])}, r"expected probabilities \(1, 2\)"),
        ({"subjects": np.array(["s1"])}, r"subjects \(2,\)"),
        ({"probabilities": np.array([[1, 0], [np.nan, 1]], np.float32)}, "window 1 of subject s2"),
        ({"activities": ("a", "b", "c")}, "3 activities"),
    ],
)
def test_what_does_not_fit_is_refused(certain: MakeOutcome, change: dict[str, object], message: str) -> None:
    with pytest.raises(EvaluationError, match=message):
        replace(certain([0, 1], [0, 1], ["s1", "s2"], ("a", "b")), **change)  # type: ignore[arg-type]


def test_outcomes_of_other_activities_do_not_mix(certain: MakeOutcome) -> None:
    first = certain([0], [0], ["s1"], ("a", "b"))
    with pytest.raises(EvaluationError, match="the same activities"):
        evaluate([first, certain([0], [0], ["s1"], ("a", "c"))])
    with pytest.raises(EvaluationError, match="runs of one evaluation"):
        evaluate([first, certain([0, 0], [0, 0], ["s1", "s1"], ("a", "b"))])
