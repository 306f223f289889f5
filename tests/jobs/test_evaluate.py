"""Cross-validation with the real trainer on small made-up recordings."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from har.errors import EvaluationError, NotEnoughDataError
from har.jobs._cross_validation import CrossValidation, Progress, cross_validate
from har.training import Fitted, Signal, fit
from har.windows import WindowSet, cut

CHANNELS = ("accel_x", "accel_y", "accel_z")
SIGNAL = Signal(CHANNELS, ("m/s^2",) * 3, 50.0, 50, ("SIT", "WALK", "RUN"), ((0, 1, 2),))
SUBJECTS = 5
CPU = {"signal": SIGNAL, "network": "spectral", "batch_size": 32, "device": "cpu", "validation": 0.25}


def _world() -> WindowSet:
    """Three paces per subject, and a tail without a label."""
    time = np.arange(450)[:, None] / SIGNAL.rate_hz
    samples, segments, labels, subjects = [], [], [], []
    for subject in range(SUBJECTS):
        for label in (0, 1, 2, -1):
            generator = np.random.default_rng(10 * subject + label + 1)
            moving = (label > 0) * np.sin(2 * np.pi * 1.4 * max(label, 0) * time + np.arange(3))
            samples.append(np.array([0, 0, 9.8]) + 3 * moving + generator.normal(0, 0.2, moving.shape))
            segments += [len(samples)] * len(time)
            labels += [label] * len(time)
            subjects += [f"s{subject}"] * len(time)
    return cut(
        np.concatenate(samples).astype(np.float32),
        np.array(segments),
        length=SIGNAL.length,
        stride=25,
        labels=np.array(labels),
        subjects=np.array(subjects),
    )


@pytest.fixture(scope="module")
def seen() -> list[Progress]:
    return []


@pytest.fixture(scope="module")
def judged(seen: list[Progress]) -> CrossValidation:
    return cross_validate(_world(), folds=3, seeds=(0, 1), epochs=6, on_progress=seen.append, **CPU)


def test_answers_stand_beside_their_labels(judged: CrossValidation) -> None:
    """Paces this plain are learnt from others; rows mixed up between folds would end at a third."""
    assert judged.evaluation.accuracy > 0.8
    assert [row.subject for row in judged.evaluation.subjects] == sorted(sum(judged.folds, ()))


def test_nobody_is_judged_by_a_network_that_saw_them(monkeypatch: pytest.MonkeyPatch) -> None:
    sides: list[tuple[set[str], set[str], set[str]]] = []

    def watched(windows: WindowSet, train: Sequence[str], validation: Sequence[str], **options: Any) -> Fitted:
        fitted = fit(windows, train, validation, **options)
        sides.append((set(train), set(validation), set()))
        return _Watched(fitted, windows, sides[-1][2])  # type: ignore[return-value]

    monkeypatch.setattr("har.training.fit", watched)
    cross_validate(_world(), folds=2, seeds=(0, 1), epochs=1, **CPU)
    assert len(sides) == 4
    for train, validation, asked in sides:
        assert train
        assert validation
        assert asked
        assert train.isdisjoint(validation)
        assert asked.isdisjoint(train | validation)
        assert asked | train | validation == {"s0", "s1", "s2", "s3", "s4"}


class _Watched:
    """A fitted network that notes whose windows it is asked about."""

    def __init__(self, fitted: Fitted, windows: WindowSet, asked: set[str]) -> None:
        self._fitted, self._asked = fitted, asked
        self._owner = {
            row.tobytes(): subject for row, subject in zip(windows.batch(), windows.subjects.tolist(), strict=True)
        }

    def predict(self, window: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        self._asked |= {self._owner[row.tobytes()] for row in window}
        return self._fitted.predict(window)


def test_every_labelled_window_is_judged_once_a_seed(judged: CrossValidation) -> None:
    world = _world()
    labelled = world.select(world.labels >= 0)
    assert len(judged.outcomes) == 2
    for outcome in judged.outcomes:
        np.testing.assert_array_equal(outcome.labels, labelled.labels)
        np.testing.assert_array_equal(outcome.subjects, labelled.subjects)
        np.testing.assert_allclose(outcome.probabilities.sum(axis=1), 1, atol=1e-5)
    assert (judged.outcomes[0].probabilities != judged.outcomes[1].probabilities).any()


def test_flat_figures(judged: CrossValidation) -> None:
    flat = judged.flat()
    each = [float((outcome.answers == outcome.labels).mean()) for outcome in judged.outcomes]
    assert flat["accuracy"] == pytest.approx(np.mean(each))
    assert flat["accuracy_std"] == pytest.approx(np.std(each))
    assert flat["accuracy_low"] <= flat["accuracy"] <= flat["accuracy_high"]
    assert (flat["subjects"], flat["network"], flat["folds"], flat["seeds"]) == (5, "spectral", 3, 2)
    assert flat["windows"] == len(judged.outcomes[0])
    assert set(flat) == {
        *("accuracy", "accuracy_std", "macro_f1", "accuracy_low", "accuracy_high"),
        *("subjects", "windows", "network", "folds", "seeds"),
    }


def test_progress_is_told(judged: CrossValidation, seen: list[Progress]) -> None:
    finished = [progress for progress in seen if progress.epoch is None]
    assert [progress.done for progress in finished] == list(range(1, 7))
    assert {progress.total for progress in seen} == {6}
    assert [(progress.seed, progress.fold) for progress in finished] == [(s, f) for s in (0, 1) for f in (1, 2, 3)]
    assert all(progress.accuracy is not None for progress in finished)
    assert any(progress.epoch is not None and progress.fold == 3 for progress in seen)


def test_one_seed_has_no_spread() -> None:
    judged = cross_validate(_world(), folds=2, seeds=(4,), epochs=1, **CPU)
    assert judged.accuracy_std == 0.0
    assert len(judged.folds) == 2


def test_refusals() -> None:
    world = _world()
    with pytest.raises(NotEnoughDataError, match="Use fewer folds"):
        cross_validate(world, folds=6, seeds=(0,), epochs=1, **CPU)
    with pytest.raises(NotEnoughDataError, match="labelled windows"):
        cross_validate(world.select(world.labels < 0), folds=2, seeds=(0,), epochs=1, **CPU)
    for seeds in ((), (1, 1)):
        with pytest.raises(EvaluationError, match="each once"):
            cross_validate(world, folds=2, seeds=seeds, epochs=1, **CPU)


def test_import_is_light() -> None:
    """The gate runs where nothing is trained and nothing drawn."""
    code = "import sys, har.evaluation; print([name for name in ('torch', 'matplotlib') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
