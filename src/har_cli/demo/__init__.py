"""The main job on the embedded sample, in two acts.

First: replay, ingest, train, evaluate, register, score, package and serve, each step a run of its deployment. Second:
see `har_cli.demo._second_act`.
"""

from __future__ import annotations

import json
import statistics
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import polars as pl
from rich.console import Console
from rich.table import Table

from har.console import console
from har.files import write_atomically
from har.jobs.package import TAGS
from har.project import Project
from har.sample import replay
from har.settings import Settings
from har_cli.demo._project import demo_project, why_elsewhere
from har_cli.demo._runs import await_bentos, run_deployment
from har_cli.demo._second_act import FIRST as SECOND_ACT
from har_cli.demo._second_act import retrained, run_second_act
from infra.local.server import starting_server
from infra.local.worker import worker_of_deployments

CROSS_VALIDATION_SEEDS = 1
"""The demo's interval comes from the subjects; `har evaluate` adds the spread over seeds."""


def run_demo(settings: Settings, *, second_act: bool = True) -> None:
    """Run the whole loop, or its first act only, and print what it made; a second run finds everything done."""
    began = time.perf_counter()
    own, settings = settings, demo_project(settings)
    console.rule(f"{settings.project.name}: demo")
    if settings is not own:
        console.print(
            f"{why_elsewhere(own)}, so the demo has a project of its own in {settings.root.relative_to(own.root)}/, "
            f"with your sensors, your rate and windows of {settings.windows.length_s:g} s; your lake and models stay "
            f"as they are."
        )
    home = settings.root / ".prefect"
    with starting_server(home, full=True) as server_is_up:
        report = replay(settings.path("inbox"), settings)
        console.print(
            f"Replayed {report.written + report.present} real recordings as daily uploads "
            f"({report.written} new; the dates are assigned)."
        )
        with console.status("Starting a Prefect server …"):
            api = server_is_up()
        project = Project(settings)
        with ExitStack() as stack:
            with console.status("Deploying prefect.yaml and starting a worker …"):
                stack.enter_context(worker_of_deployments(settings.root, home, api))
            figures = _first_act(project)
            if second_act:
                console.rule("Second act: the watch is turned")
                figures |= run_second_act(project)
    figures["seconds"] = round(time.perf_counter() - began, 1)
    path = write_atomically(settings.path("reports") / "demo.json", json.dumps(figures, indent=1))
    _print(figures, settings, own.root)
    console.print(f"The same figures: {path}")


def _first_act(project: Project) -> dict[str, Any]:
    lake = project.lake
    known = project.settings.path("reports") / "demo.json"
    if known.is_file() and lake.recordings.read(columns=["date"]).filter(pl.col("date") >= SECOND_ACT).height:
        # The lake has moved on: a model trained now would be another one.
        console.print(f"The first act is over; its figures are in {known}.")
        return {**json.loads(known.read_text(encoding="utf-8")), "windows_scored_now": 0}
    before = _windows_scored(project)
    run_deployment(project, "ingest/daily")
    run_deployment(project, "train/weekly")
    # The promotion's event has started package/champion by now; it shares the cores with the next two.
    run_deployment(project, "evaluate/by-subject", seeds=CROSS_VALIDATION_SEEDS)
    run_deployment(project, "score/nightly")
    champion = await_bentos(project)
    evaluation = json.loads((project.settings.path("reports") / "evaluation.json").read_text(encoding="utf-8"))
    scores = lake.scores.read()
    figures = {
        "accuracy": evaluation["accuracy"],
        "accuracy_low": evaluation["accuracy_low"],
        "accuracy_high": evaluation["accuracy_high"],
        "macro_f1": evaluation["macro_f1"],
        "subjects": evaluation["subjects"],
        "held_out_accuracy": champion.metrics["accuracy"],
        "days_scored": scores["date"].n_unique(),
        "subject_days_scored": len(scores),
        "windows_scored": int(scores["windows"].sum()),
        "windows_per_s": round(_throughput(scores)),
        "windows_scored_now": int(scores["windows"].sum()) - before,
        "model_version": champion.number,
        **_serve(project, champion.number, champion.tags[TAGS[0]]),
    }
    write_atomically(known, json.dumps(figures, indent=1))
    return figures


def _windows_scored(project: Project) -> int:
    return int(project.lake.scores.read(columns=["windows"])["windows"].sum())


def _serve(project: Project, version: int, tag: str) -> dict[str, Any]:
    """Start the online bento, ask it, show what it says, and stop it."""
    from har_cli.demo._ask import ask
    from infra.bentoml.store import serving

    store = project.settings.path("bentoml")
    held_out = project.registry.recipe(version)["split"]["held_out"]
    with console.status(f"Serving bento {tag} …"):
        began = time.perf_counter()
        log = store / "logs" / "demo.log"
        with serving(tag, project.settings.root, store, log=log) as address:
            ready_s = time.perf_counter() - began
            asked = ask(project, address, held_out)
    table = Table(title=f"Held-out subjects, asked of {tag} over HTTP", title_justify="left")
    for heading in ("subject", "recording", "truth", "answer"):
        table.add_column(heading)
    table.add_column("confidence", justify="right")
    table.add_column("ms", justify="right")
    for row in asked:
        colour = "green" if row.activity == row.truth else "red"
        answer = f"[{colour}]{row.activity}[/]{' (uncertain)' if row.abstained else ''}"
        table.add_row(row.subject, row.session, row.truth, answer, f"{row.confidence:.2f}", f"{row.ms:.1f}")
    Console().print(table)
    return {
        "online_windows": len(asked),
        "online_right": sum(row.activity == row.truth for row in asked),
        "online_ms": round(statistics.median(row.ms for row in asked), 2) if asked else 0.0,
        "online_ready_s": round(ready_s, 1),
    }


def _throughput(scores: pl.DataFrame) -> float:
    return float(scores["windows"].sum()) / max(1e-9, float(scores["seconds"].sum()))


def _print(figures: dict[str, Any], settings: Settings, root: Path) -> None:
    out = Console()
    table = Table(title="What the demo made", show_header=False, title_justify="left")
    low, high = figures["accuracy_low"], figures["accuracy_high"]
    table.add_row("Accuracy by subject", f"{figures['accuracy']:.1%}  (95 % interval {low:.1%} to {high:.1%})")
    table.add_row("Macro-F1 by subject", f"{figures['macro_f1']:.1%}")
    table.add_row("Judged on", f"{figures['subjects']} subjects, each by a model that never saw them")
    table.add_row(
        "Champion", f"version {figures['model_version']}; {figures['held_out_accuracy']:.1%} on held-out subjects"
    )
    table.add_row("Scored", f"{figures['days_scored']} days, {figures['windows_scored']} windows")
    table.add_row("Speed", f"{figures['windows_per_s']:,} windows/s on these short days; longer days score faster")
    table.add_row(
        "Served",
        f"{figures['online_right']} of {figures['online_windows']} held-out windows right over HTTP, "
        f"{figures['online_ms']:.1f} ms each; ready {figures['online_ready_s']:.0f} s after the start",
    )
    if "loop_accuracy_before" in figures:
        table.add_row(
            "Watch turned",
            f"accuracy {figures['loop_accuracy_before']:.1%} → {figures['loop_accuracy_turned']:.1%}, "
            f"{f'confirmed on day {days}' if (days := figures['loop_days_to_alarm']) else 'not confirmed'}; "
            f"{figures['loop_false_alarms']} false alarms on the days before",
        )
        table.add_row("Retrained by itself", retrained(figures))
    table.add_row("Took", f"{figures['seconds']:.0f} s")
    out.print(table)
    reports = settings.path("reports").relative_to(root)
    looks = {
        f"{reports}/index.html": "leads to every page below",
        f"{reports}/evaluation.html": "how good it is, and on whom it fails",
        f"{reports}/loop.html": "the second act: accuracy and drift, day by day",
        f"{reports}/drift/index.html": "drift reports, a page per day",
        f"{reports}/activity/": "minutes per activity, a page per day",
        ".venv/bin/har models": "versions, aliases and the promotion log",
        ".venv/bin/bentoml serve": "the online service; its page: http://127.0.0.1:3000",
        "make up": "Prefect and MLflow pages, schedules running",
    }
    if settings.root != root:
        looks = {
            f"cd {settings.root.relative_to(root)}; ../{what}" if what.startswith(".venv") else what: text
            for what, text in looks.items()
            if what != "make up"
        }
    if "loop_accuracy_before" not in figures:
        looks = {what: text for what, text in looks.items() if "loop" not in what and "drift" not in what}
    width = max(map(len, looks)) + 2
    out.print("Look next:", *(f"  {what:<{width}}{text}" for what, text in looks.items()), sep="\n", highlight=False)
