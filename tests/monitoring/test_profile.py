"""Profiles are whylogs' own: a plain reader opens them, and merged ones describe the pooled windows."""

from __future__ import annotations

import threading
import zlib

import numpy as np
import pytest
from whylogs.core.view.dataset_profile_view import DatasetProfileView

from har.errors import MonitoringError
from har.monitoring import CONFIDENCE, QUALITY, Profile, chosen_features
from har.settings import Monitoring

NAMES = ("a.mean", "b.mean", "a.log_var")
RANK_ERROR = 0.02
"""Twice the sketch's own, for a merged one."""


def profile(seed: int, windows: int = 3000) -> tuple[Profile, np.ndarray]:
    random = np.random.default_rng(seed)
    features = random.normal(seed, 1.0 + seed, (windows, len(NAMES))).astype(np.float32)
    made = Profile.of(
        features,
        NAMES,
        confidence=random.uniform(0, 1, windows).astype(np.float32),
        activities={"walking": windows - 7, "sitting": 7, "running": 0},
        quality={"coverage": np.array([1.0, 0.5])},
    )
    return made, features


def test_a_plain_whylogs_reader_opens_the_bytes() -> None:
    made, features = profile(1)
    view = DatasetProfileView.deserialize(zlib.decompress(made.to_bytes()))
    column = view.get_column("a.mean").get_metric("distribution")
    assert column.n == len(features)
    assert column.avg == pytest.approx(features[:, 0].mean(), rel=1e-6)
    assert column.stddev == pytest.approx(features[:, 0].std(ddof=1), rel=1e-6)
    assert set(view.get_columns()) == {*made.names, "activity"}


def test_bytes_give_the_same_profile_back() -> None:
    made, _ = profile(1)
    again = Profile.from_bytes(made.to_bytes(), where="test")
    assert again.names == (*NAMES, CONFIDENCE, f"{QUALITY}coverage") == made.names
    assert again.activities == {"walking": 2993, "sitting": 7}
    q = [0.05, 0.5, 0.95]
    assert again.quantiles("b.mean", q).tolist() == made.quantiles("b.mean", q).tolist()
    assert again.windows == 3000
    assert again.count(f"{QUALITY}coverage") == 2


def test_merged_profiles_describe_the_pooled_windows_and_leave_their_parts_alone() -> None:
    parts = [profile(seed, 2000 + 500 * seed) for seed in range(3)]
    before = [part.to_bytes() for part, _ in parts]
    merged = Profile.merge(part for part, _ in parts)
    assert [part.to_bytes() for part, _ in parts] == before
    pooled = np.concatenate([features for _, features in parts])
    assert merged.windows == len(pooled)
    assert merged.activities == {"walking": len(pooled) - 21, "sitting": 21}
    for column, name in enumerate(NAMES):
        values = np.sort(pooled[:, column])
        q = np.array([0.01, 0.25, 0.5, 0.75, 0.99])
        ranks = np.searchsorted(values, merged.quantiles(name, q.tolist()), side="right") / len(values)
        assert np.abs(ranks - q).max() < RANK_ERROR
        at = np.quantile(values, q)
        assert np.abs(merged.cdf(name, at) - q).max() < RANK_ERROR
        assert merged.mean(name) == pytest.approx(values.mean(), rel=1e-5, abs=1e-5)
        assert merged.deviation(name) == pytest.approx(values.std(ddof=1), rel=1e-5)


def test_merging_is_whylogs_own() -> None:
    one, two = profile(1, 300)[0], profile(2, 300)[0]
    views = [DatasetProfileView.deserialize(zlib.decompress(each.to_bytes())) for each in (one, two)]
    own = views[0].merge(views[1]).get_column("a.mean").get_metric("distribution")
    merged = Profile.merge([one, two])
    assert own.n == merged.count("a.mean")
    assert own.avg == pytest.approx(merged.mean("a.mean"), rel=1e-12)
    assert own.stddev == pytest.approx(merged.deviation("a.mean"), rel=1e-12)


def test_values_at_a_point_count_as_not_above_it() -> None:
    made = Profile.of(
        np.array([[0.0], [1.0], [1.0], [2.0]], np.float32),
        ["x"],
        confidence=np.full(4, 0.5, np.float32),
        activities={"walking": 4},
    )
    assert made.cdf("x", np.array([-1.0, 0.0, 1.0, 1.5, 2.0])).tolist() == [0.0, 0.25, 0.75, 0.75, 1.0]


def test_values_that_are_not_finite_are_left_out() -> None:
    features = np.array([[np.nan, 1.0], [np.inf, 2.0], [3.0, 3.0]], np.float32)
    made = Profile.of(features, ["x", "y"], confidence=np.full(3, 0.5, np.float32), activities={"walking": 3})
    assert (made.count("x"), made.count("y"), made.windows) == (1, 3, 3)
    assert (made.mean("x"), made.deviation("y")) == (3.0, 1.0)


def test_no_windows_are_a_profile_too() -> None:
    made = Profile.of(np.empty((0, 1), np.float32), ["x"], confidence=np.empty(0, np.float32), activities={})
    again = Profile.from_bytes(made.to_bytes(), where="test")
    assert again.windows == 0
    assert again.activities == {}
    assert np.isnan(again.cdf("x", np.array([0.0]))).all()
    assert np.isnan(again.quantiles("x", [0.5])).all()


def test_profiling_starts_no_thread() -> None:
    before = set(threading.enumerate())
    profile(1)[0].to_bytes()
    assert set(threading.enumerate()) == before


def test_what_does_not_fit_is_refused_by_name() -> None:
    with pytest.raises(MonitoringError, match="a row per confidence"):
        Profile.of(np.zeros((2, 2), np.float32), ["x"], confidence=np.zeros(2, np.float32), activities={})
    with pytest.raises(MonitoringError, match="none"):
        Profile.merge([])
    with pytest.raises(MonitoringError, match="2024-01-01"):
        Profile.from_bytes(b"no profile", where="2024-01-01")
    with pytest.raises(MonitoringError, match="'other'"):
        profile(1, 10)[0].mean("other")


def test_features_are_chosen_by_pattern_in_the_models_order() -> None:
    names = ("b.mean", "a.log_var", "a.mean", "a.skew")
    assert chosen_features(names, Monitoring(features=("a.*", "*.mean"))) == ("b.mean", "a.log_var", "a.mean", "a.skew")
    assert chosen_features(names, Monitoring(features=("*.mean",))) == ("b.mean", "a.mean")
    with pytest.raises(MonitoringError, match="max_features"):
        chosen_features(names, Monitoring(features=("*",), max_features=3))
    with pytest.raises(MonitoringError, match="fits none"):
        chosen_features(names, Monitoring(features=("*.mean", "*.nothing")))
