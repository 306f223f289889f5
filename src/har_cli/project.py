"""Commands about the whole project: the demo, its status, the local stack."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from har.settings import load_settings
from har_cli._shared import out

_TABLES = ("samples", "recordings", "predictions", "scores", "requests", "labels", "profiles", "drift", "baselines")


def demo(
    acts: Annotated[int, typer.Option(min=1, max=4, help="Run so many acts only; 1: the loop without drift.")] = 4,
) -> None:
    """Run the whole loop on the embedded recordings; a project with other activities runs it in demo/."""
    from har_cli.demo import run_demo

    run_demo(load_settings(), acts=acts)


def status() -> None:
    """Show the content of the lake and the registry."""
    from har.jobs.label import without_subject
    from har.jobs.package import TAGS
    from har.monitoring.decisions import RELEASE, open_training
    from har.project import open_project

    project = open_project()
    table = Table("table", "version", "partitions", "rows")
    for name in _TABLES:
        part = getattr(project.lake, name)
        version = part.version()
        shown = "none yet" if version < 0 else str(version)
        table.add_row(name, shown, str(len(part.partitions())), f"{part.count():,}")
    out.print(table)
    lake = project.settings.location("lake")
    if not lake.is_local:
        out.print(f"The lake is {lake}, at {lake.service.url or 'AWS'}.", highlight=False, soft_wrap=True)
    for batch in without_subject(project.lake):
        out.print(f"[yellow]Labels without a subject[/]; take them out: har labels --undo {batch}", highlight=False)
    champion = project.champion
    out.print(f"Champion: {f'version {champion.number}' if champion else 'none yet; train one: har train'}")
    if champion:
        bentos = [champion.tags[name] for name in TAGS if name in champion.tags]
        out.print(f"Bentos: {', '.join(bentos) or 'none yet; build them: har package'}", highlight=False)
    decisions = project.lake.decisions.read().sort("date", "decided_at")
    decisions = decisions.filter(decisions["action"] != RELEASE)
    if len(decisions):
        newest = decisions.row(-1, named=True)
        outcome = f" ({newest['outcome']})" if newest["outcome"] else ""
        out.print(f"Monitored up to {newest['date']}: {newest['action']}{outcome}.", highlight=False, markup=False)
        waits = open_training(decisions.filter(decisions["action"] == "retrain"))
        if waits:
            out.print(waits.sentence, highlight=False, markup=False, soft_wrap=True)
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


def check(
    repair: Annotated[
        bool,
        typer.Option("--repair", help="Rename unreadable files of logs, and drop data files that cannot be read."),
    ] = False,
    accept: Annotated[
        bool, typer.Option("--accept", help="Go on with what is left: forget losses that cannot be made good.")
    ] = False,
) -> None:
    """Check that no rows, files or models are missing: from logs, without reading data. Ends with 1 if any are."""
    from har.jobs.check import check as job
    from har.project import open_project

    report = job(open_project(), mend=repair, accept=accept)
    for line in report.done:
        out.print(line, highlight=False, markup=False, soft_wrap=True)
    for finding in report.findings:
        out.print(f"[red]{escape(finding.problem)}[/]", highlight=False, soft_wrap=True)
        out.print(f"  {finding.remedy}", highlight=False, markup=False, soft_wrap=True)
    if report.findings:
        raise typer.Exit(1)
    out.print(
        f"Nothing is missing: {report.partitions} subject-days, {report.versions} registered versions, "
        f"{report.seconds:.1f} s.",
        highlight=False,
    )


def up(
    ports_from: Annotated[
        int | None, typer.Option(help="The first of seven ports, one per part: for a second stack on this machine.")
    ] = None,
    prefect_port: Annotated[int | None, typer.Option(show_default="4200")] = None,
    mlflow_port: Annotated[int | None, typer.Option(show_default="5000")] = None,
    online_port: Annotated[int | None, typer.Option(show_default="3000")] = None,
    batch_port: Annotated[int | None, typer.Option(show_default="3001")] = None,
    prometheus_port: Annotated[int | None, typer.Option(show_default="9090")] = None,
    alerts_port: Annotated[int | None, typer.Option(show_default="9093")] = None,
    metrics_port: Annotated[int | None, typer.Option(show_default="9101")] = None,
) -> None:
    """Start all parts on this machine: schedules, worker, pages, both services, and installed helpers. Ctrl-C stops.

    The parts are Prefect's server and worker with the deployments, MLflow's page, the online and the batch service,
    and HAProxy, Prometheus and Alertmanager where they are installed.
    """
    from infra.local.ports import Ports
    from infra.local.stack import run_stack

    ports = Ports.chosen(
        ports_from,
        prefect=prefect_port,
        mlflow=mlflow_port,
        online=online_port,
        batch=batch_port,
        prometheus=prometheus_port,
        alerts=alerts_port,
        metrics=metrics_port,
    )
    raise typer.Exit(run_stack(load_settings().root, ports))
