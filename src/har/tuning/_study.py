"""A search in an SQLite file: which configuration is tried next, and what became of each.

A process that works on a study holds a lock file. A trial whose process no longer holds its own has been killed: the
next process marks it as failed and tries its configuration again, with the folds that were done.
"""

from __future__ import annotations

import json
import uuid
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from har.errors import TrainingError
from har.files import locked, make_folder
from har.settings import Value
from har.training.networks import Choice, Range
from har.tuning._figures import Counts, figure

if TYPE_CHECKING:
    from optuna import Study as OptunaStudy
    from optuna.trial import FrozenTrial
    from optuna.trial import Trial as RunningTrial

_WAIT_S = 120.0
_RANDOM_FIRST = 8
"""Trials before the sampler learns from earlier ones."""
_UNPRUNED = 4
"""Complete trials before any is pruned."""


@dataclass
class Trial:
    """A configuration that is tried, or was.

    Attributes:
        number: from 0, in the order of the study.
        values: by name.
        is_start: whether it is the project's present configuration.
        state: running, complete, pruned or failed.
        folds: counts of the folds that are done, in their order.
        reason: why it failed.
    """

    number: int
    values: dict[str, Value]
    is_start: bool = False
    state: str = "running"
    folds: list[dict[str, NDArray[np.int64]]] = field(default_factory=list)
    reason: str = ""

    @property
    def counts(self) -> Counts:
        """Of the subjects of all folds that are done."""
        return {subject: cells for fold in self.folds for subject, cells in fold.items()}

    def figure(self, metric: str) -> float | None:
        """Over the subjects of all folds that are done; None: there are none."""
        cells = list(self.counts.values())
        return float(figure(np.sum(cells, axis=0), metric)) if cells else None


class Study:
    """Asks for configurations and takes their results; made by `open_study`."""

    def __init__(self, study: OptunaStudy, folder: Path, bounds: Mapping[str, Range | Choice], seed: int) -> None:
        self._study, self._folder, self._seed = study, folder, seed
        self._distributions = {name: _distribution(one) for name, one in bounds.items()}
        self._owner = uuid.uuid4().hex
        self._lock = FileLock(self._owner_lock(self._owner))

    def __enter__(self) -> Study:
        self._lock.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.release()
        Path(self._lock.lock_file).unlink(missing_ok=True)

    def ask(self) -> Trial:
        """The next configuration: one whose process was killed, or a new one.

        New ones depend on the seed, on how many there were before, and on the results that are known.
        """
        from optuna.samplers import TPESampler

        with self._alone():
            self._take_over()
            known = self._study.get_trials(deepcopy=False)
            drawn = sum(not {"retry_of", "start"}.intersection(trial.user_attrs) for trial in known)
            self._study.sampler = TPESampler(
                seed=int(np.random.SeedSequence([self._seed, drawn]).generate_state(1)[0]),
                n_startup_trials=_RANDOM_FIRST,
            )
            asked = self._study.ask(self._distributions)
            asked.set_user_attr("owner", self._owner)
            return _trial(self._study.get_trials(deepcopy=False)[asked.number])

    def report(self, trial: Trial, counts: dict[str, NDArray[np.int64]], metric: str) -> None:
        """Record the next fold of a trial."""
        trial.folds.append(counts)
        running = self._running(trial)
        running.set_user_attr("folds", json.dumps([_plain(fold) for fold in trial.folds]))
        self._report(running, trial, metric)

    def goes_on(self, trial: Trial, metric: str) -> bool:
        """Whether to train further folds, judged by the median of the others after as many folds.

        The project's present configuration is never given up. Of a trial that was begun by another process, its folds
        are reported first.
        """
        running = self._running(trial)
        if not running.study.get_trials(deepcopy=False)[trial.number].intermediate_values:
            folds, trial.folds = trial.folds, []
            for fold in folds:
                trial.folds.append(fold)
                self._report(running, trial, metric)
        return trial.is_start or not running.should_prune()

    def _report(self, running: RunningTrial, trial: Trial, metric: str) -> None:
        value = trial.figure(metric)
        assert value is not None  # noqa: S101  a fold has a subject
        running.report(value, len(trial.folds) - 1)

    def _running(self, trial: Trial) -> RunningTrial:
        from optuna.trial import Trial as Running

        return Running(self._study, self._id(trial))

    def end(self, trial: Trial, state: str, *, metric: str, reason: str = "") -> None:
        """Record that a trial is complete, pruned or failed."""
        from optuna.trial import TrialState

        trial.state, trial.reason = state, reason
        if reason:
            self._study._storage.set_trial_user_attr(self._id(trial), "reason", reason)
        states = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}
        value = trial.figure(metric) if state == "complete" else None
        self._study.tell(trial.number, value, state=states[state])

    def trials(self) -> list[Trial]:
        """All that were asked for, by number."""
        from optuna.trial import TrialState

        found = self._study.get_trials(deepcopy=False)
        return [_trial(one) for one in found if one.state != TrialState.WAITING]

    def importance(self) -> dict[str, float]:
        """How much each name decides about the result (PED-ANOVA, Watanabe et al. 2023); empty: too few trials."""
        from optuna.exceptions import ExperimentalWarning
        from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
        from optuna.trial import TrialState

        complete = self._study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        if len(complete) < 2 * len(self._distributions) or len({trial.value for trial in complete}) < 3:
            return {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            return dict(get_param_importances(self._study, evaluator=PedAnovaImportanceEvaluator()))

    def remember(self, key: str, content: Any) -> None:
        """Keep something beside the trials."""
        self._study.set_user_attr(key, json.dumps(content))

    def remembered(self, key: str) -> Any:
        """What was kept; None: nothing."""
        text = self._study.user_attrs.get(key)
        return None if text is None else json.loads(text)

    def start_with(self, values: Mapping[str, Value]) -> None:
        """Let the first trial be the project's present configuration."""
        with self._alone():
            if not self._study.get_trials(deepcopy=False):
                self._study.enqueue_trial(dict(values), user_attrs={"start": True})

    def _take_over(self) -> None:
        """Fail the trials of processes that are gone, and queue them again."""
        from optuna.trial import TrialState

        for trial in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            owner = trial.user_attrs.get("owner", "")
            if owner == self._owner or not self._is_gone(owner):
                continue
            self._study._storage.set_trial_user_attr(trial._trial_id, "reason", "its process was killed")
            self._study.tell(trial.number, state=TrialState.FAIL)
            kept: dict[str, Any] = {one: trial.user_attrs[one] for one in ("start", "folds") if one in trial.user_attrs}
            self._study.enqueue_trial(trial.params, user_attrs=kept | {"retry_of": trial.number})

    def _is_gone(self, owner: str) -> bool:
        path = self._owner_lock(owner)
        if not owner or not path.exists():
            return True
        try:
            with FileLock(path, timeout=0):
                pass
        except Timeout:
            return False
        path.unlink(missing_ok=True)
        return True

    def _owner_lock(self, owner: str) -> Path:
        return self._folder / "owners" / f"{owner}.lock"

    def _id(self, trial: Trial) -> int:
        return self._study.get_trials(deepcopy=False)[trial.number]._trial_id

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with _alone(self._folder):
            yield


def open_study(path: Path, name: str, bounds: Mapping[str, Range | Choice], *, seed: int) -> Study:
    """A study of an SQLite file, which is created as needed.

    Args:
        path: the file.
        name: of the study; what makes its results comparable.
        bounds: what may change.
        seed: of the choices.

    Raises:
        TrainingError: Optuna is not installed, or another process holds the studies for minutes.
    """
    try:
        import optuna
    except ImportError as error:
        raise TrainingError(
            where="har tune",
            expected="Optuna",
            got="no such package",
            remedy="Install the extra: uv pip install 'har-mlops[tune]'.",
        ) from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    make_folder(path.parent / "owners")
    with _alone(path.parent):
        storage = optuna.storages.RDBStorage(f"sqlite:///{path}", engine_kwargs={"connect_args": {"timeout": _WAIT_S}})
        study = optuna.create_study(
            study_name=name,
            storage=storage,
            direction="maximize",
            load_if_exists=True,
            pruner=optuna.pruners.MedianPruner(n_startup_trials=_UNPRUNED),
        )
    return Study(study, path.parent, bounds, seed)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    busy = TrainingError(
        where=str(folder),
        problem=f"another process has held the studies for {_WAIT_S:g} s",
        remedy="See what it does, then run the same command again.",
    )
    with locked(folder / "studies.lock", timeout_s=_WAIT_S, busy=busy):
        yield


def _trial(found: FrozenTrial) -> Trial:
    names = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed"}
    folds = json.loads(found.user_attrs.get("folds", "[]"))
    return Trial(
        number=found.number,
        values={name: _rounded(value) for name, value in sorted(found.params.items())},
        is_start="start" in found.user_attrs,
        state=names.get(found.state.name, "running"),
        folds=[{subject: np.array(cells, np.int64) for subject, cells in fold.items()} for fold in folds],
        reason=found.user_attrs.get("reason", ""),
    )


def _rounded(value: Value) -> Value:
    """A number that is also used as it is shown."""
    return float(f"{value:.4g}") if isinstance(value, float) else value


def _plain(fold: Counts) -> dict[str, list[list[int]]]:
    return {subject: cells.tolist() for subject, cells in fold.items()}


def _distribution(bounds: Range | Choice) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(bounds, Choice):
        return CategoricalDistribution(bounds.values)
    if bounds.whole:
        return IntDistribution(int(bounds.low), int(bounds.high), log=bounds.log)
    return FloatDistribution(float(bounds.low), float(bounds.high), log=bounds.log)
