"""Smoothed answers: one window at a time gives what all at once gives; blips go, changes stay, states survive."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pytest

from har.inference import Answers, ModelMetadata, Runs, Smoother, Smoothing
from har.plausibility import NO_SIGNAL

NAMES = ("walk", "sit", "run")
STEP_US = 2_000_000
RUNS = Runs(
    mean_s=(30.0, 60.0, 20.0),
    shortest_s=(7.0, 8.0, 9.0),
    jumps=((0.0, 0.75, 0.25), (0.5, 0.0, 0.5), (0.9, 0.1, 0.0)),
    prior=(0.5, 0.3, 0.2),
)
METADATA = ModelMetadata(
    project="test",
    network="toy",
    activities=NAMES,
    channels=("accel_x",),
    units=("m/s^2",),
    rate_hz=50.0,
    length=200,
    stride=100,
    feature_names=("accel_x.mean",),
    temperature=1.0,
    abstain_below=0.5,
    git_commit="",
    data_version="samples@1",
    split_id="abc",
    trained_at="2024-01-01T00:00:00+00:00",
    runs=RUNS,
)
KINDS: tuple[Literal["hmm", "duration"], ...] = ("hmm", "duration")


def smoother(kind: Literal["hmm", "duration"]) -> Smoother:
    made = Smoother.of(METADATA, kind, stride=100)
    assert made is not None
    return made


def answers(probabilities: np.ndarray, absent: Any = (), unknown: Any = ()) -> Answers:
    rows = np.arange(len(probabilities))
    silent, unlike = np.isin(rows, absent), np.isin(rows, unknown)
    best = np.where(silent, -1, probabilities.argmax(axis=1))
    features = np.empty((len(rows), 0), np.float32)
    return Answers(best, probabilities.max(axis=1), silent, unlike, probabilities.astype(np.float32), features)


def sure_of(*activities: int, confidence: float = 0.9) -> np.ndarray:
    rows = np.full((len(activities), len(NAMES)), (1 - confidence) / (len(NAMES) - 1), np.float32)
    rows[np.arange(len(activities)), activities] = confidence
    return rows


def drawn(count: int, seed: int) -> Answers:
    """Answers in runs with errors, some windows without a signal and some unlike the training data."""
    generator = np.random.default_rng(seed)
    truth = np.repeat(generator.integers(0, 3, count), generator.integers(1, 12, count))[:count]
    rows = generator.dirichlet(np.full(3, 0.4), count)
    rows[np.arange(count), truth] += generator.uniform(0, 2, count)
    rows /= rows.sum(axis=1, keepdims=True)
    silent = np.flatnonzero(generator.random(count) < 0.04)
    return answers(rows, silent, np.flatnonzero(generator.random(count) < 0.05))


def starts(count: int, first: int = 0) -> list[int]:
    return [STEP_US * (first + number) for number in range(count)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(8))
def test_one_window_at_a_time_gives_what_all_at_once_give(kind: Literal["hmm", "duration"], seed: int) -> None:
    given = drawn(300, seed)
    at = starts(300)
    at[120:] = [start + 7 * STEP_US for start in at[120:]]  # a gap within the run
    whole = smoother(kind)
    expected = whole.push("s01", at, given) + whole.flush("s01")
    single, found, late = smoother(kind), [], 0
    generator = np.random.default_rng(seed)
    row = 0
    while row < 300:
        size = int(generator.integers(1, 4))
        rows = np.arange(row, min(300, row + size))
        # Another run between does not matter, nor does a restart.
        single.push("s02", [at[index] for index in rows], given.rows(rows))
        found += single.push("s01", [at[index] for index in rows], given.rows(rows))
        row = min(300, row + size)
        late = max(late, row - len(found))
        state = single.state("s01")
        single = smoother(kind)
        single.restore("s01", state)
    found += single.flush("s01")
    assert found == expected
    assert [start for start, _ in expected] == at
    assert late <= single.delay
    assert [name == NO_SIGNAL for _, name in expected] == (given.best < 0).tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_segments_of_a_batch_are_smoothed_apart(kind: Literal["hmm", "duration"]) -> None:
    given = drawn(200, 3)
    segments = np.repeat([4, 5, 9], [60, 1, 139])
    at = np.array(starts(200))
    found = Smoothing(smoother(kind))(at, segments, given)
    expected = []
    for segment in (4, 5, 9):
        rows = np.flatnonzero(segments == segment)
        one = smoother(kind)
        pushed = one.push("", at[rows].tolist(), given.rows(rows)) + one.flush("")
        expected += [name for _, name in pushed]
    assert found == expected


@pytest.mark.parametrize("kind", KINDS)
def test_a_blip_goes_and_a_change_stays(kind: Literal["hmm", "duration"]) -> None:
    truth = [0] * 12 + [1] * 12
    seen = list(truth)
    seen[5] = 2
    found = Smoothing(smoother(kind))(np.array(starts(24)), np.zeros(24), answers(sure_of(*seen)))
    assert found == [NAMES[activity] for activity in truth]


def test_the_hidden_markov_model_is_that_of_the_textbook() -> None:
    """Against the sum over all paths: P(x_t | y_1 … y_t+lag), with the fits as likelihoods."""
    generator = np.random.default_rng(5)
    count, at = 7, 2
    rows = generator.dirichlet(np.ones(3), count).astype(np.float32)
    stay = 1 - 1 / ((np.array(RUNS.mean_s) - 4.0) / 2.0 + 1)
    steps = np.diag(stay) + (1 - stay)[:, None] * np.array(RUNS.jumps)
    spread = 0.95 * rows.astype(np.float64) + 0.05 / 3
    fits = (spread / np.array(RUNS.prior)) ** 0.5
    for seen in (at + 1, at + 5):
        weights = np.zeros(3)
        for path in itertools.product(range(3), repeat=seen):
            weight = RUNS.prior[path[0]] * fits[0, path[0]]
            for place in range(1, seen):
                weight *= steps[path[place - 1], path[place]] * fits[place, path[place]]
            weights[path[at]] += weight
        one = smoother("hmm")
        found = one.push("", starts(seen), answers(rows[:seen]))
        found += one.flush("")
        assert dict(found)[at * STEP_US] == NAMES[int(weights.argmax())]


def test_windows_that_say_nothing_are_filled_from_their_neighbours() -> None:
    seen = sure_of(0, 0, 0, 2, 2, 2, 2, 2, 0, 0, 0, confidence=0.99)
    for kind in KINDS:
        one = Smoothing(smoother(kind))
        found = one(np.array(starts(11)), np.zeros(11), answers(seen, absent=[4], unknown=[3, 5, 6, 7]))
        assert found == ["walk"] * 4 + [NO_SIGNAL] + ["walk"] * 6


@pytest.mark.parametrize("kind", KINDS)
def test_a_state_of_other_settings_begins_anew(kind: Literal["hmm", "duration"]) -> None:
    other: Literal["hmm", "duration"] = "duration" if kind == "hmm" else "hmm"
    one = smoother(other)
    one.push("s01", starts(5), answers(sure_of(0, 0, 2, 0, 1)))
    again = smoother(kind)
    again.restore("s01", one.state("s01"))
    again.restore("s02", b"")
    assert again.runs == []
    assert again.flush("s01") == []
    assert json.loads(one.state("s01"))[0] == other


def test_off_or_not_learned() -> None:
    assert Smoother.of(METADATA, "none", stride=100) is None
    assert Smoother.of(replace(METADATA, runs=None), "hmm", stride=100) is None


def test_the_delay_is_stated() -> None:
    assert (smoother("hmm").delay, smoother("hmm").delay_s) == (4, 8.0)
    # The longest of the shortest runs, 9 s, has windows that start at 0, 2 and 4 s.
    assert (smoother("duration").delay, smoother("duration").delay_s) == (2, 4.0)
    apart = Smoother.of(METADATA, "duration", stride=200)
    assert apart is not None
    assert (apart.delay, apart.delay_s) == (1, 4.0)


def test_it_travels_in_the_model_file() -> None:
    properties = METADATA.to_properties()
    assert ModelMetadata.from_properties(properties, where="here") == METADATA
    for name in ("har.runs", "har.distances"):
        del properties[name]
    older = ModelMetadata.from_properties(properties, where="here")
    assert (older.runs, older.distances) == (None, ())
    assert older.unknown_beyond(0.01) == np.inf
