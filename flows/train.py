"""`train`: the lake as it is now in, a registered version out; it serves if it passes the gate."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prefect import flow, task
from prefect.artifacts import create_link_artifact, create_table_artifact
from prefect.cache_policies import NO_CACHE
from rich.markup import escape

from flows._console import bar, console
from flows._events import promotion, send
from flows._project import FAILED, IO_RETRIES, Project, current_champion, open_project, retraining_is_on
from har.errors import MonitoringError
from har.experiment import Recipe, challenge, make_recipe, run
from har.files import write_atomically
from har.lake import newest_day
from har.monitoring import DecisionLog
from har.monitoring.decisions import LAKE_TO, DecisionRow
from har.monitoring.drift import REFERENCE, REFERENCE_PROFILE
from har.packaging import TAGS
from har.registry import git_state, whoami


@dataclass(frozen=True)
class TrainReport:
    """What a run of `train` did.

    Attributes:
        version: the registered version.
        trained: False if this recipe was registered before.
        promoted: whether it serves now.
        reasons: the gate's words.
        metrics: figures on the held-out subjects.
    """

    version: int
    trained: bool
    promoted: bool
    reasons: tuple[str, ...]
    metrics: dict[str, float]


@task(name="settle-recipe", **IO_RETRIES)
def settle_recipe(project: Project, network: str | None, seed: int | None, since: dt.date | None = None) -> Recipe:
    """Fix data version, split, seed and commit; `since` is the first day of a drift to be trained on."""
    git = git_state(project.settings.root)
    champion = current_champion(project.registry)
    known = Recipe(**project.registry.recipe(champion.number)) if champion else None
    return make_recipe(
        project.settings,
        project.lake,
        network=network,
        seed=seed,
        git_commit=git.commit,
        git_dirty=git.dirty,
        **(known.continued(since) if known else {}),
    )


@task(name="fit-and-export", cache_policy=NO_CACHE)
def fit_and_export(project: Project, recipe: Recipe) -> Path:
    """Train, export and judge; returns the folder with the model and its figures."""
    folder = project.settings.path("runs") / recipe.key
    epochs = project.settings.training.epochs
    # An epoch is run twice at most: to find the best one, and to train on everybody up to it.
    with bar(f"Training {recipe.network}", 2 * epochs, "epochs") as advance:
        run(recipe, folder, on_epoch=lambda epoch: advance(f"{epoch.phase}, loss {epoch.loss:.3f}"))
    return folder


@task(name="register", **IO_RETRIES)
def register(project: Project, recipe: Recipe, folder: Path, why: dict[str, str]) -> int:
    """Register what `fit_and_export` wrote, and make it the challenger."""
    registry = project.registry
    metrics: dict[str, float] = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    beside = [folder / name for name in (REFERENCE, REFERENCE_PROFILE)]
    version = registry.register(
        folder / "model.onnx",
        params={
            "network": recipe.network,
            "seed": recipe.seed,
            **recipe.settings["training"],
            **recipe.settings["windows"],
        },
        metrics=metrics,
        recipe=recipe.to_json(),
        report=folder / "report.html",
        extra_artifacts=[path for path in beside if path.is_file()],
        tags={**recipe.tags(), **why},
    )
    registry.set_challenger(version.number, reason=why.get("reason", "registered"))
    page = (folder / "report.html").read_bytes()
    write_atomically(_report(project, version.number), page)
    return version.number


@task(name="gate", **IO_RETRIES)
def gate(project: Project, version: int, why: dict[str, str]) -> dict[str, Any]:
    """Let the challenger meet the champion on subjects that neither has seen, and move the aliases."""
    registry = project.registry
    champion = current_champion(registry)
    verdict = challenge(
        registry.model_path(version),
        Recipe(**registry.recipe(version)),
        registry.version(version).metrics,
        champion=registry.model_path(champion.number) if champion else None,
        champion_recipe=Recipe(**registry.recipe(champion.number)) if champion else None,
        settings=project.settings,
    )
    decide = registry.promote if verdict.promote else registry.reject
    # A promotion's moment is the clock's; what is watched from then on are the days after the lake's newest.
    newest = newest_day([date for date, _ in project.lake.samples.partitions()])
    figures = {**verdict.to_json(), **why, LAKE_TO: newest.isoformat()}
    words = [*([f"Trained because: {why['reason']}"] if why else []), *verdict.reasons]
    decide(version, reason=" ".join(words), who=whoami(), figures=figures, by_gate=True)
    return {"promoted": verdict.promote, "reasons": verdict.reasons}


@flow(name="train")
def train(
    network: str | None = None,
    seed: int | None = None,
    since: dt.date | None = None,
    decision: str | None = None,
    reason: str | None = None,
) -> TrainReport:
    """Train a challenger on the lake's labelled windows and let it meet the champion.

    The same recipe (data version, settings, split, seed, commit) is trained once; asked again, its version is reported.
    Started for a decision of `monitor`, it notes in the log of decisions what came of it. For one that is handled it
    does nothing; one that another champion made void, or that comes while `prefect variable set har_retraining off`
    holds, it closes.

    Args:
        network: `spectral` or `dscnn`; by default har.toml's.
        seed: by default har.toml's.
        since: first day of a new distribution: the gate then judges on the days before and on those since.
        decision: id of the decision that started this; it names the other two.
        reason: in words; goes into the promotion log.

    Raises:
        MonitoringError: no decision has this id.
    """
    project = open_project()
    if decision is None:
        return _train(project, network, seed, since, {"reason": reason} if reason else {})
    row = DecisionLog(project.lake).find(decision)
    if row is None:
        raise MonitoringError(
            where="train, decision",
            expected="a decision in the lake's log",
            got=repr(decision),
            remedy="Leave it out to train by hand.",
        )
    champion = project.registry.champion()
    if row.handled_at is not None:
        outcome = row.outcome
    elif row.model_version != champion.number:
        outcome = f"void: version {champion.number} serves since"
    elif not retraining_is_on():
        outcome = "switched off"
    else:
        return _train_for(project, row, network, seed)
    if row.handled_at is None:
        _handled(project, row, outcome)
    console.print(f"Decision {decision} is handled: {outcome}.", highlight=False)
    return TrainReport(champion.number, False, False, (outcome,), champion.metrics)


def _train_for(project: Project, row: DecisionRow, network: str | None, seed: int | None) -> TrainReport:
    # Counted before it begins: a training that kills its process is an attempt too.
    DecisionLog(project.lake).mark([row], attempts=row.attempts + 1, outcome="begun")
    since = row.payload.get("since")
    why = {"reason": str(row.payload["reason"]), "started_by": row.event, "decision": row.decision_id}
    try:
        report = _train(project, network, seed, dt.date.fromisoformat(since) if since else None, why)
    except Exception as error:
        DecisionLog(project.lake).mark([row], outcome=f"{FAILED}{type(error).__name__}: {error}")
        raise
    said = "promoted" if report.promoted else f"rejected: {' '.join(report.reasons)}"
    _handled(project, row, f"version {report.version} {said}")
    return report


def _handled(project: Project, row: DecisionRow, outcome: str) -> None:
    DecisionLog(project.lake).mark([row], handled_at=dt.datetime.now(dt.UTC), outcome=outcome)


def _train(
    project: Project, network: str | None, seed: int | None, since: dt.date | None, why: dict[str, str]
) -> TrainReport:
    registry = project.registry
    recipe = settle_recipe(project, network, seed, since)
    known = next((version for version in registry.versions() if version.tags.get("recipe_key") == recipe.key), None)
    if known is None:
        number = register(project, recipe, fit_and_export(project, recipe), why)
    else:
        number = known.number
        console.print(f"Version {number} has this recipe already: nothing to train.")
    if any(move.version == number and move.action != "challenge" for move in registry.log()):
        promoted, reasons = _decided_before(project, number)
    else:
        decided = gate(project, number, why)
        promoted, reasons = decided["promoted"], decided["reasons"]
    version = registry.version(number)
    if promoted and not all(name in version.tags for name in TAGS):
        # Events can be lost: a champion that nobody packaged is announced again by the next run.
        why_not = send(promotion(project.settings, number))
        if why_not:
            console.print(
                f"[yellow]The Prefect server did not take the news ({escape(why_not)}).[/] Package: har package."
            )
    report = TrainReport(number, known is None, promoted, tuple(reasons), version.metrics)
    create_table_artifact(
        key="train-run",
        table=[{"figure": name, "value": f"{value:.4f}"} for name, value in sorted(report.metrics.items())],
        description=f"Version {number}, {'promoted' if promoted else 'not promoted'}: {' '.join(report.reasons)}",
    )
    create_link_artifact(
        key="train-report",
        link=_report(project, number).as_uri(),
        description=f"Version {number} on the held-out subjects.",
    )
    return report


def _decided_before(project: Project, number: int) -> tuple[bool, list[str]]:
    """Whether a version that met its champion before serves now, and why."""
    moves = [move for move in project.registry.log() if move.version == number and move.action != "challenge"]
    champion = current_champion(project.registry)
    if champion is not None and champion.number == number:
        return True, [moves[-1].reason]
    if moves[-1].champion_after == number:
        now = f"version {champion.number}" if champion else "nobody"
        return False, [f"It served before, and {now} was put in its place."]
    return False, [moves[-1].reason]


def _report(project: Project, version: int) -> Path:
    return project.settings.path("reports") / f"model-{version}.html"
