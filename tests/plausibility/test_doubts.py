"""Windows in the wrong unit are doubted; real movements of the built-in sample are not."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from har import plausibility
from har.plausibility import CODES, Doubts
from har.sample import sample_recordings
from har.settings import STANDARD_GRAVITY

RATE_HZ, LENGTH = 50, 200
DOUBTS = Doubts(units=("m/s^2",) * 3 + ("rad/s",) * 3, rate_hz=RATE_HZ, length=LENGTH)


@pytest.fixture(scope="module")
def windows() -> np.ndarray:
    """Every second of the sample's windows: float32 (N, 200, 6), m/s² and rad/s."""
    found = []
    for one in sample_recordings()[::3]:
        values = np.hstack([one.accel_g * STANDARD_GRAVITY, one.gyro_rad_s]).astype(np.float32)
        found += [values[at : at + LENGTH] for at in range(0, len(values) - LENGTH + 1, LENGTH)]
    return np.stack(found)


def resting(count: int = 30) -> np.ndarray:
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 1, (count, LENGTH, 6)) * np.array([0.02] * 3 + [0.004] * 3)
    return np.asarray(np.array([0.3, 0.2, 9.79, 0.02, -0.01, 0.01]) + noise, np.float32)


def scaled(windows: np.ndarray, *, acceleration: float = 1, turns: float = 1) -> np.ndarray:
    return windows * np.array([acceleration] * 3 + [turns] * 3, np.float32)


def without_gravity(windows: np.ndarray) -> np.ndarray:
    total = windows.copy()
    total[:, :, :3] -= windows[:, :, :3].mean(axis=1, keepdims=True)
    return total


def codes(windows: np.ndarray) -> list[str]:
    return [doubt.code for doubt in DOUBTS.of(windows)]


def test_gravity_is_the_same_everywhere() -> None:
    assert plausibility.GRAVITY == STANDARD_GRAVITY


def test_no_window_of_the_sample_is_doubted(windows: np.ndarray) -> None:
    assert [at for at in range(len(windows)) if codes(windows[at : at + 1])] == []
    assert codes(windows[:64]) == []
    assert codes(resting()) == []


@pytest.mark.parametrize(
    ("spoil", "code", "words"),
    [
        (lambda w: scaled(w, acceleration=1 / STANDARD_GRAVITY), "accelerometer_unit", "look like g"),
        (lambda w: scaled(w, acceleration=1000 / STANDARD_GRAVITY), "accelerometer_unit", "look like mg"),
        (without_gravity, "gravity", "Gravity seems to be removed"),
        (lambda w: scaled(w, turns=180 / np.pi), "gyroscope_unit", "look like deg/s"),
    ],
    ids=["g", "mg", "no gravity", "deg/s"],
)
def test_a_wrong_unit_is_doubted_in_nearly_every_window(
    windows: np.ndarray, spoil: Callable[[np.ndarray], np.ndarray], code: str, words: str
) -> None:
    assert code in CODES
    for good in (windows, resting()):
        found = [DOUBTS.of(one[None]) for one in spoil(good)]
        named = [doubts for doubts in found if any(doubt.code == code and words in doubt.text for doubt in doubts)]
        assert len(named) >= 0.97 * len(found)
        assert [doubt.code for doubt in DOUBTS.of(spoil(good)[:16])] == [code]


def test_a_gyroscope_that_is_off_while_the_device_moves(windows: np.ndarray) -> None:
    assert codes(scaled(windows[:16], turns=0)) == ["gyroscope_off"]
    assert codes(scaled(resting(), turns=0)) == []


def test_three_seconds_at_rest_decide_as_at_import() -> None:
    feet = scaled(resting(1), acceleration=3.28084)
    (doubt,) = DOUBTS.of(feet)
    assert (doubt.code, doubt.where) == ("accelerometer_unit", "accelerometer")
    assert "6.86 to 12.7" in doubt.expected and "at rest" in doubt.expected
    assert doubt.got == "32.1"


def test_sensors_without_three_axes_are_not_judged(windows: np.ndarray) -> None:
    for units in (("m/s^2",) * 2, ("rad/s",) * 3, ("hPa",)):
        doubts = Doubts(units=units, rate_hz=RATE_HZ, length=LENGTH)
        assert doubts.of(np.zeros((1, LENGTH, len(units)), np.float32)) == ()
    assert DOUBTS.of(windows[:0]) == ()


@pytest.mark.parametrize(("rate_hz", "length"), [(50.0, 1), (50.0, 4), (2000.0, 16), (1.0, 10), (20.0, 200)])
def test_windows_of_any_length_and_rate(rate_hz: float, length: int) -> None:
    doubts = Doubts(units=("m/s^2",) * 3 + ("rad/s",) * 3, rate_hz=rate_hz, length=length)
    good = np.tile(resting(1)[:, :1], (3, length, 1))
    assert doubts.of(good) == ()
    assert [doubt.code for doubt in doubts.of(scaled(good, acceleration=1 / STANDARD_GRAVITY))] == [
        "accelerometer_unit"
    ]
