"""Cross-validation with the real trainer on small made-up recordings."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from paces_support import SIGNAL, paces
from run_support import in_processes

from har.engine import Each, in_threads, in_turn
from har.errors import EvaluationError, NotEnoughDataError, PartsError
from har.jobs._cross_validation import CrossValidation, FoldPart, FoldResult, cross_validate
from har.jobs._folds import KeptFolds
from har.training import FitOptions, Fitted, fit
from har.windows import WindowSet

CPU = {"signal": SIGNAL, "validation": 0.25}


def _options(epochs: int = 1) -> FitOptions:
    return FitOptions("spectral", 0, epochs, batch_size=32, device="cpu")


@pytest.fixture(scope="module")
def seen() -> list[FoldResult]:
    return []


@pytest.fixture(scope="module")
def judged(seen: list[FoldResult]) -> CrossValidation:
    def watched(function: Callable[[FoldPart], FoldResult], parts: Sequence[FoldPart]) -> Iterator[FoldResult]:
        assert [str(part) for part in parts][::5] == ["fold without s1, s4, seed 0", "fold without s2, seed 1"]
        for result in in_turn(function, parts):
            seen.append(result)
            yield result

    return cross_validate(paces, folds=3, seeds=(0, 1), options=_options(6), each=watched, **CPU)


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

    monkeypatch.setattr("har.jobs._cross_validation.fit", watched)
    cross_validate(paces, folds=2, seeds=(0, 1), options=_options(), **CPU)
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
    world = paces()
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


def test_results_are_handed_on_as_they_come(judged: CrossValidation, seen: list[FoldResult]) -> None:
    assert len(seen) == 6
    for run, outcome in enumerate(judged.outcomes):
        for held_out, result in zip(judged.folds, seen[3 * run :], strict=False):
            mine = np.isin(outcome.subjects, held_out)
            np.testing.assert_array_equal(outcome.probabilities[mine], result.probabilities)
            assert result.accuracy == (outcome.answers == outcome.labels)[mine].mean()


@pytest.mark.parametrize(
    "each", [in_threads, pytest.param(in_processes, marks=[pytest.mark.stack, pytest.mark.release])]
)
def test_another_engine_gives_the_same_figures(each: Each, judged: CrossValidation) -> None:
    """A part travels as a small value, and what it names is opened where it runs; threads share torch's generator."""
    elsewhere = cross_validate(paces, folds=3, seeds=(0, 1), options=_options(6), each=each, **CPU)
    for ours, theirs in zip(judged.outcomes, elsewhere.outcomes, strict=True):
        np.testing.assert_array_equal(ours.probabilities, theirs.probabilities)
    assert elsewhere.evaluation == judged.evaluation


def test_folds_that_are_done_stay_done(tmp_path: Path) -> None:
    """One that fails is named, the others are kept, and the next run trains what is missing."""
    asked: list[str] = []

    def train(function: Callable[[FoldPart], FoldResult], part: FoldPart) -> FoldResult:
        asked.append(str(part))
        if len(asked) <= 6 and str(part) == "fold without s2, seed 1":
            raise RuntimeError("out of memory")
        return function(part)

    def each(function: Callable[[FoldPart], FoldResult], parts: Sequence[FoldPart]) -> Iterator[FoldResult]:
        return in_threads(partial(train, function), parts)

    def run(decided_by: str) -> tuple[CrossValidation, KeptFolds]:
        kept = KeptFolds(each, tmp_path, decided_by)
        return cross_validate(paces, folds=3, seeds=(0, 1), options=_options(), each=kept, **CPU), kept

    with pytest.raises(PartsError, match=r"fold without s2, seed 1: 1 of 6 parts failed.*out of memory"):
        run("data 1")
    torn = next(tmp_path.rglob("0-*.npz"))
    torn.write_bytes(torn.read_bytes()[:50])
    again, kept = run("data 1")
    assert len(asked) == 6 + 2
    assert asked[-1] == "fold without s2, seed 1"
    whole = cross_validate(paces, folds=3, seeds=(0, 1), options=_options(), **CPU)
    for ours, theirs in zip(whole.outcomes, again.outcomes, strict=True):
        np.testing.assert_array_equal(ours.probabilities, theirs.probabilities)
    assert kept.folder.exists()
    assert KeptFolds(each, tmp_path, "data 2").folder != kept.folder
    kept.forget()
    assert list(tmp_path.iterdir()) == []


def test_one_seed_has_no_spread() -> None:
    judged = cross_validate(paces, folds=2, seeds=(4,), options=_options(), **CPU)
    assert judged.accuracy_std == 0.0
    assert len(judged.folds) == 2


def test_refusals() -> None:
    world = paces()
    with pytest.raises(NotEnoughDataError, match="Use fewer folds"):
        cross_validate(paces, folds=6, seeds=(0,), options=_options(), **CPU)
    with pytest.raises(NotEnoughDataError, match="labelled windows"):
        cross_validate(lambda: world.select(world.labels < 0), folds=2, seeds=(0,), options=_options(), **CPU)
    for seeds in ((), (1, 1)):
        with pytest.raises(EvaluationError, match="each once"):
            cross_validate(paces, folds=2, seeds=seeds, options=_options(), **CPU)


def test_import_is_light() -> None:
    """The gate runs where nothing is trained and nothing drawn."""
    code = "import sys, har.evaluation; print([name for name in ('torch', 'matplotlib') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
