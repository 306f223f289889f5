"""Profiles describe what went into them, and any whylogs reader opens and merges them."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from numpy.typing import NDArray

from har.errors import MonitoringError
from har.monitoring.profiles import Profile, chosen_features
from har.settings import Monitoring

NAMES = ("a.mean", "b.mean", "b.log_var")
RANK_ERROR = 0.009
"""Of whylogs' sketches."""


def windows(count: int, seed: int = 0, moved: float = 0.0) -> NDArray[np.float32]:
    return np.random.default_rng([3, seed]).normal(moved, 1, (count, len(NAMES))).astype(np.float32)


def profile(values: NDArray[np.float32], **quality: list[float]) -> Profile:
    count = len(values)
    return Profile.of(
        values,
        NAMES,
        confidence=np.linspace(0.5, 1, count, dtype=np.float32),
        activities={"walk": count - count // 3, "sit": count // 3, "run": 0},
        quality={name: np.array(column) for name, column in quality.items()},
    )


def share(values: NDArray[np.floating], at: NDArray[np.float64]) -> NDArray[np.float64]:
    return (values[:, None] <= at).mean(axis=0)


@pytest.mark.parametrize("count", [1, 2, 3, 255, 256, 257, 511, 512, 513, 1563, 20_001])
def test_it_tells_what_went_in(count: int) -> None:
    values = windows(count)
    made = profile(values.copy(), coverage=[1.0, 0.5])
    at = np.linspace(-3, 3, 61)
    for one in (made, Profile.from_bytes(made.to_bytes(), where="here")):
        assert one.names == (*NAMES, "confidence", "quality.coverage")
        assert one.windows == one.count("b.mean") == count
        assert one.count("quality.coverage") == 2
        assert one.activities == {k: v for k, v in (("walk", count - count // 3), ("sit", count // 3)) if v}
        for column, name in enumerate(NAMES):
            exact = values[:, column].astype(np.float64)
            assert np.abs(one.cdf(name, at) - share(exact, at)).max() <= (0 if count <= 256 else RANK_ERROR)
            assert one.quantiles(name, [0, 1]).tolist() == [exact.min(), exact.max()]
            assert one.mean(name) == pytest.approx(exact.mean(), abs=1e-6)
            if count > 1:
                metric = one.view.get_column(name).get_metric("distribution")
                assert metric.stddev == pytest.approx(exact.std(ddof=1), rel=1e-5)
        assert one.mean("quality.coverage") == 0.75


def test_whylogs_own_merge_is_that_of_the_pooled_windows() -> None:
    parts = [windows(137 + 40 * seed, seed, moved=seed / 10) for seed in range(30)]
    made = [Profile.from_bytes(profile(part.copy()).to_bytes(), where="here") for part in parts]
    merged = made[0].view
    for one in made[1:]:
        merged = merged.merge(one.view)
    pooled = np.concatenate(parts)
    at = np.linspace(-3, 6, 91)
    for column, name in enumerate(NAMES):
        metric = merged.get_column(name).get_metric("distribution")
        assert metric.n == len(pooled)
        cdf = np.asarray(metric.kll.value.get_cdf(at.tolist()))[:-1]
        assert np.abs(cdf - share(pooled[:, column], at)).max() <= 2 * RANK_ERROR
        assert metric.avg == pytest.approx(pooled[:, column].mean(), abs=1e-5)
        assert metric.stddev == pytest.approx(pooled[:, column].std(ddof=1), rel=1e-4)


def test_plain_whylogs_reads_it_and_goes_on() -> None:
    values = windows(1000)
    content = profile(values.copy()).to_bytes()
    from whylogs.core.view.dataset_profile_view import DatasetProfileView  # after its telemetry was switched off
    from whylogs_sketching import kll_doubles_sketch

    view = DatasetProfileView.deserialize(content)
    metric = view.get_column("a.mean").get_metric("distribution")
    assert metric.n == 1000
    assert metric.median == pytest.approx(float(np.median(values[:, 0])), abs=0.03)
    assert metric.to_summary_dict()["mean"] == pytest.approx(float(values[:, 0].mean()), abs=1e-5)
    strings = view.get_column("activity").get_metric("frequent_items").strings
    assert {item.value: item.est for item in strings} == {"walk": 667, "sit": 333}
    # A sketch that was filled at once takes further values as any other does.
    sketch = kll_doubles_sketch.deserialize(metric.kll.value.serialize())
    more = np.random.default_rng(1).normal(0, 1, 50_000)
    sketch.update(more)
    assert sketch.get_n() == 51_000
    pooled = np.concatenate([values[:, 0], more])
    assert sketch.get_cdf([0.0])[0] == pytest.approx((pooled < 0).mean(), abs=2 * RANK_ERROR)


def test_the_same_windows_make_the_same_bytes() -> None:
    assert profile(windows(700)).to_bytes() == profile(windows(700)).to_bytes()


def test_values_that_are_not_finite_are_left_out() -> None:
    values = windows(400)
    values[::2, 0] = np.nan
    values[:, 1] = np.inf
    made = profile(values.copy())
    for one in (made, Profile.from_bytes(made.to_bytes(), where="here")):
        assert (one.windows, one.count("a.mean"), one.count("b.mean"), one.count("b.log_var")) == (400, 200, 0, 400)
        assert one.quantiles("a.mean", [0])[0] == values[1::2, 0].min()
        assert np.isnan(one.cdf("b.mean", np.zeros(1))).all()
        assert np.isnan(one.quantiles("b.mean", [0.5])).all()


def test_no_windows_make_an_empty_profile() -> None:
    empty = profile(windows(0), coverage=[0.1])
    assert Profile.from_bytes(empty.to_bytes(), where="here").windows == 0
    assert empty.count("quality.coverage") == 1
    assert np.isnan(empty.quantiles("a.mean", [0.5])).all()


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(MonitoringError, match=r"features \(3, 3\)"):
        Profile.of(windows(4), NAMES, confidence=np.ones(3, np.float32), activities={})
    with pytest.raises(MonitoringError, match=r"lake/profiles.*har score --rescore"):
        Profile.from_bytes(b"WHY1 and nothing", where="lake/profiles")
    with pytest.raises(MonitoringError, match=r"a numeric column 'c\.mean'"):
        profile(windows(4)).mean("c.mean")


def test_features_are_chosen_by_pattern_in_the_models_order() -> None:
    names = ["x.mean", "x.log_var", "y.mean", "x_norm.band_1hz"]
    assert chosen_features(names, Monitoring(features=("y.*", "*.mean"))) == ("x.mean", "y.mean")
    with pytest.raises(MonitoringError, match=r"'\*\.skew', which matches none"):
        chosen_features(names, Monitoring(features=("*.mean", "*.skew")))
    with pytest.raises(MonitoringError, match="matches none"):
        chosen_features(["x.smell"], Monitoring())
    # One axis has neither correlations nor a norm.
    assert chosen_features(["x.mean", "x.log_var", "x.log_jerk"], Monitoring()) == ("x.mean", "x.log_var", "x.log_jerk")
    with pytest.raises(MonitoringError, match="at most 1 features"):
        chosen_features(names, Monitoring(features=("*.mean",), max_features=1))


ALONE = """
import sys, threading
sys.modules["IPython"] = None
import numpy as np
from har.monitoring.profiles import Profile
assert "whylogs" not in sys.modules
made = Profile.of(np.ones((9, 1), np.float32), ["a"], confidence=np.ones(9, np.float32), activities={"walk": 9})
assert Profile.from_bytes(made.to_bytes(), where="").activities == {"walk": 9}
assert threading.active_count() == 1, threading.enumerate()
"""


@pytest.mark.stack
def test_it_needs_no_ipython_warns_of_nothing_and_starts_no_thread() -> None:
    done = subprocess.run([sys.executable, "-W", "error", "-c", ALONE], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


MISSING = """
import sys
sys.modules["whylogs"] = None
from har.errors import MonitoringError
from har.monitoring.profiles import require_whylogs
try:
    require_whylogs()
except MonitoringError as error:
    print(error)
"""


def test_without_whylogs_it_says_what_to_do() -> None:
    done = subprocess.run([sys.executable, "-c", MISSING], capture_output=True, text=True, check=True)
    assert "extra `monitor`" in done.stdout
    assert "monitoring.enabled = false" in done.stdout
