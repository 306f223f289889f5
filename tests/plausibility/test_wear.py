"""Non-wear and calibration on synthetic recordings of which the truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from har.plausibility import EPOCH_US, Epochs, calibration, nonwear

RATE_HZ = 10
START_US = 1_700_000_000_000_000
HOUR_US = 3_600_000_000
GAIN, OFFSET_G = np.array([1.03, 0.97, 1.01]), np.array([0.02, -0.015, 0.03])


def stamps(hours: float, rate_hz: int = RATE_HZ) -> NDArray[np.int64]:
    return START_US + np.arange(round(hours * 3600 * rate_hz)) * (1_000_000 // rate_hz)


def worn(count: int, rng: np.random.Generator, *, turned: int = 3000, moves: float = 0.1) -> NDArray[np.float64]:
    """Acceleration in g of a wrist, (3, n): a new position every `turned` samples, and movement in half of them."""
    blocks = -(-count // turned)
    positions = rng.normal(size=(3, blocks))
    positions /= np.linalg.norm(positions, axis=0)
    values = np.repeat(positions, turned, axis=1)[:, :count]
    moving = np.repeat(rng.random(blocks) < 0.5, turned)[:count]
    return values + rng.normal(0, 0.004, values.shape) + moving * rng.normal(0, moves, values.shape)


def test_epochs_are_the_statistics_of_ten_seconds_whatever_the_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    times = stamps(0.5) + 3_210_000
    values = rng.normal([[9.8], [0], [-3]], 0.2, (3, len(times))).astype(np.float32)
    whole = Epochs.of(times, list(values), 1 / 9.8)
    monkeypatch.setattr("har.plausibility._epochs._ROWS", 777)
    parts = Epochs.of(times, list(values), 1 / 9.8)
    second = Epochs.of(times[9000:], list(values[:, 9000:]), 1 / 9.8)
    for name in ("number", "count", "mean", "sd", "low", "high"):
        np.testing.assert_allclose(getattr(parts, name), getattr(whole, name), rtol=1e-6)
    assert len(Epochs.joined([whole, second])) == len(whole)
    assert (Epochs.joined([second, whole]).count == whole.count).all()
    chosen = times // EPOCH_US == whole.number[5]
    np.testing.assert_allclose(whole.mean[5], values[:, chosen].mean(axis=1) / 9.8, rtol=1e-5)
    np.testing.assert_allclose(whole.sd[5], values[:, chosen].astype(float).std(axis=1) / 9.8, rtol=1e-4)
    assert (whole.high[5] == values[:, chosen].max(axis=1) * (1 / 9.8)).all()


def test_two_hours_on_a_table_are_found_to_the_quarter_of_an_hour() -> None:
    rng = np.random.default_rng(1)
    times = stamps(8)
    values = worn(len(times), rng)
    off = slice(3 * 3600 * RATE_HZ, 5 * 3600 * RATE_HZ)
    values[:, off] = np.array([[0.0], [0.0], [1.0]]) + rng.normal(0, 0.003, values[:, off].shape)
    ((start, end),) = nonwear(Epochs.of(times, list(values)))
    assert 0 <= start - (START_US + 3 * HOUR_US) <= HOUR_US // 4
    assert 0 <= START_US + 5 * HOUR_US - end <= HOUR_US // 4


def test_sleep_with_a_turn_every_half_hour_is_worn() -> None:
    rng = np.random.default_rng(2)
    times = stamps(8)
    values = worn(len(times), rng, turned=1800 * RATE_HZ, moves=0.0)
    assert nonwear(Epochs.of(times, list(values))) == []


def test_one_still_axis_is_not_enough_and_two_are() -> None:
    rng = np.random.default_rng(3)
    times = stamps(2)
    values = rng.normal(0, 0.003, (3, len(times)))
    values[2] += 1
    values[:2] += rng.normal(0, 0.1, (2, len(times)))
    assert nonwear(Epochs.of(times, list(values))) == []
    values[1] = rng.normal(0, 0.003, len(times))
    ((start, end),) = nonwear(Epochs.of(times, list(values)))
    assert end - start > 1.5 * HOUR_US


def test_less_than_an_hour_and_hours_that_are_mostly_missing_tell_nothing() -> None:
    rng = np.random.default_rng(4)
    times = stamps(3)
    values = rng.normal(0, 0.003, (3, len(times)))
    assert nonwear(Epochs.of(times[: len(times) // 5], list(values[:, : len(times) // 5]))) == []
    some = np.flatnonzero((times // 900_000_000) % 4 == 0)
    assert nonwear(Epochs.of(times[some], list(values[:, some]))) == []
    assert nonwear(Epochs.joined([])) == []


@pytest.mark.parametrize("gain", [GAIN, np.full(3, 1.03)])
@pytest.mark.parametrize("offset_g", [OFFSET_G, np.full(3, 0.02)])
def test_gain_and_offset_are_recovered_within_two_mg(gain: NDArray[np.float64], offset_g: NDArray[np.float64]) -> None:
    rng = np.random.default_rng(5)
    times = stamps(24)
    truth = worn(len(times), rng)
    measured = truth * gain[:, None] + offset_g[:, None]
    found = calibration(Epochs.of(times, list(measured)))
    assert found is not None
    assert found.usable
    assert found.gain is not None
    assert found.offset_mg is not None
    assert found.error_mg > 15
    assert found.after_mg is not None
    assert found.after_mg < 2
    corrected = measured * np.array(found.gain)[:, None] + np.array(found.offset_mg)[:, None] / 1000
    assert np.abs(corrected - truth).max() < 0.002
    np.testing.assert_allclose(found.gain, 1 / gain, atol=0.002)
    np.testing.assert_allclose(found.offset_mg, -1000 * offset_g / gain, atol=2)


def test_a_sensor_that_lies_in_few_positions_is_not_calibrated_and_one_that_never_rests_says_nothing() -> None:
    rng = np.random.default_rng(6)
    times = stamps(12)
    upright = worn(len(times), rng)
    upright[0] = np.abs(upright[0])
    found = calibration(Epochs.of(times, list(upright)))
    assert found is not None
    assert not found.usable
    assert found.gain is None
    assert "x within" in found.reason
    assert calibration(Epochs.of(times, list(rng.normal(0, 1, (3, len(times)))))) is None


def test_a_right_sensor_is_left_as_it_is_and_a_bent_one_is_no_use() -> None:
    rng = np.random.default_rng(7)
    times = stamps(24)
    truth = worn(len(times), rng)
    right = calibration(Epochs.of(times, list(truth)))
    assert right is not None
    assert right.error_mg < 1
    assert right.gain is not None
    np.testing.assert_allclose(right.gain, 1, atol=0.001)
    bent = truth.copy()
    bent[0] += 0.25 * truth[1] * truth[2] + 0.1 * np.sign(truth[1])  # no gain and offset mends it
    found = calibration(Epochs.of(times, list(bent)))
    assert found is not None
    assert not found.usable
    assert "mg is left" in found.reason or "smaller" in found.reason


def test_what_the_sensor_repeats_while_it_sleeps_is_no_rest() -> None:
    rng = np.random.default_rng(8)
    times = stamps(24)
    truth = worn(len(times), rng)
    for first in range(0, len(times), 20 * 60 * RATE_HZ):  # a quarter of the time it holds a value of a movement
        truth[:, first : first + 5 * 60 * RATE_HZ] = truth[:, first, None] * 1.2
    found = calibration(Epochs.of(times, list(truth)))
    assert found is not None
    assert found.error_mg < 1


@pytest.mark.release
def test_a_week_at_100_hz_takes_no_memory() -> None:
    import tracemalloc

    rng = np.random.default_rng(9)
    times = stamps(168, 100)
    axes = [np.tile(worn(len(times) // 168, rng)[axis].astype(np.float32), 168) for axis in range(3)]
    tracemalloc.start()
    epochs = Epochs.of(times, axes)
    nonwear(epochs)
    calibration(epochs)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 64 << 20
