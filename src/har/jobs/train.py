"""Train a challenger on the lake, register it and compare it with the champion; the gate decides which one serves.

The same recipe (data version, settings, split, seed, commit) is trained only once; later runs report its version. After
a run that was killed, the next one continues at the step that was not finished.
"""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass, field, replace
from pathlib import Path

from rich.markup import escape

from har.cards import FACTS
from har.challenge import challenge
from har.console import bar, console
from har.devices import DEVICE_REFERENCE
from har.engine import Each, in_turn, once
from har.errors import MonitoringError
from har.evaluation import is_left_to_a_person
from har.experiment import Champion, make_recipe, run
from har.files import write_atomically
from har.jobs._due import FAILED
from har.jobs._events import Send, no_receiver, promotion_event
from har.jobs.card import card_of
from har.jobs.package import TAGS
from har.jobs.snapshot import FILES, before_training, coverage, ingested_files
from har.lake import newest_day, require_samples
from har.monitoring import DecisionLog
from har.monitoring.decisions import LAKE_TO, DecisionRow
from har.monitoring.drift import REFERENCE, REFERENCE_PROFILE
from har.pages import write_index
from har.project import Project
from har.recipe import SOURCES, Recipe
from har.registry import git_state, whoami

_UNDECIDED = ("challenge", "release")
"""Actions of the promotion log that say nothing about whether the gate has judged a version."""


@dataclass(frozen=True)
class TrainReport:
    """The result of `train`.

    Attributes:
        version: the registered version.
        trained: False if this recipe was registered before.
        promoted: whether it serves now.
        reasons: the gate's reasons, in sentences.
        metrics: figures on the held-out subjects.
        page: the version's page; None: the run was for a decision that needs no training any more.
    """

    version: int
    trained: bool
    promoted: bool
    reasons: tuple[str, ...]
    metrics: dict[str, float]
    page: Path | None = None


@dataclass(frozen=True)
class Order:
    """What to train, and why.

    Attributes:
        project: its lake, settings and champion.
        network: None: that of har.toml.
        seed: None: that of har.toml.
        since: first day of a drift; the gate then compares on the days before and on those since.
        why: tags for the version: the reason in words, and the decision that started the training.
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
    """A recipe, the folder for its model and figures, and the reason for the training."""

    project: Project
    recipe: Recipe
    folder: Path
    why: dict[str, str]

    def __str__(self) -> str:
        return f"{self.recipe.network} on {self.recipe.data_version}"


@dataclass(frozen=True)
class Challenger:
    """A registered version to compare with the champion, and the reason for its training."""

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
    send: Send = no_receiver,
    automatic: bool = True,
) -> TrainReport:
    """Train a challenger on the lake's labelled windows and compare it with the champion.

    If a decision of `monitor` started the training, its outcome is written to the log of decisions. A decision that is
    handled is skipped; one that was made for another champion, or while automatic retraining is off, is closed.

    Where a DVC remote is configured, a snapshot of the raw data is taken first (`snapshots.before_training`). If that
    fails, the training goes on, and the recipe says so.

    Args:
        project: its lake, settings and champion.
        network: a network's name; None: that of har.toml.
        seed: None: that of har.toml.
        since: first day of a drift; the gate then compares on the days before and on those since.
        decision: id of the decision that started this; it has `since` and `reason`.
        reason: in words, for the promotion log.
        each: how to run the steps.
        send: sends the event of a promotion.
        automatic: whether retraining may start without a person.

    Raises:
        MonitoringError: no decision has this id.
        NotEnoughDataError: no labelled windows, too few subjects, or no held-out subject that the champion was not
            trained on.
    """
    if decision is None:
        return _train(Order(project, network, seed, since, {"reason": reason} if reason else {}), each, send)
    row = DecisionLog(project.lake).find(decision)
    if row is None:
        raise MonitoringError(
            where="train, decision",
            expected="a decision in the lake's log",
            got=repr(decision),
            remedy="Omit it to train by hand.",
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
    """Decide data version, split, seed and commit; the commit may be that of a snapshot which is taken first."""
    project = order.project
    require_samples(project.lake)
    project.lake.labels.require_all_commits()
    failed = before_training(project)
    git = git_state(project.settings.root)
    champion = project.champion
    previous = project.registry.recipe(champion.number) if champion else None
    recipe = make_recipe(
        project.settings,
        project.lake,
        network=order.network,
        seed=order.seed,
        git_commit=git.commit,
        git_dirty=git.dirty,
        **(previous.continued(order.since) if previous else {}),
    )
    raw = coverage(project, recipe)
    lacks = "; ".join(filter(None, [raw.lacks, failed]))
    return replace(recipe, snapshot=raw.hashes, snapshot_lacks=lacks)


def fit_and_export(trained: Trained) -> None:
    """Train, export and evaluate; writes the model and its figures to the folder."""
    epochs = trained.project.settings.training.epochs
    # At most two rounds of epochs: one to find the best epoch, one to train on all subjects up to it.
    with bar(f"Training {trained.recipe.network}", 2 * epochs, "epochs") as advance:
        made = run(
            trained.recipe,
            trained.folder,
            on_epoch=lambda epoch: advance(str(epoch)),
            champion=_champion(trained.project),
            root=trained.project.settings.root,
        )
    left_out = int(made.metrics["windows_without_signal"])
    if left_out:
        console.print(
            f"[yellow]{left_out} windows without a signal were left out:[/] a sensor was off, stuck or at its limit. "
            "The quality columns of the lake's table `recordings` tell whose.",
            highlight=False,
        )
    if made.missing_activities:
        names = escape(", ".join(made.missing_activities))
        console.print(
            f"[yellow]No training window of {names}: the model will never find it.[/] "
            "Record and label it, or take it out of har.toml (activities.names)."
        )


def register(trained: Trained) -> int:
    """Register the files of `fit_and_export` as a version, and make it the challenger."""
    project, recipe, folder, why = trained.project, trained.recipe, trained.folder, trained.why
    registry = project.registry
    metrics: dict[str, float] = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    beside = [folder / name for name in (FACTS, REFERENCE, REFERENCE_PROFILE, SOURCES, DEVICE_REFERENCE)]
    if recipe.snapshot:
        # The snapshot may hold more, such as files that came after the last ingest.
        files = ingested_files(project, recipe)
        beside.append(write_atomically(folder / FILES, json.dumps(files, indent=0, sort_keys=True)))
    version = registry.register(
        folder / "model.onnx",
        params={
            "network": recipe.network,
            "seed": recipe.seed,
            **recipe.settings["training"],
            **recipe.settings["windows"],
        },
        metrics=metrics,
        recipe=recipe,
        report=folder / "report.html",
        extra_artifacts=[path for path in beside if path.is_file()],
        tags={**recipe.tags(), **why},
    )
    card_of(registry, version.number)
    registry.set_challenger(version.number, reason=why.get("reason", "registered"))
    page = (folder / "report.html").read_bytes()
    path = write_atomically(_page(project, version.number), page)
    write_index(path.parent, title=project.settings.project.name)
    return version.number


def gate(challenger: Challenger) -> tuple[bool, tuple[str, ...]]:
    """Compare challenger and champion on subjects that neither was trained on, and move the aliases.

    Returns:
        Whether the challenger serves now, and the gate's reasons.
    """
    project, version, why = challenger.project, challenger.version, challenger.why
    registry = project.registry
    verdict = challenge(
        registry.model_path(version),
        registry.recipe(version),
        registry.version(version).metrics,
        champion=_champion(project),
        settings=project.settings,
    )
    decide = registry.promote if verdict.promote else registry.reject
    # The promotion log has the time of the clock; probation starts after the newest day in the lake.
    newest = newest_day([date for date, _ in project.lake.samples.partitions()])
    figures = {**verdict.to_json(), **why, LAKE_TO: newest.isoformat()}
    reasons = [*([f"Trained because: {why['reason']}"] if why else []), *verdict.reasons]
    decide(version, reason=" ".join(reasons), who=whoami(), figures=figures, by_gate=True)
    return verdict.promote, tuple(verdict.reasons)


def _train_for(row: DecisionRow, order: Order, each: Each, send: Send) -> TrainReport:
    project = order.project
    # Counted before the training starts: one that kills its process counts, too.
    DecisionLog(project.lake).mark([row], attempts=row.attempts + 1, outcome="begun")
    since = row.payload.get("since")
    why = {"reason": str(row.payload["reason"]), "started_by": row.event, "decision": row.decision_id}
    order = replace(order, since=dt.date.fromisoformat(since) if since else None, why=why)
    try:
        report = _train(order, each, send)
    except Exception as error:
        DecisionLog(project.lake).mark([row], outcome=f"{FAILED}{type(error).__name__}: {error}")
        raise
    word = "left to a person" if is_left_to_a_person(report.reasons) else "rejected"
    outcome = "promoted" if report.promoted else f"{word}: {' '.join(report.reasons)}"
    _handled(project, row, f"version {report.version} {outcome}")
    return report


def _handled(project: Project, row: DecisionRow, outcome: str) -> None:
    DecisionLog(project.lake).mark([row], handled_at=dt.datetime.now(dt.UTC), outcome=outcome)


def _train(order: Order, each: Each, send: Send) -> TrainReport:
    project, why = order.project, order.why
    registry = project.registry
    recipe = once(each, settle_recipe, order)
    known = next((version for version in registry.versions() if version.tags.get("recipe_key") == recipe.key), None)
    if known is None:
        registry.require_place()
        trained = Trained(project, recipe, project.settings.path("runs") / recipe.key, why)
        once(each, fit_and_export, trained)
        number = once(each, register, trained)
    else:
        number = known.number
        console.print(f"Version {number} was trained from this recipe already: nothing to train.")
    if any(move.version == number and move.action not in _UNDECIDED for move in registry.log()):
        promoted, reasons = _decided_before(project, number)
    else:
        promoted, reasons = once(each, gate, Challenger(project, number, why))
    version = registry.version(number)
    if promoted and not all(name in version.tags for name in TAGS):
        # An event can be lost: the next run sends it again if the champion has not been packaged.
        why_not = send(promotion_event(number))
        if why_not:
            console.print(f"Build its bentos: har package. [dim]({escape(why_not)})[/]", highlight=False)
    return TrainReport(number, known is None, promoted, reasons, version.metrics, _page(project, number))


def _decided_before(project: Project, number: int) -> tuple[bool, tuple[str, ...]]:
    """Whether a version that the gate has judged before serves now, and why."""
    log = project.registry.log()
    moves = [move for move in log if move.version == number and move.action not in _UNDECIDED]
    champion = project.champion
    if champion is not None and champion.number == number:
        return True, (moves[-1].reason,)
    if moves[-1].champion_after == number:
        successor = f"version {champion.number}" if champion else "no version"
        return False, (f"It served before; {successor} has replaced it.",)
    return False, (moves[-1].reason,)


def _champion(project: Project) -> Champion | None:
    registry, version = project.registry, project.champion
    if version is None:
        return None
    number = version.number
    return Champion(number, registry.model_path(number), registry.recipe(number), version.metrics.get("accuracy"))


def _page(project: Project, version: int) -> Path:
    return project.settings.path("reports") / f"model-{version}.html"
