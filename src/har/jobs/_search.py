"""What a search trains: folds of configurations, on subjects that are not held out, which travel to workers."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from har.dataset import load_windows
from har.engine import here
from har.errors import NotEnoughDataError
from har.experiment import labelled
from har.jobs._cross_validation import FoldPart, evaluate_fold
from har.project import Project
from har.settings import check_network
from har.training import Signal
from har.training.networks import configured, find_network, network_source
from har.tuning import Space, Trial, count, search_space
from har.windows import WindowSet, group_folds, split_subjects


@dataclass(frozen=True)
class SearchedWindows:
    """The labelled windows of the subjects that are not held out, loaded once per process and way to cut them."""

    project: Project
    version: int
    labels_version: int
    held_out: tuple[str, ...]

    def __call__(self) -> WindowSet:
        """The windows.

        Raises:
            NotEnoughDataError: there are none.
        """
        return _windows(self)


@dataclass(frozen=True)
class TrialPart:
    """A fold of a configuration."""

    number: int
    fold: FoldPart

    def __str__(self) -> str:
        return f"configuration {self.number}, {self.fold}"


@dataclass(frozen=True, eq=False)
class TrialFold:
    """What a configuration's network answers for the subjects of a fold: counts by subject, or why there are none."""

    number: int
    counts: dict[str, NDArray[np.int64]]
    reason: str = ""


@dataclass(frozen=True)
class Search:
    """What decides a search; equal searches go on with each other's trials.

    Attributes:
        project: its settings and lake.
        space: what may change.
        version: of the table `samples`.
        labels_version: of the table `labels`; -1: there is none.
        held_out: subjects that are never read.
        folds: of the other subjects.
        seed: of all trainings, and of the choices.
        name: sixteen hexadecimal digits that identify it.
    """

    project: Project
    space: Space
    version: int
    labels_version: int
    held_out: tuple[str, ...]
    folds: tuple[tuple[str, ...], ...]
    seed: int
    name: str

    @property
    def metric(self) -> str:
        """What is made larger."""
        return self.project.settings.tuning.metric

    def part(self, trial: Trial, fold: int, seed: int | None = None) -> TrialPart:
        """A fold of a trial."""
        settings = self.space.settings(self.project.settings, trial.values)
        project = self.project if settings is self.project.settings else replace(self.project, settings=settings)
        return TrialPart(
            trial.number,
            FoldPart(
                windows=SearchedWindows(project, self.version, self.labels_version, self.held_out),
                signal=Signal.from_settings(settings),
                options=self.space.options(settings, trial.values, self.seed if seed is None else seed),
                validation=settings.split.validation,
                held_out=self.folds[fold],
            ),
        )


def try_fold(part: TrialPart) -> TrialFold:
    """Train a configuration without a fold's subjects, and count its answers for them."""
    try:
        result = evaluate_fold(part.fold)
    except NotEnoughDataError:
        raise
    except Exception as error:  # noqa: BLE001  a combination that cannot be trained is a result of the search
        return TrialFold(part.number, {}, f"{type(error).__name__}: {error}")
    windows = part.fold.windows()
    windows = windows.select(np.isin(windows.subjects, part.fold.held_out))
    answers = result.probabilities.argmax(axis=1)
    return TrialFold(part.number, count(windows.labels, answers, windows.subjects, len(part.fold.signal.activities)))


def settle_search(project: Project, network: str | None, groups: Sequence[str], folds: int) -> Search:
    settings = project.settings
    name = check_network(network or settings.training.network, settings.root)
    kind = find_network(name, settings.root)
    configured(kind, settings.training.values_of(name))
    space = search_space(settings, name, kind, groups)
    version, labels_version = project.lake.samples.version(), project.lake.labels.version()
    held_out = _held_out(project, version, labels_version)
    windows = SearchedWindows(project, version, labels_version, held_out)()
    members = tuple(group_folds(Counter(windows.subjects.tolist()), folds))
    values = settings.model_dump(mode="json", include={"sensors", "windows", "activities", "split", "training"})
    decided_by = [values, space.network, network_source(name, settings.root), repr(sorted(space.bounds.items()))]
    content = [*decided_by, version, labels_version, held_out, members, settings.tuning.metric, here()]
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
    return Search(project, space, version, labels_version, held_out, members, settings.training.seed, digest)


def _held_out(project: Project, version: int, labels_version: int) -> tuple[str, ...]:
    """The subjects that judge models: those of the settings' split, and the champion's."""
    settings = project.settings
    every = labelled(load_windows(project.lake, settings, version=version, labels_version=labels_version))
    split = split_subjects(
        np.unique(every.subjects).tolist(),
        held_out=settings.split.held_out,
        share=settings.split.held_out_share,
        validation=settings.split.validation,
        seed=settings.training.seed,
    )
    champion = project.champion
    judges = project.registry.recipe(champion.number).split["held_out"] if champion else []
    return tuple(sorted({*split.held_out, *judges}))


@lru_cache(maxsize=2)
def _windows(source: SearchedWindows) -> WindowSet:
    project = source.project
    every = load_windows(project.lake, project.settings, version=source.version, labels_version=source.labels_version)
    return labelled(every.select(~np.isin(every.subjects, source.held_out)))
