"""Commands about models: train, evaluate, package, list, promote, roll back, reproduce."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from har.settings import Settings, load_settings
from har_cli._shared import Network, ViaPrefect, automatic_retraining, out, run, sender

Reason = Annotated[str, typer.Option(help="The reason, for the promotion log.")]


def train(
    network: Network = None,
    seed: Annotated[int | None, typer.Option(min=0)] = None,
    decision: Annotated[str | None, typer.Option(help="Id of the decision of `har monitor` to train for.")] = None,
    via_prefect: ViaPrefect = False,
) -> None:
    """Train a challenger and compare it with the champion."""

    def job() -> object:
        from har.project import open_project

        project = open_project()
        project.lake.require_samples()  # before torch is imported, which takes seconds
        from har.jobs.train import train

        return train(
            project,
            network=network,
            seed=seed,
            decision=decision,
            send=sender(project.settings),
            automatic=decision is None or automatic_retraining(project.settings),
        )

    def flow() -> object:
        from flows.train import train

        return train(network=network, seed=seed, decision=decision)

    report = run(job, flow, via_prefect=via_prefect)
    out.print(
        f"Version {report.version}: accuracy {report.metrics['accuracy']:.1%} on the held-out subjects, "
        f"{'champion' if report.promoted else 'not promoted'}."
    )
    for reason in report.reasons:
        out.print(f"  {reason}", highlight=False, markup=False)
    if report.page and not report.promoted:
        out.print(
            f"  Look at {report.page}; to promote it all the same: har promote {report.version} --reason WHY",
            highlight=False,
            markup=False,
        )


def evaluate(
    network: Network = None,
    folds: Annotated[int | None, typer.Option(min=2)] = None,
    seeds: Annotated[int, typer.Option(min=1)] = 3,
    resamples: Annotated[int, typer.Option(min=1, help="Of the bootstrap over subjects, for the intervals.")] = 2000,
    via_prefect: ViaPrefect = False,
) -> None:
    """Cross-validate by subject on the lake's labelled windows; writes reports/evaluation.json and .html."""

    def job() -> object:
        from har.project import open_project

        project = open_project()
        project.lake.require_samples()  # before torch is imported, which takes seconds
        from har.jobs.evaluate import evaluate

        return evaluate(project, network=network, folds=folds, seeds=seeds, resamples=resamples)

    def flow() -> object:
        from flows.evaluate import evaluate

        return evaluate(network=network, folds=folds, seeds=seeds, resamples=resamples)

    flat = run(job, flow, via_prefect=via_prefect)
    title = f"{flat['network']}, {flat['folds']} folds by subject, {flat['seeds']} seeds"
    table = Table(title=title, show_header=False)
    for name in ("accuracy", "accuracy_std", "accuracy_low", "accuracy_high", "macro_f1", "subjects", "windows"):
        table.add_row(name, f"{flat[name]:.4f}" if isinstance(flat[name], float) else str(flat[name]))
    out.print(table)
    out.print(f"Page: {load_settings().path('reports') / 'evaluation.html'}")


def package(
    version: Annotated[int | None, typer.Option(min=1, help="Another version than the champion.")] = None,
    shadow: Annotated[
        int | None, typer.Option(min=1, help="The shadow model's version; by default the challenger.")
    ] = None,
    via_prefect: ViaPrefect = False,
) -> None:
    """Build the champion's bentos (online API and batch scorer), test and record them."""

    def job() -> object:
        from har.jobs.package import package
        from har.project import open_project
        from infra.bentoml.bentos import ProjectBentos

        project = open_project()
        return package(project, ProjectBentos.of(project.settings), version=version, shadow=shadow)

    def flow() -> object:
        from flows.package import package

        return package(version=version, shadow=shadow)

    report = run(job, flow, via_prefect=via_prefect)
    out.print(
        f"Version {report.version}: {report.online_tag} and {report.batch_tag}, "
        f"{'built and tested' if report.built else 'built before'}, {report.seconds:.1f} s.",
        highlight=False,
    )
    settings = load_settings()
    if settings.release.automatic and settings.release.place == "here":  # else it follows what is packaged
        _say_who_serves(settings, report.version, f"har release start --version {report.version}")


def list_models(
    verify: Annotated[
        bool, typer.Option("--verify", help="Check that the promotion log was not edited and agrees with MLflow.")
    ] = False,
    card: Annotated[int | None, typer.Option(metavar="VERSION", min=1, help="Print the card of this version.")] = None,
    accept: Annotated[
        str, typer.Option(help="After a loss, take versions and log as they are; the reason, for the new log.")
    ] = "",
) -> None:
    """List the registered versions and the promotion log, or print a version's model card."""
    from har.project import open_project

    registry = open_project().registry
    if card is not None:
        from har.jobs.card import card_of

        print(card_of(registry, card).read_text(encoding="utf-8"), end="")  # as it is, for a pipe into a file
        return
    if accept:
        from har.registry import whoami

        old = registry.accept(reason=accept, who=whoami())
        out.print(f"The promotion log begins anew{f'; the old one: {old}' if old else ''}.", highlight=False)
    if verify:
        lines = registry.verify_log()
        out.print(f"The promotion log was not edited: {lines} lines.")
        return
    if not registry.versions():
        out.print("No version is registered yet. Train one: har train.")
        return
    table = Table("version", "aliases", "created", "network", "trained on", "accuracy", "macro-F1", title="Versions")
    table.columns[4].overflow = "fold"
    for version in registry.versions():
        figures = [
            f"{version.metrics[name]:.3f}" if name in version.metrics else "" for name in ("accuracy", "macro_f1")
        ]
        tags = [version.tags.get("network", ""), _origin(version.tags)]
        created = f"{version.created:%Y-%m-%d %H:%M}"
        table.add_row(str(version.number), ", ".join(version.aliases), created, *tags, *figures)
    out.print(table)
    log = Table("when", "who", "what", "version", "why", title="Promotion log")
    for move in registry.log():
        log.add_row(str(move.when)[:16], move.who, move.action, str(move.version), move.reason)
    out.print(log)
    registry.require_agreement()


def _origin(tags: Mapping[str, str]) -> str:
    """Versions of the tables, DVC's hash of the recordings or why there is none, and the commit of the code."""
    lines = tags.get("data_version", "").partition(", dvc@")[0].replace("@", " ").split(", ")
    if "dvc_inbox" in tags:
        lines.append(f"dvc {tags['dvc_inbox'][:8]}")
    elif "dvc_lacks" in tags:
        lines.append(f"no dvc: {tags['dvc_lacks']}")
    if tags.get("git_commit"):
        lines.append(f"git {tags['git_commit'][:7]}{' and changes' if tags.get('git_dirty') == 'true' else ''}")
    return escape("\n".join(lines))


def promote(version: int, reason: Reason) -> None:
    """Make a version the champion."""
    from har.project import open_project
    from har.registry import whoami

    open_project().registry.promote(version, reason=reason, who=whoami(), figures=None)
    out.print(f"Version {version} is the champion. `har score --rescore` scores old days with it.")
    _announce(version)


def rollback(reason: Reason) -> None:
    """Make the previous champion the champion again; while a release is under way, end it: the former version serves.

    The online service goes back at once, too: by the deployment release/canary where `make up` runs, else by
    `har release start --back`.
    """
    from har.project import open_project
    from har.registry import whoami
    from har_cli.release import abort, under_way

    if under_way(load_settings()) is not None:
        abort(reason)
        return
    move = open_project().registry.rollback(reason=reason, who=whoami())
    out.print(f"Version {move.version} is the champion again. `har score --rescore` scores old days with it.")
    _announce(move.version, back=True)


def reproduce(
    version: int,
    from_snapshot: Annotated[
        bool, typer.Option("--from-snapshot", help="Make the lake again from raw data, even if it is here.")
    ] = False,
) -> None:
    """Train a version again from its recorded commit, data and seed, and compare the figures.

    Where the lake does not have the recorded data, it is made again from the recorded snapshot, in a temporary folder.
    """
    from har.jobs.reproduce import reproduce as retrain
    from har.project import open_project
    from har.snapshots import Snapshots

    project = open_project()
    with out.status(f"Retraining version {version} …"):
        result = retrain(
            project.registry,
            version,
            root=project.settings.root,
            lake=project.settings.location("lake"),
            snapshots=Snapshots(project.settings),
            from_snapshot=from_snapshot,
        )
    table = Table("figure", "recorded", "reproduced", "equal", title=f"Version {version}")
    for row in result.rows:
        table.add_row(row.metric, _figure(row.recorded), _figure(row.reproduced), "yes" if row.equal else "[red]no[/]")
    out.print(table)
    for note in result.notes:
        out.print(note, highlight=False)
    if not result.equal:
        raise typer.Exit(1)


def _figure(value: float | None) -> str:
    return "none" if value is None else f"{value:.8f}"


def _announce(version: int, *, back: bool = False) -> None:
    """Send the event of a promotion to the known server, whose automations package and release the new champion."""
    from har.jobs import no_receiver, promotion_event

    settings = load_settings()
    send = sender(settings)
    if send is no_receiver:
        _say_who_serves(settings, version, f"har release start{' --back' if back else ''}")
        return
    why_not = send(promotion_event(version, back=back))
    if why_not:
        Console(stderr=True).print(
            f"[yellow]The Prefect server did not receive the event ({why_not}). Package by hand: har package.[/]",
            highlight=False,
            soft_wrap=True,
        )


def _say_who_serves(settings: Settings, version: int, command: str) -> None:
    """Where the online service runs and serves another version: the command that releases this one."""
    from har.jobs.release import number_of
    from infra.serving.releasing import place

    serving, _ = place(settings)
    served = number_of(serving.now().stable) if serving else 0
    if served not in (0, version):
        out.print(f"The online service still serves version {served}: {command}", highlight=False)
