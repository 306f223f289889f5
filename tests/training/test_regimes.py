"""Two distributions in one training: separate classes inside, equal weight, one probability per activity outside."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from har.inference import Classifier
from har.training import FitOptions, export, fit
from har.training._regimes import MOST_REPEATS, joint_windows

TRAIN, CHECK, UNSEEN = ("s00", "s01", "s02", "s03"), ("s04",), ("s05",)


def two_regimes(make_windows, signal):
    """The windows, and three times as many of them with the first sensor mounted upside down."""
    windows = make_windows(signal, seconds=12)
    turned = windows.samples.copy()
    turned[:, :2] *= -1
    rows = np.arange(len(windows))
    again = np.tile(rows, 3)
    both = replace(
        windows,
        samples=np.concatenate((windows.samples, turned)),
        **{
            name: np.concatenate((getattr(windows, name), getattr(windows, name)[again]))
            for name in ("labels", "segments", "subjects", "recordings", "dates")
        },
        starts=np.concatenate((windows.starts, windows.starts[again] + len(windows.samples))),
    )
    return both, np.repeat([0, 1], [len(rows), len(again)])


@pytest.mark.parametrize("network", ["spectral", "dscnn"])
def test_the_file_gives_activities_in_either_regime(
    make_signal, make_windows, describe_model, tmp_path: Path, network: str
) -> None:
    signal = make_signal()
    windows, regimes = two_regimes(make_windows, signal)
    fitted = fit(
        windows,
        TRAIN,
        CHECK,
        signal=signal,
        options=FitOptions(network=network, epochs=6, batch_size=32, device="cpu"),
        regimes=regimes,
    )
    assert fitted.signal.activities == signal.activities
    assert fitted.train_windows == len(windows.for_subjects(TRAIN))
    assert fitted.validation_accuracy is not None
    assert fitted.validation_accuracy > 0.8
    model = export(fitted, tmp_path / "model.onnx", describe_model(fitted))
    unseen = windows.for_subjects(UNSEEN)
    probabilities = Classifier(model).predict(unseen.batch()).probabilities
    assert probabilities.shape == (len(unseen), len(signal.activities))
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    right = probabilities.argmax(axis=1) == unseen.labels
    regime = regimes[np.isin(windows.subjects, UNSEEN)]
    assert min(right[regime == 0].mean(), right[regime == 1].mean()) > 0.9


def test_a_single_regime_is_trained_as_if_none_was_given(make_signal, make_windows) -> None:
    signal = make_signal()
    windows = make_windows(signal, seconds=8)
    without, single = (
        fit(windows, TRAIN, CHECK, signal=signal, options=FitOptions(epochs=2, device="cpu"), regimes=regimes)
        for regimes in (None, np.ones(len(windows), int))
    )
    for one, other in zip(without.predict(windows.batch()), single.predict(windows.batch()), strict=True):
        np.testing.assert_array_equal(one, other)


def test_regimes_have_equal_weight_up_to_a_limit(make_signal, make_windows) -> None:
    windows = make_windows(make_signal(), seconds=20)
    count, few = len(windows), 7
    regimes = np.zeros(count, int)
    regimes[-count // 4 :] = 1
    joint = joint_windows(windows, regimes, 4, seed=0)
    shares = np.bincount(joint.labels // 4)
    assert shares[0] == shares[1] == count - (count + 3) // 4
    assert set(joint.labels // 4) == {0, 1}
    np.testing.assert_array_equal(np.unique(joint.labels % 4), np.unique(windows.labels))
    regimes[:] = 0
    regimes[:few] = 1
    assert np.bincount(joint_windows(windows, regimes, 4, seed=0).labels // 4)[1] == MOST_REPEATS * few
