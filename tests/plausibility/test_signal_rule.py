"""Which windows have no signal: sensors that are off, stuck or at their limit, and none that a person moved."""

from __future__ import annotations

import numpy as np
import pytest

from har.plausibility import SignalRule
from har.sample import sample_recordings

RATE_HZ, LENGTH = 50, 200
UNITS = ("m/s^2",) * 3 + ("rad/s",) * 3
FULL_SCALES = (16 * 9.80665,) * 3 + (34.9,) * 3
RULE = SignalRule(units=UNITS, rate_hz=RATE_HZ, length=LENGTH, full_scales=FULL_SCALES)


def moving(count: int = 20, *, seed: int = 0) -> np.ndarray:
    """Windows of a vigorous movement, float32 (count, 200, 6)."""
    rng = np.random.default_rng(seed)
    time_s = np.arange(LENGTH)[None, :, None] / RATE_HZ
    pace = rng.uniform(0.5, 3, (count, 1, 1))
    waves = np.sin(2 * np.pi * pace * time_s + rng.uniform(0, 6, (count, 1, 6)))
    windows = np.array([0, 0, 9.8, 0, 0, 0]) + waves * np.array([6, 6, 6, 2, 2, 2])
    return np.asarray(windows + rng.normal(0, 0.02, windows.shape), np.float32)


def lying(count: int = 20, *, lsb: float = 0.0, seed: int = 0) -> np.ndarray:
    """Windows of a device that lies on a table: gravity and the noise of a good sensor, in steps of `lsb` m/s²."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(0, 1, (count, LENGTH, 6)) * np.array([0.01] * 3 + [0.002] * 3)
    windows = np.array([0.2, -0.3, 9.79, 0.01, 0, 0]) + noise
    if lsb:
        windows[:, :, :3] = np.round(windows[:, :, :3] / lsb) * lsb
    return np.asarray(windows, np.float32)


def test_movement_and_rest_have_a_signal() -> None:
    assert not RULE.absent(moving(200)).any()
    assert not RULE.absent(lying(200)).any()


@pytest.mark.parametrize("lsb", [0.0006, 0.0048, 0.0196])  # 16 bit at 2 g and at 16 g, 12 bit at 4 g
def test_a_resting_device_with_a_coarse_sensor_has_a_signal(lsb: float) -> None:
    assert not RULE.absent(lying(200, lsb=lsb)).any()


def test_the_built_in_sample_has_a_signal_everywhere() -> None:
    for recording in sample_recordings():
        values = np.hstack([recording.accel_g * 9.80665, recording.gyro_rad_s]).astype(np.float32)
        windows = np.stack([values[at : at + LENGTH] for at in range(0, len(values) - LENGTH + 1, LENGTH // 2)])
        assert not RULE.absent(windows).any()


@pytest.mark.parametrize("value", ["zero", "last"])
@pytest.mark.parametrize(("samples", "absent"), [(200, True), (100, True), (98, False), (20, False)])
def test_a_sensor_that_is_off_for_half_of_the_window(value: str, samples: int, absent: bool) -> None:
    windows = moving()
    off = LENGTH - samples
    windows[:, off:] = 0 if value == "zero" else windows[:, max(0, off - 1)][:, None]
    assert (RULE.absent(windows) == absent).all()


def test_pauses_add_up_and_their_place_does_not_matter() -> None:
    windows = moving()
    windows[:, 10:65] = windows[:, 10:11]
    windows[:, 120:175] = windows[:, 120:121]
    assert RULE.absent(windows).all()
    windows = moving()
    windows[:, 60:165] = windows[:, 60:61]
    assert RULE.absent(windows).all()


def test_values_held_for_less_than_a_second_are_a_slower_sensor() -> None:
    held = np.repeat(moving()[:, ::10], 10, axis=1)  # 5 Hz, sent as 50 Hz
    assert held.shape == (20, LENGTH, 6)
    assert not RULE.absent(held).any()


def test_rounding_after_resampling_does_not_hide_a_stuck_sensor() -> None:
    windows = np.tile(moving()[:, :1], (1, LENGTH, 1))
    rounding = np.random.default_rng(1).integers(-2, 3, windows.shape) * np.spacing(windows)
    assert RULE.absent(windows + rounding).all()


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_an_axis_that_is_dead_while_others_move(axis: int) -> None:
    windows = moving()
    windows[:, :, axis] = 1.25
    assert RULE.absent(windows).all()
    resting = lying()
    resting[:, :, axis] = 1.25  # as a coarse sensor reads at rest
    assert not RULE.absent(resting).any()


def test_a_coarse_axis_at_rest_before_a_movement_is_not_dead() -> None:
    windows = lying(lsb=0.15)
    windows[:, 120:] = moving()[:, 120:]
    windows[:, :120, 1] += np.where(np.arange(120) % 30 == 0, 0.15, 0.0).astype(np.float32)[None]
    windows[:, :120, 0] = 0.15
    assert not RULE.absent(windows).any()


def test_a_gyroscope_writes_zero_below_a_threshold() -> None:
    windows = lying()
    windows[:, :, 3:] = 0
    assert not RULE.absent(windows).any()
    windows[:, :, 5] = 0.3
    assert RULE.absent(windows).all()


def test_clipped_peaks_are_a_vigorous_movement_and_a_sensor_at_its_limit_is_not() -> None:
    limit = np.float32(16 * 9.80665)
    vigorous = moving()
    vigorous[:, :, 0] = np.clip(vigorous[:, :, 0] * 30, -limit, limit)
    clipped = (np.abs(vigorous[:, :, 0]) == limit).mean(axis=1)
    assert (clipped > 0.05).any()
    assert (RULE.absent(vigorous) == (clipped >= 0.5)).all()
    rails = moving()
    rails[:, :, 1] = np.where(np.arange(LENGTH) % 2, limit, -limit)
    assert RULE.absent(rails).all()


def test_one_bad_window_does_not_change_the_others() -> None:
    windows = moving(64)
    windows[7] = 0
    windows[40, :, :3] = windows[40, :1, :3]
    assert np.flatnonzero(RULE.absent(windows)).tolist() == [7, 40]
    assert [bool(RULE.absent(windows[at : at + 1])[0]) for at in (6, 7, 8, 40)] == [False, True, False, True]


@pytest.mark.parametrize(("rate_hz", "length"), [(20.0, 200), (25.0, 25), (50.0, 16), (100.0, 256), (50.0, 1)])
def test_other_rates_and_lengths(rate_hz: float, length: int) -> None:
    rule = SignalRule(units=UNITS, rate_hz=rate_hz, length=length, full_scales=FULL_SCALES)
    values = np.random.default_rng(0).normal(0, 3, (5, length, 6)).astype(np.float32)
    assert not rule.absent(values).any()
    assert rule.absent(np.zeros((0, length, 6), np.float32)).shape == (0,)
    if length > 1:
        assert rule.absent(np.zeros((5, length, 6), np.float32)).all()


def test_further_channels_may_be_constant() -> None:
    rule = SignalRule(units=(*UNITS, "hPa"), rate_hz=RATE_HZ, length=LENGTH, full_scales=(*FULL_SCALES, 3.4e38))
    pressure = np.full((20, LENGTH, 1), 1013.25, np.float32)
    assert not rule.absent(np.concatenate([moving(), pressure], axis=2)).any()
    assert rule.absent(np.concatenate([0 * moving(), pressure], axis=2)).all()


@pytest.mark.parametrize(
    ("rate_hz", "length", "stride"), [(50.0, 200, 100), (50.0, 128, 7), (20.0, 37, 37), (50.0, 1, 1)]
)
def test_windows_that_share_samples_get_the_same_answers(rate_hz: float, length: int, stride: int) -> None:
    rule = SignalRule(units=UNITS, rate_hz=rate_hz, length=length, full_scales=FULL_SCALES)
    rng = np.random.default_rng(int(length))
    samples = np.concatenate([*moving(30, seed=1), *lying(20, lsb=0.05)])
    for _ in range(60):
        first, count = int(rng.integers(0, len(samples))), int(rng.integers(5, 300))
        axes = (
            rng.permutation(6)[: rng.integers(1, 4)] if rng.random() < 0.5 else [[0, 1, 2], [3, 4, 5]][rng.integers(2)]
        )
        held = [samples[first], FULL_SCALES, np.zeros(6)][rng.integers(3)]
        for axis in axes:
            samples[first : first + count, axis] = held[axis] + rng.choice([0, 2e-6]) * rng.normal(0, 1)
    starts = np.arange(0, len(samples) - length + 1, stride)
    windows = samples[starts[:, None] + np.arange(length)]
    expected = rule.absent(windows)
    assert (rule.absent_in(samples, starts) == expected).all()
    assert length == 1 or 0 < expected.sum() < len(expected)
    assert rule.absent_in(samples[:0], starts[:0]).shape == (0,)
