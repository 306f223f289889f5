"""Distances from sketches are those of the raw values, and behave as distances do."""

from __future__ import annotations

import datetime as dt
import doctest
import importlib
import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from har.errors import MonitoringError
from har.monitoring.drift import DayReport, Reference, Seen, make_reference, watch_day
from har.monitoring.drift import scores as package
from har.monitoring.drift._bins import (
    BINS,
    activity_shares,
    codes,
    edges,
    family,
    profile_shares,
    shares,
)
from har.monitoring.drift.scores import Score, scores
from har.monitoring.drift.scores._registry import scores as cached
from har.monitoring.drift.scores.distance import distance
from har.monitoring.drift.scores.hellinger import hellinger
from har.monitoring.drift.scores.kolmogorov import kolmogorov
from har.monitoring.drift.scores.psi import psi
from har.monitoring.profiles import Profile, SubjectDay
from har.pages import render_day
from har.pages._formatting import digits
from har.settings import Drift

GUIDE = Path(__file__).parents[3] / "docs" / "how-to" / "new-drift-score.md"
DropIn = Callable[[str, str], None]


@pytest.fixture
def drop_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DropIn]:
    """Adds a file to the package of scores, which another folder stands for in part."""

    def add(name: str, code: str) -> None:
        (tmp_path / f"{name}.py").write_text(code)
        monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path)])
        added.append(f"{package.__name__}.{name}")
        cached.cache_clear()

    added: list[str] = []
    yield add
    cached.cache_clear()
    for name in added:
        sys.modules.pop(name, None)


SHARES = arrays.arrays(float, BINS, elements=st.integers(0, 100)).filter(lambda row: row.sum() > 0)


def test_shares_of_a_sketch_are_those_of_the_values() -> None:
    random = np.random.default_rng(0)
    reference = random.normal(size=(900, 3)).astype(np.float32)
    reference[:, 2] = 0.1  # a channel that never moves
    cuts = edges(reference)
    day = random.normal(0.4, 1.3, size=(200, 3)).astype(np.float32)
    day[:, 2] = 0.1
    profile = Profile.of(day, ("a", "b", "c"), confidence=np.full(200, 0.9, np.float32), activities={"x": 150, "y": 50})
    found = profile_shares([profile], ("a", "b", "c"), cuts, ("x", "y", "z"))
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


@pytest.mark.parametrize("score", scores(), ids=lambda score: score.name)
def test_a_scores_own_example_holds(score: Score) -> None:
    module = importlib.import_module(f"har.monitoring.drift.scores.{score.name}")
    done = doctest.testmod(module)
    assert done.attempted > 0
    assert done.failed == 0
    assert "References:" in (module.__doc__ or "")


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("", "SCORE = Score"),
        ('SCORE = Score("other", "Other", "Other.", lambda day, reference: day.sum(-1))', "'added'"),
        (
            'SCORE = Score("added", "A", "A.", lambda d, r: d.sum(-1), direction="lower", alarms=True)',
            "higher for distributions that differ more",
        ),
        ('SCORE = Score("added", "A", "A.", lambda d, r: d.sum(-1), alarms=True)', "a least_level above 0"),
    ],
)
def test_a_file_that_is_no_score_is_refused(code: str, told: str, drop_in: DropIn) -> None:
    drop_in("added", f"from har.monitoring.drift.scores import Score\n{code}\n")
    with pytest.raises(MonitoringError, match=told):
        scores()


ADDED = """
import numpy as np
from har.monitoring.drift.scores import Score

def added(day, reference):
    return np.abs(day - reference).sum(-1) / 2

MORE = dict(alarms={alarms}, order=1.0, least_level=0.05)
SCORE = Score("added", "Total variation", "Half the summed differences.", added, **MORE)
"""


def day_of(seed: int, moved: float = 0.0) -> SubjectDay:
    values = people(seed)[0] + np.float32(moved)
    profile = Profile.of(values, ("a", "b"), confidence=np.ones(200, np.float32), activities={"x": 200})
    return SubjectDay(f"n{seed}", "", "", False, profile)


def people(*seeds: int) -> NDArray[np.float32]:
    """Windows (subjects, 200, 2) of made-up subjects that differ."""
    found = []
    for seed in seeds:
        random = np.random.default_rng([5, seed])
        found.append(random.normal(random.normal(0, 0.7, 2), 1, (200, 2)))
    return np.array(found, np.float32)


def reference() -> Reference:
    seen = Seen(
        features=np.concatenate(people(*range(8))),
        confidence=np.ones(1600),
        activities=np.full(1600, "x"),
        subjects=np.repeat([f"s{seed}" for seed in range(8)], 200),
        recordings=np.arange(1600) // 20,
        regimes=np.zeros(1600, int),
    )
    return make_reference(seen, ("a", "b"))


def watch(known: Reference, moved: float = 3.0) -> DayReport:
    days = [day_of(seed, moved) for seed in (100, 101, 102)]
    return watch_day(dt.date(2024, 3, 1), 1, known, days, [], Drift())


def test_a_score_that_is_one_new_file_is_on_the_report_and_its_page(drop_in: DropIn) -> None:
    before = watch(reference())
    drop_in("added", ADDED.format(alarms=False))
    report = watch(reference())
    assert [one.name for one in report.scores] == ["added", *(one.name for one in before.scores)]
    assert DayReport.from_json(report.to_json(), where="") == report
    worst = report.features[0]
    assert 0.3 < worst.values["added"] <= 1
    # It is shown, and changes nothing else.
    assert [{**one.values, "added": None} for one in report.features] == [
        {**one.values, "added": None} for one in before.features
    ]
    assert [one.score for one in report.features] == [one.score for one in before.features]
    page = render_day(report, [], title="test", previous=None, following=None)
    assert '<th scope="col">Total variation</th>' in page
    assert "Total variation: half the summed differences." in page
    assert f"<td>{digits(worst.values['added'])}</td>" in page


def test_the_handbooks_score_works_as_it_is(drop_in: DropIn) -> None:
    code = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)[0]
    drop_in("total_variation", code)
    assert watch(reference()).features[0].values["total_variation"] > 0.3
    assert doctest.testmod(sys.modules[f"{package.__name__}.total_variation"]).failed == 0


def test_the_level_of_a_new_score_that_alarms_is_learned(drop_in: DropIn) -> None:
    old = reference()
    assert set(old.strata[0].levels) == {"distance"}
    drop_in("added", ADDED.format(alarms=True))
    known = Reference.from_json(reference().to_json(), where="")
    assert set(known.strata[0].levels) == {"added", "distance"}
    quiet, moved = watch(known, 0.0), watch(known)
    assert not quiet.alarmed
    assert moved.alarmed
    ratios = [one.values["added"] / known.strata[0].limits(200, 0.002)["added"].max() for one in moved.features]
    assert max(one.score for one in moved.features) >= max(ratios)
    # A reference from before has no level for it: by that score nothing is judged.
    assert watch(old).alarmed


def test_a_reference_without_a_level_of_any_score_that_alarms_is_refused() -> None:
    values = json.loads(reference().to_json())
    values["strata"][0]["levels"] = {"removed": values["strata"][0]["levels"]["distance"]}
    with pytest.raises(MonitoringError, match="no level of any score that alarms"):
        Reference.from_json(json.dumps(values), where="reference.json")
