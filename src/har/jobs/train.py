"""Train a challenger on the lake as it is now, register it and let it meet the champion; the winner serves.

The same recipe (data version, settings, split, seed, commit) is trained once; asked again, its version is reported. A
run that was killed goes on where it stopped: each step finds what the one before it left.
"""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass, field
from pathlib import Path

from rich.markup import escape

from har.console import bar, console
from har.errors import MonitoringError
from har.experiment import Champion, challenge, make_recipe, run
from har.files import write_atomically
from har.jobs._due import FAILED
from har.jobs._each import Each, in_turn, once
from har.jobs._events import Send, nobody_listens, promotion
from har.jobs.package import TAGS
from har.lake import newest_day
from har.monitoring import LAKE_TO, REFERENCE, REFERENCE_PROFILE, DecisionRow, find_decision, mark
from har.pages import write_index
from har.project import Project
from har.recipe import Recipe
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
        page: the version's page; None: this run was for a decision that needs no training.
    """

    version: int
    trained: bool
    promoted: bool
    reasons: tuple[str, ...]
    metrics: dict[str, float]
    page: Path | None = None


@dataclass(frozen=True)
class Order:
    """What is to be trained, and why.

    Attributes:
        project: its lake, settings and champion.
        network: by default har.toml's.
        seed: by default har.toml's.
        since: first day of a new distribution: the gate then judges on the days before and on those since.
        why: tags of the version: the reason in words, and the decision that started it.
    """

    project: Project
    network: str | None = None
    seed: int | None = None
    since: dt.date | None = None
    why: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.network or self.project.settings.training.network


@dataclass(frozen=True)
class Trained:
    """A recipe, the folder with its model and figures, and why it was trained."""

    project: Project
    recipe: Recipe
    folder: Path
    why: dict[str, str]

    def __str__(self) -> str:
        return f"{self.recipe.network} on {self.recipe.data_version}"


@dataclass(frozen=True)
class Challenger:
    """A registered version that is to meet the champion, and why it was trained."""

    project: Project
    version: int
    why: dict[str, str]

    def __str__(self) -> str:
        return f"version {self.version}"


def train(
    project: Project,
    *,
    network: str | None = None,
    seed: int | None = None,
    since: dt.date | None = None,
    decision: str | None = None,
    reason: str | None = None,
    each: Each = in_turn,
    send: Send = nobody_listens,
    automatic: bool = True,
) -> TrainReport:
    """Train a challenger on the lake's labelled windows and let it meet the champion.

    Started for a decision of `monitor`, it notes in the log of decisions what came of it. For one that is handled it
    does nothing; one that another champion made void, or that comes while trainings may not start by themselves, it
    closes.

    Args:
        project: its lake, settings and champion.
        network: a network's name; by default har.toml's.
        seed: by default har.toml's.
        since: first day of a new distribution: the gate then judges on the days before and on those since.
        decision: id of the decision that started this; it names `since` and `reason`.
        reason: in words; goes into the promotion log.
        each: how to run the steps.
        send: where the news of a promotion goes.
        automatic: whether trainings may start by themselves.

    Raises:
        MonitoringError: no decision has this id.
        NotEnoughDataError: no labelled windows, too few subjects, or nobody that the champion has not seen.
    """
    if decision is None:
        return _train(Order(project, network, seed, since, {"reason": reason} if reason else {}), each, send)
    row = find_decision(project.lake, decision)
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
    elif not automatic:
        outcome = "switched off"
    else:
        return _train_for(row, Order(project, network, seed), each, send)
    if row.handled_at is None:
        _handled(project, row, outcome)
    console.print(f"Decision {decision} is handled: {outcome}.", highlight=False)
    return TrainReport(champion.number, False, False, (outcome,), champion.metrics)


def settle_recipe(order: Order) -> Recipe:
    """Fix data version, split, seed and commit."""
    project = order.project
    git = git_state(project.settings.root)
    champion = project.champion
    known = Recipe(**project.registry.recipe(champion.number)) if champion else None
    return make_recipe(
        project.settings,
        project.lake,
        network=order.network,
        seed=order.seed,
        git_commit=git.commit,
        git_dirty=git.dirty,
        **(known.continued(order.since) if known else {}),
    )


def fit_and_export(trained: Trained) -> None:
    """Train, export and judge; writes the model and its figures into the folder."""
    epochs = trained.project.settings.training.epochs
    # An epoch is run twice at most: to find the best one, and to train on everybody up to it.
    with bar(f"Training {trained.recipe.network}", 2 * epochs, "epochs") as advance:
        made = run(
            trained.recipe,
            trained.folder,
            on_epoch=lambda epoch: advance(str(epoch)),
            champion=_champion(trained.project),
        )
    if made.missing_activities:
        names = escape(", ".join(made.missing_activities))
        console.print(
            f"[yellow]No training window of {names}: the model will never find it.[/] "
            "Record and label it, or take it out of har.toml (activities.names)."
        )


def register(trained: Trained) -> int:
    """Register what `fit_and_export` wrote, and make it the challenger."""
    project, recipe, folder, why = trained.project, trained.recipe, trained.folder, trained.why
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
    path = write_atomically(_page(project, version.number), page)
    write_index(path.parent, title=project.settings.project.name)
    return version.number


def gate(challenger: Challenger) -> tuple[bool, tuple[str, ...]]:
    """Let the challenger meet the champion on subjects that neither has seen, and move the aliases.

    Returns:
        Whether it serves now, and the gate's words.
    """
    project, version, why = challenger.project, challenger.version, challenger.why
    registry = project.registry
    verdict = challenge(
        registry.model_path(version),
        Recipe(**registry.recipe(version)),
        registry.version(version).metrics,
        champion=_champion(project),
        settings=project.settings,
    )
    decide = registry.promote if verdict.promote else registry.reject
    # A promotion's moment is the clock's; what is watched from then on are the days after the lake's newest.
    newest = newest_day([date for date, _ in project.lake.samples.partitions()])
    figures = {**verdict.to_json(), **why, LAKE_TO: newest.isoformat()}
    words = [*([f"Trained because: {why['reason']}"] if why else []), *verdict.reasons]
    decide(version, reason=" ".join(words), who=whoami(), figures=figures, by_gate=True)
    return verdict.promote, tuple(verdict.reasons)


def _train_for(row: DecisionRow, order: Order, each: Each, send: Send) -> TrainReport:
    project = order.project
    # Counted before it begins: a training that kills its process is an attempt too.
    mark(project.lake, [row], attempts=row.attempts + 1, outcome="begun")
    since = row.payload.get("since")
    why = {"reason": str(row.payload["reason"]), "started_by": row.event, "decision": row.decision_id}
    order = Order(project, order.network, order.seed, dt.date.fromisoformat(since) if since else None, why)
    try:
        report = _train(order, each, send)
    except Exception as error:
        mark(project.lake, [row], outcome=f"{FAILED}{type(error).__name__}: {error}")
        raise
    outcome = "promoted" if report.promoted else f"rejected: {' '.join(report.reasons)}"
    _handled(project, row, f"version {report.version} {outcome}")
    return report


def _handled(project: Project, row: DecisionRow, outcome: str) -> None:
    mark(project.lake, [row], handled_at=dt.datetime.now(dt.UTC), outcome=outcome)


def _train(order: Order, each: Each, send: Send) -> TrainReport:
    project, why = order.project, order.why
    registry = project.registry
    recipe = once(each, settle_recipe, order)
    known = next((version for version in registry.versions() if version.tags.get("recipe_key") == recipe.key), None)
    if known is None:
        trained = Trained(project, recipe, project.settings.path("runs") / recipe.key, why)
        once(each, fit_and_export, trained)
        number = once(each, register, trained)
    else:
        number = known.number
        console.print(f"Version {number} has this recipe already: nothing to train.")
    if any(move.version == number and move.action != "challenge" for move in registry.log()):
        promoted, reasons = _decided_before(project, number)
    else:
        promoted, reasons = once(each, gate, Challenger(project, number, why))
    version = registry.version(number)
    if promoted and not all(name in version.tags for name in TAGS):
        # Events can be lost: a champion that nobody packaged is announced again by the next run.
        why_not = send(promotion(number))
        if why_not:
            console.print(f"Build its bentos: har package. [dim]({escape(why_not)})[/]", highlight=False)
    return TrainReport(number, known is None, promoted, reasons, version.metrics, _page(project, number))


def _decided_before(project: Project, number: int) -> tuple[bool, tuple[str, ...]]:
    """Whether a version that met its champion before serves now, and why."""
    moves = [move for move in project.registry.log() if move.version == number and move.action != "challenge"]
    champion = project.champion
    if champion is not None and champion.number == number:
        return True, (moves[-1].reason,)
    if moves[-1].champion_after == number:
        now = f"version {champion.number}" if champion else "nobody"
        return False, (f"It served before, and {now} was put in its place.",)
    return False, (moves[-1].reason,)


def _champion(project: Project) -> Champion | None:
    registry, version = project.registry, project.champion
    if version is None:
        return None
    number = version.number
    return Champion(number, registry.model_path(number), Recipe(**registry.recipe(number)))


def _page(project: Project, version: int) -> Path:
    return project.settings.path("reports") / f"model-{version}.html"
