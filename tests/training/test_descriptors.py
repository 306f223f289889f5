"""Every descriptor compared with numpy or scipy."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
import scipy.signal
import scipy.stats
import torch
from numpy.typing import NDArray

from har.settings import load_settings
from har.training import Signal
from har.training._descriptors import FLOOR, Descriptors
from har.training._spectrum import BAND_EDGES_HZ

MakeSignal = Callable[..., Signal]
RATE_HZ, LENGTH = 50.0, 200


@pytest.fixture(scope="module")
def described(make_signal: MakeSignal) -> tuple[NDArray[np.float32], dict[str, NDArray[np.float32]]]:
    signal = make_signal(length=LENGTH, rate_hz=RATE_HZ)
    generator = np.random.default_rng(3)
    time = np.arange(LENGTH)[None, :, None] / RATE_HZ
    pace = generator.uniform(0.3, 9.0, (5, 1, 6))
    window = 3 * np.sin(2 * np.pi * pace * time + pace) + generator.normal(0, 1, (5, LENGTH, 6))
    window[..., 2] += 9.81
    window = window.astype(np.float32)
    return window, _describe(signal, window)


def _describe(signal: Signal, window: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    module = Descriptors(signal)
    values = module(torch.from_numpy(window)).numpy()
    assert values.shape == (len(window), len(module.names))
    return dict(zip(module.names, values.T, strict=True))


def _series(window: NDArray[np.float32], name: str) -> NDArray[np.float64]:
    wide = window.astype(np.float64)
    every = {
        "accel_x": wide[..., 0],
        "gyro_z": wide[..., 5],
        "accel_norm": np.linalg.norm(wide[..., :3], axis=-1),
        "gyro_norm": np.linalg.norm(wide[..., 3:], axis=-1),
    }
    return every[name]


@pytest.mark.parametrize("name", ["accel_x", "gyro_z", "accel_norm", "gyro_norm"])
def test_moments_are_those_of_numpy_and_scipy(described, name) -> None:
    window, features = described
    series = _series(window, name)
    expected = {
        "mean": series.mean(1),
        "log_var": np.log(series.var(1) + FLOOR),
        "min": series.min(1),
        "max": series.max(1),
        "mad": np.abs(series - series.mean(1, keepdims=True)).mean(1),
        "skew": scipy.stats.skew(series, axis=1),
        "kurtosis": scipy.stats.kurtosis(series, axis=1, fisher=False),
    }
    for kind, value in expected.items():
        np.testing.assert_allclose(features[f"{name}.{kind}"], value, rtol=5e-3, atol=1e-3, err_msg=kind)


@pytest.mark.parametrize("length", [200, 129, 8])
def test_halves_are_described_on_their_own_and_in_their_order(make_signal: MakeSignal, length: int) -> None:
    window = np.random.default_rng(length).normal(2, 3, (4, length, 6)).astype(np.float32)
    window[:, length // 2 :] += 5
    features = _describe(make_signal(length=length, rate_hz=RATE_HZ), window)
    for name in ("accel_x", "gyro_norm"):
        series, half = _series(window, name), length - length // 2
        for part, values in (("first", series[:, :half]), ("second", series[:, length - half :])):
            expected = {
                "mean": values.mean(1),
                "log_var": np.log(values.var(1) + FLOOR),
                "min": values.min(1),
                "max": values.max(1),
            }
            for kind, value in expected.items():
                np.testing.assert_allclose(features[f"{name}.{part}_{kind}"], value, rtol=1e-3, atol=1e-3)
        np.testing.assert_allclose(features[f"{name}.mean"], series.mean(1), rtol=1e-3)
        np.testing.assert_allclose(features[f"{name}.skew"], scipy.stats.skew(series, axis=1), atol=1e-2)


@pytest.mark.parametrize("name", ["accel_x", "gyro_norm"])
def test_band_power_is_the_periodograms(described, name) -> None:
    window, features = described
    hz, power = scipy.signal.periodogram(_series(window, name), RATE_HZ, scaling="spectrum")
    shares = []
    for low, high in pairwise(BAND_EDGES_HZ):
        # The mean (bin 0) is no movement, and the last band includes its upper border.
        inside = (hz > 0) & (hz >= low) & ((hz < high) | (high == 25.0))
        inside &= hz <= high
        band = power[:, inside].sum(1)
        shares.append(band + FLOOR)
        np.testing.assert_allclose(features[f"{name}.band_{low:g}_{high:g}hz"], np.log(band + FLOOR), atol=2e-3)
    total = np.sum(shares, 0)
    np.testing.assert_allclose(features[f"{name}.entropy"], scipy.stats.entropy(np.array(shares) / total), atol=1e-3)


@pytest.mark.parametrize("length", [128, 129, 8])
def test_a_window_that_cannot_be_folded_has_the_same_spectrum(make_signal: MakeSignal, length: int) -> None:
    window = np.random.default_rng(length).normal(0, 2, (4, length, 6)).astype(np.float32)
    features = _describe(make_signal(length=length, rate_hz=RATE_HZ), window)
    for channel, name in ((0, "accel_x"), (5, "gyro_z")):
        hz, power = scipy.signal.periodogram(window[..., channel].astype(np.float64), RATE_HZ, scaling="spectrum")
        jerk = (power * (2 - 2 * np.cos(2 * np.pi * hz / RATE_HZ)))[:, hz <= 25].sum(1)
        np.testing.assert_allclose(features[f"{name}.log_jerk"], np.log(jerk + FLOOR), atol=2e-3)
        slow = power[:, (hz >= 5.8) & (hz < 7.0)].sum(1)
        np.testing.assert_allclose(features[f"{name}.band_5.8_7hz"], np.log(slow + FLOOR), atol=2e-3)


def test_autocorrelation_is_circular_and_normalised(described) -> None:
    window, features = described
    series = _series(window, "accel_x")
    centred = series - series.mean(1, keepdims=True)
    for lag_s, step in ((0.02, 1), (0.24, 12), (0.96, 48)):
        expected = (centred * np.roll(centred, step, 1)).mean(1) / (centred.var(1) + FLOOR)
        np.testing.assert_allclose(features[f"accel_x.autocorr_{lag_s:g}s"], expected, atol=1e-3)


def test_jerk_is_the_circular_first_difference(described) -> None:
    window, features = described
    series = _series(window, "gyro_z")
    expected = np.log(((series - np.roll(series, 1, 1)) ** 2).mean(1) + FLOOR)
    np.testing.assert_allclose(features["gyro_z.log_jerk"], expected, atol=1e-3)


def test_correlation_is_pearsons(described) -> None:
    window, features = described
    for a, b in (("accel_x", "gyro_z"), ("accel_norm", "gyro_norm")):
        expected = [np.corrcoef(x, y)[0, 1] for x, y in zip(_series(window, a), _series(window, b), strict=True)]
        np.testing.assert_allclose(features[f"{a}~{b}.corr"], expected, atol=1e-3)


def test_coherency_tells_lead_from_lag(make_signal: MakeSignal) -> None:
    signal = make_signal(length=LENGTH, rate_hz=RATE_HZ)
    angle = 2 * np.pi * 2.0 * np.arange(LENGTH) / RATE_HZ
    window = np.zeros((1, LENGTH, 6), np.float32)
    window[0, :, 0] = np.cos(angle)
    window[0, :, 1] = np.cos(angle - np.pi / 2)
    window[0, :, 2] = -np.cos(angle)
    features = _describe(signal, window)
    assert features["accel_x~accel_z.co_1_3hz"][0] == pytest.approx(-1, abs=1e-3)
    assert features["accel_x~accel_z.quad_1_3hz"][0] == pytest.approx(0, abs=1e-3)
    assert features["accel_x~accel_y.co_1_3hz"][0] == pytest.approx(0, abs=1e-3)
    assert abs(features["accel_x~accel_y.quad_1_3hz"][0]) == pytest.approx(1, abs=1e-3)
    assert features["accel_x~accel_y.co_3_8hz"][0] == pytest.approx(0, abs=1e-3)


def test_a_resting_or_dead_sensor_gives_finite_descriptors(make_signal: MakeSignal) -> None:
    window = np.zeros((2, LENGTH, 6), np.float32)
    window[1] = 9.81
    features = _describe(make_signal(length=LENGTH), window)
    assert all(np.isfinite(value).all() for value in features.values())


@pytest.mark.parametrize(
    ("channels", "rate_hz", "length"),
    [(3, 100.0, 100), (6, 50.0, 200), (6, 50.0, 8), (1, 20.0, 9), (2, 31.25, 57), (4, 1000.0, 8), (6, 2.0, 8)],
)
def test_any_signal_has_finite_uniquely_named_descriptors(
    make_signal: MakeSignal, channels: int, rate_hz: float, length: int
) -> None:
    signal = make_signal(channels=channels, rate_hz=rate_hz, length=length)
    window = np.random.default_rng(0).normal(0, 3, (3, length, channels)).astype(np.float32)
    module = Descriptors(signal)
    values = module(torch.from_numpy(window)).numpy()
    assert len(set(module.names)) == len(module.names) == values.shape[1]
    assert np.isfinite(values).all()


def test_bands_and_lags_beyond_the_window_are_left_out(make_signal: MakeSignal) -> None:
    short = Descriptors(make_signal(rate_hz=20.0, length=16)).names
    assert "accel_x.band_8_10hz" in short
    assert not any("band_10_12hz" in name or "autocorr_0.48s" in name for name in short)
    assert not any("band_0_0.6hz" in name for name in short), "16 samples at 20 Hz resolve 1.25 Hz"


def test_equal_frequencies_mean_equal_things_at_another_rate(make_signal: MakeSignal) -> None:
    values = {}
    for rate_hz, length in ((50.0, 200), (100.0, 400)):
        angle = 2 * np.pi * 1.25 * np.arange(length) / rate_hz
        window = np.tile(np.sin(angle)[:, None], (1, 6)).astype(np.float32)[None]
        values[rate_hz] = _describe(make_signal(rate_hz=rate_hz, length=length), window)
    for name in ("accel_x.band_1_1.4hz", "accel_x.autocorr_0.16s", "accel_x.log_var", "accel_x~accel_y.co_1_3hz"):
        assert values[50.0][name][0] == pytest.approx(values[100.0][name][0], abs=1e-3)


def test_signal_follows_the_settings(tmp_path) -> None:
    (tmp_path / "har.toml").write_text(
        '[project]\nname = "t"\n[sensors]\nrate_hz = 100\n[sensors.accelerometer]\nchannels = ["ax", "ay", "az"]\n'
        'unit = "g"\nfull_scale = 8\n[sensors.gyroscope]\nchannels = ["turn"]\nunit = "deg/s"\nfull_scale = 2000\n'
        '[windows]\nlength_s = 1.0\n[activities]\nnames = ["A", "B"]\nnull = "rest"\n'
    )
    signal = Signal.from_settings(load_settings(tmp_path))
    assert signal.triples == ((0, 1, 2),)
    assert signal.series == ("ax", "ay", "az", "turn", "a_norm")
    assert signal.units == ("m/s^2", "m/s^2", "m/s^2", "rad/s")
    assert (signal.rate_hz, signal.length, signal.activities) == (100.0, 100, ("A", "B", "rest"))


def test_magnitudes_never_share_a_name() -> None:
    names = ("x", "y", "z", "u", "v", "w", "a_x", "a_y", "a_z", "a_norm")
    triples = ((0, 1, 2), (3, 4, 5), (6, 7, 8))
    series = Signal(names, ("m/s^2",) * 10, 50.0, 50, ("A", "B"), triples).series
    assert len(set(series)) == 13
