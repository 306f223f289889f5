"""Counts by subject, against scikit-learn on the windows themselves."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score

from har.tuning import compare, count, figure, interval


@pytest.fixture
def answers() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(3)
    labels = generator.integers(0, 3, 400)
    answers = np.where(generator.random(400) < 0.7, labels, generator.integers(0, 4, 400))
    return labels, answers, np.array([f"s{number % 7}" for number in range(400)])


def test_figures_are_scikit_learns(answers) -> None:
    """Activity 3 is answered and never true, activity 4 is neither."""
    labels, said, subjects = answers
    counts = count(labels, said, subjects, 5)
    total = np.sum(list(counts.values()), axis=0)
    assert total.sum() == 400
    assert figure(total, "accuracy") == pytest.approx(accuracy_score(labels, said))
    assert figure(total, "macro_f1") == pytest.approx(f1_score(labels, said, average="macro"))
    one = subjects == "s3"
    assert figure(counts["s3"], "macro_f1") == pytest.approx(f1_score(labels[one], said[one], average="macro"))


def test_an_interval_holds_its_figure_and_grows_with_how_people_differ(answers) -> None:
    labels, said, subjects = answers
    alike = interval(count(labels, said, subjects, 5), "accuracy")
    assert alike.low < alike.value < alike.high
    said = np.where(subjects == "s3", (labels + 1) % 3, said)
    unlike = interval(count(labels, said, subjects, 5), "accuracy")
    assert unlike.high - unlike.low > 1.5 * (alike.high - alike.low)


def test_a_difference_is_paired(answers) -> None:
    """People differ much, and the second configuration is a little better for each of them."""
    labels, _, subjects = answers
    generator = np.random.default_rng(5)
    able = 0.4 + 0.08 * np.array([int(name[1:]) for name in subjects])
    luck = generator.random(400)
    worse, better = (count(labels, np.where(luck < able + more, labels, 3), subjects, 4) for more in (0, 0.08))
    change = compare(better, worse, "accuracy")
    assert 0 < change.low <= change.value <= change.high
    assert interval(better, "accuracy").low < interval(worse, "accuracy").high, "unpaired, they cannot be told apart"
    assert (change.subjects, change.better) == (7, 7)
    assert vars(compare(worse, worse, "macro_f1")) == {"value": 0, "low": 0, "high": 0, "subjects": 7, "better": 0}
    with pytest.raises(ValueError, match="other subjects"):
        compare({"s0": worse["s0"]}, worse, "accuracy")
