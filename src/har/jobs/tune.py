"""Search the settings of training by subject; the report says how many were tried, and what the best one is worth.

Nothing is trained on, chosen by or evaluated on held-out subjects: neither the project's nor those that judged the
champion. A search goes on where it ended, also after it was killed; several processes may work on it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from har.console import bar
from har.engine import Each, in_turn, open_engine, workers_of
from har.errors import TrainingError
from har.files import write_atomically
from har.jobs._search import Search, TrialFold, settle_search, try_fold
from har.jobs._search_report import Further, figures_of, start_and_best
from har.lake import require_samples
from har.pages import write_index, write_tuning
from har.project import Project
from har.settings import Settings
from har.tuning import Counts, Study, Trial, edit, lines_of, open_study

__all__ = ["TuningReport", "try_fold", "tune"]


@dataclass(frozen=True)
class TuningReport:
    """What a search has found so far.

    Attributes:
        figures: as in `reports/tuning.json`.
        lines: the best configuration as lines of har.toml; "": the project has it.
        page: the page.
        applied: whether har.toml has the lines now.
    """

    figures: dict[str, Any]
    lines: str
    page: Path
    applied: bool


def tune(
    project: Project,
    *,
    network: str | None = None,
    trials: int | None = None,
    timeout_s: float | None = None,
    groups: Sequence[str] | None = None,
    folds: int | None = None,
    apply: bool = False,
    each: Each | None = None,
) -> TuningReport:
    """Try configurations under folds by subject, compare the best one with the project's own, and report.

    The same search goes on with the trials of earlier calls. With an engine of one process it is the same at a given
    seed, whether it was interrupted or not.

    Args:
        project: its settings and lake.
        network: a network's name; by default har.toml's.
        trials: configurations to try in this call; by default har.toml's. 0: report on those that are known.
        timeout_s: no configuration is begun after this time; those that run end.
        groups: what may change: training, network, windows; by default har.toml's.
        folds: by default har.toml's.
        apply: whether to write the best configuration into har.toml, if it is not the project's own.
        each: how to run the folds of several configurations; by default the project's engine.

    Raises:
        SettingsError: an unknown network, or bounds of something that there is not.
        NotEnoughDataError: no labelled windows, or fewer subjects that are not held out than folds.
        TrainingError: Optuna is not installed, or the project's own configuration cannot be trained.
    """
    require_samples(project.lake)
    project.lake.labels.require_all_commits()
    settings = project.settings
    search = settle_search(project, network, groups or settings.tuning.space, folds or settings.split.folds)
    place = settings.path("runs") / "tuning" / "studies.db"
    with (
        open_study(place, search.name, search.space.bounds, seed=search.seed) as study,
        _engine(settings, each) as (run, at_once),
    ):
        study.start_with(search.space.start)
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        _try(search, study, run, at_once, settings.tuning.trials if trials is None else trials, deadline)
        found = study.trials()
        start, best = start_and_best(found, search.metric)
        further = _confirm(search, study, run, start, best)
        figures = figures_of(search, found, start, best, further, study.importance())
    lines = "" if best.is_start else lines_of(figures["har.toml"])
    if apply and lines:
        edit(settings.root / "har.toml", figures["har.toml"])
    reports = settings.path("reports")
    write_atomically(reports / "tuning.json", json.dumps(figures, indent=1, ensure_ascii=False) + "\n")
    page = write_tuning(reports / "tuning.html", figures, lines, title=f"{settings.project.name}: search by subject")
    write_index(reports, title=settings.project.name)
    return TuningReport(figures, lines, page, apply and bool(lines))


@contextmanager
def _engine(settings: Settings, each: Each | None) -> Iterator[tuple[Each, int]]:
    """How to run folds, and how many at a time."""
    at_once = 1 if settings.engine.kind == "threads" else workers_of(settings)  # threads would take turns
    if each is not None or at_once == 1:
        yield each or in_turn, at_once
        return
    with open_engine(settings, thread_safe=False) as engine:
        yield engine.each, at_once


def _try(search: Search, study: Study, run: Each, at_once: int, trials: int, deadline: float | None) -> None:
    """Begin so many configurations; each goes through the folds until it is complete, pruned or has failed.

    Each round trains one fold of every configuration that is under way: a round is the same wherever its parts run.
    """
    begun, under_way = 0, list[Trial]()
    with bar("Search", trials, "configurations") as advance:
        while True:
            late = deadline is not None and time.monotonic() > deadline
            while len(under_way) < at_once and begun < trials and not late:
                trial = study.ask()
                begun += 1
                if _judged(search, study, trial) != "running":  # its folds are another process's, which was killed
                    advance(_shown(trial, search.metric))
                    continue
                under_way.append(trial)
            if not under_way:
                return
            parts = [search.part(trial, len(trial.folds)) for trial in under_way]
            for trial, result in zip(list(under_way), run(try_fold, parts), strict=True):
                state = _settle(search, study, trial, result)
                if state != "running":
                    under_way.remove(trial)
                    advance(_shown(trial, search.metric))


def _settle(search: Search, study: Study, trial: Trial, result: TrialFold) -> str:
    """Record what a fold came to; the trial's state."""
    if not result.reason:
        study.report(trial, result.counts, search.metric)
        return _judged(search, study, trial)
    study.end(trial, "failed", metric=search.metric, reason=result.reason)
    if trial.is_start:
        raise TrainingError(
            where="the project's own configuration",
            expected="a training to compare with",
            got=result.reason,
            remedy="See that har evaluate works, then search.",
        )
    return trial.state


def _judged(search: Search, study: Study, trial: Trial) -> str:
    """The state of a trial after its folds so far."""
    if len(trial.folds) == len(search.folds):
        study.end(trial, "complete", metric=search.metric)
    elif trial.folds and not study.goes_on(trial, search.metric):
        study.end(trial, "pruned", metric=search.metric)
    return trial.state


def _shown(trial: Trial, metric: str) -> str:
    value = trial.figure(metric)
    return f"{trial.state}{'' if value is None else f' {metric} {value:6.1%}'}"


def _confirm(search: Search, study: Study, run: Each, start: Trial, best: Trial) -> Further:
    """Both configurations under further seeds, which chose nothing: the counts of each fold, one seed after another."""
    seeds = range(search.seed + 1, search.seed + 1 + search.project.settings.tuning.confirm)
    if best.is_start or not seeds:
        return Further([], [])
    key = f"confirmed-{best.number}-{list(seeds)}"
    known = study.remembered(key)
    if known is None:
        wanted = [
            (name, search.part(trial, fold, seed))
            for seed in seeds
            for name, trial in (("start", start), ("best", best))
            for fold in range(len(search.folds))
        ]
        known = {"start": [], "best": []}
        with bar("Further seeds", len(wanted), "folds") as advance:
            for (name, part), result in zip(wanted, run(try_fold, [part for _, part in wanted]), strict=True):
                if result.reason:
                    raise TrainingError(where=str(part), problem=result.reason, remedy="Run the same command again.")
                known[name].append({subject: cells.tolist() for subject, cells in result.counts.items()})
                advance()
        study.remember(key, known)
    return Further(_counts(known["start"]), _counts(known["best"]))


def _counts(folds: Sequence[Mapping[str, Any]]) -> list[Counts]:
    return [{subject: np.array(cells, np.int64) for subject, cells in fold.items()} for fold in folds]
