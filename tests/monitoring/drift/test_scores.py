"""Distances from sketches are those of the raw values, and behave as distances do."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from har.monitoring import Profile
from har.monitoring.drift._scores import (
    BINS,
    activity_shares,
    codes,
    distance,
    edges,
    family,
    hellinger,
    kolmogorov,
    profile_shares,
    psi,
    shares,
    student_t,
)

SHARES = arrays.arrays(float, BINS, elements=st.integers(0, 100)).filter(lambda row: row.sum() > 0)


def test_shares_of_a_sketch_are_those_of_the_values() -> None:
    random = np.random.default_rng(0)
    reference = random.normal(size=(900, 3)).astype(np.float32)
    reference[:, 2] = 0.1  # a channel that never moves
    cuts = edges(reference)
    day = random.normal(0.4, 1.3, size=(200, 3)).astype(np.float32)
    day[:, 2] = 0.1
    profile = Profile.of(day, ("a", "b", "c"), confidence=np.full(200, 0.9, np.float32), activities={"x": 150, "y": 50})
    found = profile_shares(profile, ("a", "b", "c"), cuts, ("x", "y", "z"))
    np.testing.assert_allclose(found[:3], shares(codes(day, cuts)), atol=1e-9)
    by_hand = [
        np.mean((day[:, 0] > low) & (day[:, 0] <= high)) for low, high in zip(cuts[0], cuts[0][1:], strict=False)
    ]
    np.testing.assert_allclose(found[0, 1:-1], by_hand, atol=1e-9)
    np.testing.assert_allclose(found[3:, :2], [[0.75, 0.25], [0.25, 0.75], [0, 1]])


def test_the_reference_itself_lies_inside_its_own_edges() -> None:
    values = np.random.default_rng(1).gamma(2, size=(500, 2)).astype(np.float32)
    found = shares(codes(values, edges(values)))
    assert found[:, 0].max() == 0
    assert found[:, -1].max() == 0


def test_formulas_on_shares_worked_out_by_hand() -> None:
    day, reference = np.array([0.5, 0.5, 0.0]), np.array([0.25, 0.25, 0.5])
    assert hellinger(day, reference) == pytest.approx(np.sqrt(1 - 2 * np.sqrt(0.125)))
    assert kolmogorov(day, reference) == pytest.approx(0.5)
    assert psi(day, reference) == pytest.approx(0.5 * np.log(2) + (0.001 - 0.5) * np.log(0.001 / 0.5))
    assert distance(np.array([1.0, 0.0]), np.array([0.0, 1.0])) == pytest.approx(-np.log(0.005))


@settings(max_examples=60, deadline=None)
@given(SHARES, SHARES)
def test_distances_are_symmetric_bounded_and_zero_for_equals(one: np.ndarray, other: np.ndarray) -> None:
    one, other = one / one.sum(), other / other.sum()
    for of in (hellinger, kolmogorov, psi, distance):
        assert of(one, other) == pytest.approx(of(other, one), abs=1e-9)
        assert of(one, one) == pytest.approx(0, abs=1e-6)
        assert of(one, other) >= 0
    assert hellinger(one, other) <= 1
    assert kolmogorov(one, other) <= 1
    assert distance(one, other) <= -np.log(0.005) + 1e-9


def test_a_larger_shift_is_a_larger_distance() -> None:
    values = np.random.default_rng(2).normal(size=(2000, 1))
    cuts = edges(values)
    found = [
        distance(shares(codes(values + by, cuts)), shares(codes(values, cuts)))[0] for by in (0, 0.1, 0.3, 1, 3, 9)
    ]
    assert found == sorted(found)
    assert found[-1] > 5


def test_an_activity_that_is_never_answered_has_no_share() -> None:
    assert activity_shares({}, ("x",))[0, 0] == 0


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("accel_x.mean", "mean"),
        ("accel_norm.mean", "norm mean"),
        ("accel_norm.band_0.6_1hz", "power"),
        ("gyro_x.log_jerk", "power"),
        ("accel_x~gyro_y.corr", "corr"),
        ("accel_x.autocorr_0.02s", "autocorr"),
        ("activity=PEN", "activity"),
        ("confidence", "confidence"),
    ],
)
def test_quantities_of_one_kind_share_a_level(name: str, kind: str) -> None:
    assert family(name) == kind


@pytest.mark.parametrize(("probability", "freedom"), [(0.6, 1), (0.9, 2.5), (0.99, 6), (0.999, 13), (0.9999, 30)])
def test_quantiles_of_students_t_are_scipys(probability: float, freedom: float) -> None:
    stats = pytest.importorskip("scipy.stats")
    assert student_t(probability, freedom) == pytest.approx(stats.t.ppf(probability, freedom), rel=1e-4)
