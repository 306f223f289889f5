"""The fallback rule: the activities that it distinguishes, its refusals, and its JSON form."""

from __future__ import annotations

import copy
import json
from typing import Any

import numpy as np
import pytest

from har.errors import ModelError, NotEnoughDataError, WindowError
from har.inference import MagnitudeRule

UNITS = ("m/s^2",) * 3 + ("rad/s",) * 3
ACTIVITIES = ("SIT", "WALK", "RUN", "ROW")


def windows_of(activity: int, count: int, *, seed: int = 0, length: int = 50) -> np.ndarray:
    """Rest, slow and fast movement in any orientation, float32 (count, length, 6)."""
    rng = np.random.default_rng([seed, activity])
    strength = (0.05, 2.0, 8.0, 4.0)[activity]
    turn = 2 * np.pi * (0.5 + activity) * np.arange(length)[:, None] / 50
    moving = strength * np.sin(turn + rng.uniform(0, 6, (count, 1, 6)))
    gravity = rng.normal(size=(count, 1, 3))
    gravity *= 9.8 / np.linalg.norm(gravity, axis=2, keepdims=True)
    return (moving + np.concatenate([gravity, np.zeros((count, 1, 3))], 2) + rng.normal(0, 0.02, moving.shape)).astype(
        np.float32
    )


def learn(*, classes: tuple[int, ...] = (0, 1, 2), seed: int = 0) -> MagnitudeRule:
    windows = np.concatenate([windows_of(label, 40, seed=seed) for label in classes])
    return MagnitudeRule.fit(windows, np.repeat(classes, 40), units=UNITS, activities=ACTIVITIES)


@pytest.fixture(scope="module")
def rule() -> MagnitudeRule:
    return learn()


def test_tells_rest_from_slow_and_fast_movement_however_the_device_is_mounted(rule: MagnitudeRule) -> None:
    for label in range(3):
        probabilities = rule.predict(windows_of(label, 100, seed=7))
        assert (probabilities.argmax(axis=1) == label).mean() > 0.95


def test_probabilities_are_float32_and_sum_to_one(rule: MagnitudeRule) -> None:
    probabilities = rule.predict(windows_of(1, 5))
    assert probabilities.shape == (5, 4)
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-6)


def test_a_class_without_training_windows_is_never_answered(rule: MagnitudeRule) -> None:
    assert rule.prior[3] == 0
    assert (rule.predict(np.concatenate([windows_of(label, 20, seed=3) for label in range(4)]))[:, 3] == 0).all()


def test_it_is_gaussian_naive_bayes_with_the_classes_shares_as_prior() -> None:
    from sklearn.naive_bayes import GaussianNB

    labels = np.repeat([0, 1, 2], [60, 30, 10])
    rng = np.random.default_rng(5)
    level = rng.normal([1.0, 2.0, 4.0], 1.0, (100, 3))[np.arange(100), labels]
    windows = (level[:, None, None] + rng.normal(0, 1, (100, 30, 1))).astype(np.float32)
    rule = MagnitudeRule.fit(windows, labels, units=("m/s^2",), activities=("a", "b", "c"))
    magnitude = np.abs(windows[:, :, 0].astype(float))
    numbers = np.stack([magnitude.mean(1), np.log(magnitude.std(1))], axis=1)
    expected = GaussianNB().fit(numbers, labels).predict_proba(numbers)
    np.testing.assert_allclose(rule.predict(windows), expected, atol=1e-5)


def test_windows_without_a_label_are_ignored(rule: MagnitudeRule) -> None:
    windows = np.concatenate([windows_of(label, 40) for label in (0, 1, 2, 3)])
    other = MagnitudeRule.fit(windows, np.repeat([0, 1, 2, -1], 40), units=UNITS, activities=ACTIVITIES)
    assert other.to_json() == rule.to_json()


def test_many_windows_answer_as_one_by_one(rule: MagnitudeRule) -> None:
    windows = np.concatenate([windows_of(label, 700, seed=9) for label in range(3)])
    together = rule.predict(windows)
    for row in (0, 1023, 1024, 2099):
        np.testing.assert_allclose(together[row], rule.predict(windows[row : row + 1])[0], rtol=1e-5, atol=1e-7)
    assert rule.predict(windows[:0]).shape == (0, 4)


def test_constant_and_huge_signals_have_an_answer(rule: MagnitudeRule) -> None:
    flat = np.zeros((2, 50, 6), np.float32)
    flat[1] = np.finfo(np.float32).max
    probabilities = rule.predict(flat)
    assert np.isfinite(probabilities).all()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-6)


def test_training_on_constant_signals_is_possible() -> None:
    windows = np.zeros((6, 20, 6), np.float32)
    windows[3:] = 5
    rule = MagnitudeRule.fit(windows, np.repeat([0, 1], 3), units=UNITS, activities=("off", "on"))
    assert rule.predict(windows).argmax(axis=1).tolist() == [0, 0, 0, 1, 1, 1]


def test_another_window_length_is_answered(rule: MagnitudeRule) -> None:
    assert rule.predict(windows_of(2, 10, length=200)).argmax(axis=1).tolist() == [2] * 10


@pytest.mark.parametrize("shape", [(1, 50, 5), (50, 6), (1, 0, 6)])
def test_other_shapes_are_refused(rule: MagnitudeRule, shape: tuple[int, ...]) -> None:
    with pytest.raises(WindowError, match=r"\(N, T, 6\).*got shape \("):
        rule.predict(np.zeros(shape, np.float32))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(rule: MagnitudeRule, value: float) -> None:
    window = windows_of(0, 2)
    window[1, 3, 4] = value
    with pytest.raises(WindowError, match="finite values"):
        rule.predict(window)


@pytest.mark.parametrize("labels", [[0, 1], [0, 1, 4], [0, 1, -2]])
def test_labels_without_a_name_or_a_window_are_refused(labels: list[int]) -> None:
    with pytest.raises(WindowError, match=r"labels: expected shape \(3,\) of indices from -1 to 3"):
        MagnitudeRule.fit(windows_of(0, 3), np.array(labels), units=UNITS, activities=ACTIVITIES)


@pytest.mark.parametrize("count", [0, 3])
def test_no_labelled_window_is_too_few(count: int) -> None:
    with pytest.raises(NotEnoughDataError, match="labelled windows"):
        MagnitudeRule.fit(windows_of(0, count), np.full(count, -1), units=UNITS, activities=ACTIVITIES)


def test_the_rule_is_read_back_exactly_from_json(rule: MagnitudeRule) -> None:
    again = MagnitudeRule.from_json(json.loads(json.dumps(rule.to_json())))
    windows = windows_of(1, 30, seed=2)
    assert (again.predict(windows) == rule.predict(windows)).all()
    assert (again.units, again.activities) == (UNITS, ACTIVITIES)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"mean": [[0.0]]}, "mean of shape"),
        ({"mean": [[0.0] * 3, [0.0] * 4]}, "inhomogeneous"),
        ({"prior": [0.5, 0.5, float("nan"), 0]}, "prior"),
        ({"prior": [-0.5, 0.5, 0.5, 0.5]}, "prior"),
        ({"prior": [0, 0, 0, 0]}, "a prior of 0 for every activity"),
        ({"spread": [[0.0] * 4] * 4}, "spread"),
        ({"spread": None}, "spread"),
        ({"activities": "SIT"}, "'SIT' as activities"),
        ({"units": []}, "as units"),
    ],
)
def test_a_broken_rule_is_refused(rule: MagnitudeRule, change: dict[str, Any], words: str) -> None:
    with pytest.raises(ModelError, match=f"(?s)here: expected units.*{words}.*har package"):
        MagnitudeRule.from_json(copy.deepcopy(rule.to_json()) | change, where="here")


@pytest.mark.parametrize(("values", "words"), [(None, "NoneType"), ([], "list"), ({}, "no 'units'")])
def test_no_rule_is_refused(values: object, words: str) -> None:
    with pytest.raises(ModelError, match=words):
        MagnitudeRule.from_json(values)
