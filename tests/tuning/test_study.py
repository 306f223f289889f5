"""Studies in a real SQLite file, on a made-up figure instead of trainings."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from pathlib import Path

import numpy as np
import pytest

from har.errors import TrainingError
from har.training.networks import Choice, Range
from har.tuning import Study, Trial, open_study

BOUNDS = {"learning_rate": Range(1e-4, 1.0, log=True), "hidden": Choice((8, 16, 32)), "epochs": Range(1, 9, whole=True)}
START = {"learning_rate": 0.01, "hidden": 16, "epochs": 3}
FOLDS = 3


def judged(trial: Trial, fold: int) -> dict[str, np.ndarray]:
    """Best at a learning rate of 0.1 and 32 units; one subject a fold."""
    right = 1000 - int(150 * abs(np.log10(float(trial.values["learning_rate"])) + 1)) + int(trial.values["hidden"])
    return {f"s{fold}": np.array([[right - 40 * fold, 1200 - right + 40 * fold], [0, 0]])}


def opened(folder: Path, seed: int = 0) -> Study:
    return open_study(folder / "studies.db", "one", BOUNDS, seed=seed)


def finish(study: Study, trial: Trial) -> Trial:
    while len(trial.folds) < FOLDS:
        if trial.folds and not study.goes_on(trial, "accuracy"):
            study.end(trial, "pruned", metric="accuracy")
            return trial
        study.report(trial, judged(trial, len(trial.folds)), "accuracy")
    study.end(trial, "complete", metric="accuracy")
    return trial


def work(folder: Path, trials: int, seed: int = 0) -> list[Trial]:
    with opened(folder, seed) as study:
        study.start_with(START)
        return [finish(study, study.ask()) for _ in range(trials)]


def found(folder: Path) -> list[tuple[object, ...]]:
    with opened(folder) as study:
        return [(one.values, one.state, len(one.folds)) for one in study.trials()]


def test_the_first_trial_is_what_the_project_has_and_the_others_get_better(tmp_path: Path) -> None:
    tried = work(tmp_path, 20)
    assert tried[0].values == START
    assert tried[0].is_start
    assert not any(one.is_start for one in tried[1:])
    states = [one.state for one in tried]
    assert {"complete", "pruned"} == set(states)
    assert all(0 < len(one.folds) < FOLDS for one in tried if one.state == "pruned")
    figures = [one.figure("accuracy") or 0 for one in tried]
    assert max(figures) > figures[0]
    assert np.mean(figures[10:]) > np.mean(figures[1:9]), "later choices learn from earlier ones"
    with opened(tmp_path) as study:
        shares = study.importance()
    assert max(shares, key=shares.__getitem__) == "learning_rate"


def test_a_search_that_was_interrupted_is_the_same_search(tmp_path: Path) -> None:
    work(tmp_path / "whole", 10)
    for trials in (4, 1, 5):
        work(tmp_path / "parts", trials)
    assert found(tmp_path / "parts") == found(tmp_path / "whole")
    work(tmp_path / "other", 3, seed=1)
    assert found(tmp_path / "other") != found(tmp_path / "whole")[:3]


def die(folder: Path, after: int) -> None:
    """Work on a study, and be killed in the middle of a trial."""
    work(folder, after)
    study = opened(folder)
    study.__enter__()
    trial = study.ask()
    study.report(trial, judged(trial, 0), "accuracy")
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.stack
@pytest.mark.release
def test_a_killed_process_leaves_a_trial_that_the_next_one_ends(tmp_path: Path) -> None:
    process = multiprocessing.get_context("spawn").Process(target=die, args=(tmp_path / "killed", 5))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert [state for _, state, _ in found(tmp_path / "killed")][-1] == "running"
    work(tmp_path / "killed", 5)
    after = found(tmp_path / "killed")
    assert [state for _, state, _ in after].count("failed") == 1
    work(tmp_path / "whole", 10)
    assert [one for one in after if one[1] != "failed"] == found(tmp_path / "whole")
    assert not list((tmp_path / "killed" / "owners").iterdir())


def test_a_trial_of_a_process_that_is_gone_is_queued_again_with_its_folds(tmp_path: Path) -> None:
    with opened(tmp_path) as gone:
        gone.start_with(START)
        lost = gone.ask()
        gone.report(lost, judged(lost, 0), "accuracy")
    with opened(tmp_path) as study:
        again = study.ask()
        assert (again.values, again.is_start, len(again.folds)) == (lost.values, True, 1)
        np.testing.assert_array_equal(again.counts["s0"], judged(lost, 0)["s0"])
        finish(study, again)
        first, second = study.trials()
    assert (first.state, first.reason, second.state) == ("failed", "its process was killed", "complete")


def test_the_trial_of_a_process_that_works_is_left_to_it(tmp_path: Path) -> None:
    with opened(tmp_path) as one, opened(tmp_path) as other:
        one.start_with(START)
        other.start_with(START)
        first, second = one.ask(), other.ask()
        assert first.is_start
        assert not second.is_start
        assert first.values != second.values
        finish(other, second)
        finish(one, first)
        assert [trial.state for trial in one.trials()] == ["complete", "complete"]


@pytest.mark.stack
@pytest.mark.release
def test_two_processes_share_a_study(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=work, args=(tmp_path, 12)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    tried = found(tmp_path)
    assert len(tried) == 24
    assert {state for _, state, _ in tried} <= {"complete", "pruned"}
    assert [values for values, _, _ in tried].count(START) == 1


def test_a_failed_trial_says_why_and_teaches_nothing(tmp_path: Path) -> None:
    with opened(tmp_path) as study:
        study.start_with(START)
        finish(study, study.ask())
        study.end(study.ask(), "failed", metric="accuracy", reason="RuntimeError: heads do not divide 17")
        assert study.importance() == {}, "too few trials"
        assert [(one.state, one.reason) for one in study.trials()] == [
            ("complete", ""),
            ("failed", "RuntimeError: heads do not divide 17"),
        ]
        assert study.trials()[1].figure("accuracy") is None


def test_without_optuna_the_error_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(TrainingError, match=r"expected Optuna, but got no such package\. .*'har-mlops\[tune\]'"):
        opened(tmp_path)
