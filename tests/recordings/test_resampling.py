"""Resampling of other rates and irregular stamps, never across a gap."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from har.recordings._cleaning import Samples, split_gaps
from har.recordings._resampling import is_regular, resample
from har.schema import FLAGS

START = 1_704_096_000_000_000
RATE = 50.0


def wave(time_s: np.ndarray, hz: float) -> np.ndarray:
    return np.sin(2 * np.pi * hz * time_s + 0.4)


def samples(time_s: np.ndarray, hz: float = 1.0, *, max_gap_s: float = 0.5) -> Samples:
    times = START + np.round(time_s * 1e6).astype(np.int64)
    return Samples(
        times=times,
        values=np.stack([wave(time_s, hz), np.ones(len(time_s))]).astype(np.float32),
        labels=(time_s >= time_s[-1] / 2).astype(np.int16),
        flags=np.zeros(len(times), np.int8),
        segments=split_gaps(times, max_gap_s),
    )


def seconds(got: Samples) -> np.ndarray:
    return (got.times - START) / 1e6


@pytest.mark.parametrize(
    ("source_hz", "signal_hz", "error"),
    [
        (100, 1, 2e-3), (100, 10, 2e-2), (200, 5, 5e-3), (104.3, 1, 5e-3), (128, 2, 1e-2),
        (25, 1, 2e-2), (60, 1, 2e-3), (52, 1, 2e-3), (1000, 10, 2e-2),
    ],
)  # fmt: skip
def test_a_sine_keeps_its_frequency_and_amplitude(source_hz: float, signal_hz: float, error: float) -> None:
    source = samples(np.arange(0, 10, 1 / source_hz), signal_hz)
    got, resampled = resample(source, RATE)
    assert resampled
    assert set(np.diff(got.times)) == {20_000}
    assert got.times[0] == source.times[0]
    assert source.times[-1] - 20_000 < got.times[-1] <= source.times[-1] + 20
    inner = slice(10, -10)  # a low pass has less to go by at the very ends
    np.testing.assert_allclose(got.values[0][inner], wave(seconds(got), signal_hz)[inner], atol=error)
    np.testing.assert_allclose(got.values[1], 1, atol=1e-6)
    expected = seconds(got) >= source.times[-1] / 2e6 - START / 2e6
    assert (got.labels == expected).mean() > 0.99


def test_frequencies_above_nyquist_are_removed_without_aliasing() -> None:
    source = samples(np.arange(0, 10, 1 / 200), 45.0)  # at 50 Hz it would read as 5 Hz
    got, _ = resample(source, RATE)
    assert np.abs(got.values[0][10:-10]).max() < 0.01


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.integers(1_000, 900_000), min_size=1, max_size=60),
    st.sampled_from([25.0, 50.0, 100.0]),
)
def test_segments_are_resampled_separately(intervals: list[int], rate: float) -> None:
    time_s = np.concatenate([[0], np.cumsum(intervals)]) / 1e6
    source = samples(time_s)
    got, _ = resample(source, rate)
    assert set(got.segments) == set(source.segments)
    assert (np.diff(got.times) > 0).all()
    assert (np.diff(got.segments) >= 0).all()
    for segment in np.unique(source.segments):
        before, after = source.segments == segment, got.segments == segment
        assert got.times[after][0] == source.times[before][0]
        assert got.times[after][-1] <= source.times[before][-1] + 1e6 / rate * 1e-3 + 1
        for channel in range(2):
            assert got.values[channel][after].min() >= source.values[channel][before].min() - 1e-6
            assert got.values[channel][after].max() <= source.values[channel][before].max() + 1e-6
        assert set(got.labels[after]) <= set(source.labels[before])
        assert is_regular(got.times[after], rate)


def test_regular_segments_are_unchanged_beside_irregular_ones() -> None:
    regular = np.arange(100) / 50
    time_s = np.concatenate([regular, 10 + np.arange(100) / 40])
    source = samples(time_s)
    got, resampled = resample(source, RATE)
    assert resampled
    assert (got.values[:, :100] == source.values[:, :100]).all()
    assert (got.times[:100] == source.times[:100]).all()
    assert got.segments.tolist().count(1) == 124


def test_jitter_below_half_an_interval_is_not_resampled() -> None:
    rng = np.random.default_rng(0)
    time_s = np.arange(500) / 50 + rng.uniform(-0.004, 0.004, 500)
    got, resampled = resample(samples(np.sort(time_s)), RATE)
    assert not resampled
    assert len(got.times) == 500


def test_lost_samples_are_filled_and_flagged() -> None:
    time_s = np.delete(np.arange(200) / 50, [50, 51, 52, 120])
    got, resampled = resample(samples(time_s), RATE)
    assert resampled
    assert len(got.times) == 200
    assert np.flatnonzero(got.flags & FLAGS["interpolated"]).tolist() == [50, 51, 52, 120]
    measured = (got.flags & FLAGS["interpolated"]) == 0
    np.testing.assert_allclose(got.values[0][measured], samples(time_s).values[0], atol=1e-6)


def test_faults_of_the_source_stay_flagged() -> None:
    source = samples(np.arange(200) / 100)
    source.flags[100] = FLAGS["saturated"]
    source.flags[150:180] = FLAGS["stuck"]
    got, _ = resample(source, RATE)
    saturated = np.flatnonzero(got.flags & FLAGS["saturated"])
    stuck = np.flatnonzero(got.flags & FLAGS["stuck"])
    assert saturated.tolist() == [50]
    assert set(range(75, 90)) <= set(stuck) <= set(range(74, 91))


def test_half_the_rate_is_measured_and_flagged(read, lines) -> None:
    recording = read(lines(200, step_ms=40))
    assert recording.quality.resampled
    assert recording.quality.measured_rate_hz == pytest.approx(25)
    assert len(recording.frame) == 399
    interpolated = recording.frame["flags"].to_numpy() & FLAGS["interpolated"]
    assert ((interpolated > 0) == (np.arange(399) % 2 == 1)).all()


def test_two_rates_in_one_session_are_resampled_to_one(read, lines) -> None:
    slow = lines(100, step_ms=50)
    fast = lines(200, start="2024-01-01T08:00:05", step_ms=10)
    recording = read([*slow, *fast[1:]])
    assert recording.quality.resampled
    assert recording.quality.gaps == 0
    assert recording.frame["time"].diff().drop_nulls().unique().dt.total_microseconds().to_list() == [20_000]
