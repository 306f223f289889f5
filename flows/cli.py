"""The `har` command: one more door to the same flows, and the registry's hand tools."""

from __future__ import annotations

import contextlib
import datetime as dt
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from flows._environment import quiet_environment

os.environ.update({name: value for name, value in quiet_environment().items() if name not in os.environ})

import typer
from rich.console import Console
from rich.table import Table

from flows.import_cli import import_recordings
from har.errors import HarError
from har.files import write_atomically
from har.registry import whoami
from har.settings import check_network, load_settings, network_names

app = typer.Typer(
    no_args_is_help=True, add_completion=False, rich_markup_mode="markdown", pretty_exceptions_enable=False
)
out = Console()

Date = Annotated[dt.datetime | None, typer.Option(formats=["%Y-%m-%d"], help="This date only; by default all.")]
Network = Annotated[
    str | None,
    typer.Option(
        help=f"{', '.join(network_names())}, or a Python file that holds a network; by default har.toml's.",
        callback=lambda name: name and check_network(name),
    ),
]
Reason = Annotated[str, typer.Option(help="Why; goes into the promotion log.")]


@app.command()
def demo(
    first_act: Annotated[bool, typer.Option("--first-act", help="End before the watch is turned.")] = False,
) -> None:
    """Run the whole loop on real recordings; a project about other activities than theirs runs it in demo/."""
    from flows.demo import run_demo

    run_demo(load_settings(), second_act=not first_act)


@app.command()
def replay() -> None:
    """Write the embedded sample's recordings into the inbox, as daily uploads."""
    from har.recordings import replay as write

    settings = load_settings()
    report = write(settings.path("inbox"), settings)
    out.print(f"{report.written} files written, {report.present} there already: {settings.path('inbox')}")


app.command("import")(import_recordings)


@app.command()
def ingest(
    date: Date = None,
    replace: Annotated[bool, typer.Option(help="Replace sessions that were ingested with other content.")] = False,
) -> None:
    """Bring the inbox into the lake; bad files go to quarantine."""
    from flows.ingest import ingest as flow

    report = _run(flow, date=date.date() if date else None, replace=replace)
    out.print(
        f"{len(report.landed)} files landed ({report.samples} samples), {len(report.known)} known already, "
        f"{len(report.quarantined)} quarantined."
    )
    if report.unfinished:
        out.print(f"{len(report.unfinished)} still being uploaded; the next run takes them.")


@app.command()
def train(
    network: Network = None,
    seed: Annotated[int | None, typer.Option(min=0)] = None,
    decision: Annotated[str | None, typer.Option(help="Id of the decision of `har monitor` to train for.")] = None,
) -> None:
    """Train a challenger and let it meet the champion."""
    from flows.train import train as flow

    report = _run(flow, network=network, seed=seed, decision=decision)
    out.print(
        f"Version {report.version}: accuracy {report.metrics['accuracy']:.1%} on the held-out subjects, "
        f"{'champion' if report.promoted else 'not promoted'}."
    )
    for reason in report.reasons:
        out.print(f"  {reason}", highlight=False)


@app.command()
def evaluate(
    network: Network = None,
    folds: Annotated[int | None, typer.Option(min=2)] = None,
    seeds: Annotated[int, typer.Option(min=1)] = 3,
) -> None:
    """Cross-validate by subject on what the lake holds; writes reports/evaluation.json and .html."""
    from flows.evaluate import evaluate as flow

    flat = _run(flow, network=network, folds=folds, seeds=seeds)
    title = f"{flat['network']}, {flat['folds']} folds by subject, {flat['seeds']} seeds"
    table = Table(title=title, show_header=False)
    for name in ("accuracy", "accuracy_std", "accuracy_low", "accuracy_high", "macro_f1", "subjects", "windows"):
        table.add_row(name, f"{flat[name]:.4f}" if isinstance(flat[name], float) else str(flat[name]))
    out.print(table)
    out.print(f"Page: {load_settings().path('reports') / 'evaluation.html'}")


@app.command()
def score(
    date: Date = None,
    rescore: Annotated[bool, typer.Option(help="Also what another version than the champion scored.")] = False,
) -> None:
    """Score what no model has scored yet, and write each day's activity summary."""
    from flows.score import score as flow

    report = _run(flow, date=date.date() if date else None, rescore=rescore)
    out.print(
        f"{report.windows} windows of {report.partitions} subject-days scored by version {report.model_version} "
        f"in {report.seconds:.1f} s."
    )


@app.command()
def collect() -> None:
    """Bring the online service's prediction log and feedback into the lake; bad lines are set aside."""
    from flows.collect import collect as flow

    report = _run(flow)
    out.print(
        f"{report.requests} windows and {report.labels} labels of {report.files} log files collected, "
        f"{len(report.bad)} bad lines, {report.torn} torn ones."
    )
    if report.open:
        out.print(f"{report.open} files are still being written; the next run takes the rest.")
    if report.waiting:
        out.print(f"{report.waiting} labels wait for their requests.")
    if report.unmatched:
        out.print(f"[yellow]{report.unmatched} answers of a shadow model[/] belong to no request in the lake.")


@app.command()
def monitor(
    date: Date = None,
    again: Annotated[bool, typer.Option(help="Also days that were judged before.")] = False,
) -> None:
    """Compare scored days with what the champion was trained on; report, decide, and say so."""
    from flows.monitor import monitor as flow

    report = _run(flow, date=date.date() if date else None, again=again)
    table = Table("day", "subjects", "score", "verdict", title=f"Days against version {report.model_version}")
    for day in report.days:
        score = f"{day.score:.2f}" if day.judged else "-"
        table.add_row(str(day.date), str(day.subjects), f"[red]{score}[/]" if day.alarmed else score, day.verdict)
    if report.days:
        out.print(table)
    else:
        out.print("No day is to be judged: they were, or are not over, or were not scored yet.")
    for row in report.decisions:
        out.print(f"{row.date}: {row.action}. {' '.join(row.reasons)}", highlight=False, markup=False)
        if row.action == "retrain" and row.handled_at is None:
            out.print(f"  `make up` trains for it; by hand: har train --decision {row.decision_id}", highlight=False)
    if report.index:
        out.print(f"Page: {report.index}")


@app.command()
def labels(
    take: Annotated[Path | None, typer.Argument(help="A CSV with subject, start, end and activity to take in.")] = None,
    ask: Annotated[Path | None, typer.Option("--out", help="Write the windows asked for to this CSV.")] = None,
) -> None:
    """Show the windows whose labels would help most, write them to a CSV, or take labels from one."""
    from flows._project import open_project
    from har.labelling import add_labels, open_questions, read_answers

    project = open_project()
    if take is not None:
        answers = read_answers(take, project.settings)
        out.print(f"{add_labels(project.lake, answers)} labels are new, of {len(answers)} in {take}.", highlight=False)
        return
    questions = open_questions(project.lake)
    if ask is not None:
        write_atomically(ask, questions.write_csv())
        out.print(f"{len(questions)} windows to label: {ask}. Fill in the column activity, then: har labels {ask}")
        return
    table = Table("subject", "start", "end", "believed", "confidence", title="Labels that would help most")
    for row in questions.iter_rows(named=True):
        stamps = [f"{row[name]:%Y-%m-%d %H:%M:%S}" for name in ("start", "end")]
        table.add_row(row["subject"], *stamps, row["believed"], f"{row['confidence']:.2f}")
    out.print(table)


@app.command()
def package(
    version: Annotated[int | None, typer.Option(min=1, help="Another version than the champion.")] = None,
    shadow: Annotated[
        int | None, typer.Option(min=1, help="A version that looks on; by default the challenger.")
    ] = None,
) -> None:
    """Build the champion's bentos, the online API and the batch scorer, try them and record them."""
    from flows.package import package as flow

    report = _run(flow, version=version, shadow=shadow)
    out.print(
        f"Version {report.version}: {report.online_tag} and {report.batch_tag}, "
        f"{'built and tried' if report.built else 'built before'}, {report.seconds:.1f} s.",
        highlight=False,
    )


@app.command()
def models() -> None:
    """List the registered versions and the promotion log."""
    registry = _registry()
    table = Table("version", "aliases", "created", "network", "data", "accuracy", "macro-F1", title="Versions")
    for version in registry.versions():
        figures = [
            f"{version.metrics[name]:.3f}" if name in version.metrics else "" for name in ("accuracy", "macro_f1")
        ]
        tags = [version.tags.get(name, "") for name in ("network", "data_version")]
        created = f"{version.created:%Y-%m-%d %H:%M}"
        table.add_row(str(version.number), ", ".join(version.aliases), created, *tags, *figures)
    out.print(table)
    log = Table("when", "who", "what", "version", "why", title="Promotion log")
    for move in registry.log():
        log.add_row(str(move.when)[:16], move.who, move.action, str(move.version), move.reason)
    out.print(log)


@app.command()
def promote(version: int, reason: Reason) -> None:
    """Make a version the champion by hand."""
    _registry().promote(version, reason=reason, who=whoami(), figures=None)
    out.print(f"Version {version} is the champion. `har score --rescore` scores old days with it.")
    _announce(version)


@app.command()
def rollback(reason: Reason) -> None:
    """Give the champion's place back to the previous version."""
    move = _registry().rollback(reason=reason, who=whoami())
    out.print(f"Version {move.version} is the champion again. `har score --rescore` scores old days with it.")
    _announce(move.version)


@app.command()
def reproduce(version: int) -> None:
    """Retrain a version from its recorded commit, data and seed, and compare the figures."""
    from har.registry import reproduce as retrain

    settings = load_settings()
    with out.status(f"Retraining version {version} …"):
        result = retrain(_registry(), version, root=settings.root, lake=settings.path("lake"))
    table = Table("figure", "recorded", "reproduced", "equal", title=f"Version {version}")
    for row in result.rows:
        table.add_row(row.metric, _figure(row.recorded), _figure(row.reproduced), "yes" if row.equal else "[red]no[/]")
    out.print(table)
    for note in result.notes:
        out.print(note, highlight=False)
    if not result.equal:
        raise typer.Exit(1)


@app.command()
def status() -> None:
    """Say what the lake and the registry hold."""
    from flows._project import current_champion, open_project
    from har.packaging import TAGS

    project = open_project()
    table = Table("table", "version", "partitions", "rows")
    for name in ("samples", "recordings", "predictions", "scores", "requests", "labels", "profiles", "drift"):
        part = getattr(project.lake, name)
        rows = part.scan().select("date").collect().height
        table.add_row(name, str(part.version()), str(len(part.partitions())), f"{rows:,}")
    out.print(table)
    champion = current_champion(project.registry)
    out.print(f"Champion: {f'version {champion.number}' if champion else 'none yet; train one: har train'}")
    if champion:
        bentos = [champion.tags[name] for name in TAGS if name in champion.tags]
        out.print(f"Bentos: {', '.join(bentos) or 'none with it; build them: har package'}", highlight=False)
    newest = project.lake.decisions.read(columns=["date", "decided_at", "action", "outcome"]).sort("date", "decided_at")
    if len(newest):
        day, _, action, outcome = newest.row(-1)
        out.print(
            f"Monitored up to {day}: {action}{f' ({outcome})' if outcome else ''}.", highlight=False, markup=False
        )
    quarantine = project.settings.path("quarantine")
    waiting = sum(1 for path in quarantine.rglob("*") if path.is_file() and path.suffix != ".json")
    if waiting:
        out.print(f"[yellow]{waiting} files in quarantine[/]: {quarantine}")
    journal = project.settings.path("journal")
    logs, bad = (sum(1 for _ in journal.glob(f"*.{ending}")) for ending in ("jsonl", "jsonl.bad"))
    if logs:
        out.print(f"{logs} log files of the online service to collect: {journal}")
    if bad:
        out.print(f"[yellow]{bad} files of bad log lines[/]: {journal}")


@app.command()
def up(
    prefect_port: Annotated[int, typer.Option()] = 4200,
    mlflow_port: Annotated[int, typer.Option()] = 5000,
) -> None:
    """Start Prefect server, worker, deployments and the MLflow page; Ctrl-C stops them."""
    from infra.local.stack import run_stack

    raise typer.Exit(run_stack(load_settings().root, prefect_port=prefect_port, mlflow_port=mlflow_port))


def _figure(value: float | None) -> str:
    return "none" if value is None else f"{value:.8f}"


def _announce(version: int) -> None:
    """Let the local stack, if there is one, package the new champion."""
    from flows._events import announce_promotion

    trouble = announce_promotion(load_settings(), version)
    if trouble:
        Console(stderr=True).print(f"[yellow]{trouble}[/]", highlight=False, soft_wrap=True)


def _registry() -> Any:
    from flows._project import open_project

    return open_project().registry


def _run(flow: Any, **parameters: Any) -> Any:
    """Run a flow in this process: on the server of PREFECT_API_URL, on the one of `make up`, or on one for this run."""
    from flows._server import local_server

    # What goes wrong in a run ends the command, with words or a traceback: Prefect's own would be a second one.
    for name in ("prefect.flow_runs", "prefect.task_runs"):
        logging.getLogger(name).setLevel(logging.CRITICAL)

    if "PREFECT_API_URL" in os.environ:
        return flow(**parameters)
    with local_server(load_settings().root / ".prefect"):
        return flow(**parameters)


@contextlib.contextmanager
def _words_for_errors() -> Iterator[None]:
    try:
        yield
    except HarError as error:
        Console(stderr=True).print(f"[red]{type(error).__name__}[/]: {error}", highlight=False, soft_wrap=True)
        sys.exit(2)


def main() -> None:
    """Run the command line; our own errors end it with words and status 2."""
    logging.getLogger("prefect").setLevel(logging.WARNING)
    # `infra` is run from the project's folder and is not installed.
    sys.path.insert(0, str(Path.cwd()))
    with _words_for_errors():
        app()


if __name__ == "__main__":
    main()
