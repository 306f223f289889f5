"""The demo: the whole loop on the embedded recordings, in four acts.

First act: replay, ingest, train, evaluate, register, score, package and serve, each step as a run of its deployment.
Second act: drift and retraining, see `har_cli.demo._second_act`. Third act: two releases under load, see
`har_cli.demo._third_act`. Fourth act: a watch that streams, see `har_cli.demo._fourth_act`.
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
from har.plausibility import NO_SIGNAL
from har.project import Project
from har.sample import replay
from har.settings import Settings
from har_cli.demo._fourth_act import run_fourth_act, streamed
from har_cli.demo._project import demo_project, why_elsewhere
from har_cli.demo._runs import await_bentos, run_deployments
from har_cli.demo._second_act import FIRST as SECOND_ACT
from har_cli.demo._second_act import retrained, run_second_act
from har_cli.demo._third_act import released, run_third_act
from infra.local.server import starting_server
from infra.local.worker import worker_of_deployments

CROSS_VALIDATION_SEEDS = 1
"""One seed is enough for the confidence interval, which resamples subjects; `har evaluate` uses more seeds."""


def run_demo(settings: Settings, *, acts: int = 4) -> None:
    """Run all acts, or the first ones only, and print the results; steps that an earlier run finished are skipped."""
    began = time.perf_counter()
    users, settings = settings, demo_project(settings)
    console.rule(f"{settings.project.name}: demo")
    if settings is not users:
        folder = settings.root.relative_to(users.root)
        console.print(
            f"{why_elsewhere(users)}, so the demo runs in a project of its own, {folder}/, "
            f"with your sensors, your rate and windows of {settings.windows.length_s:g} s; your lake and models do "
            f"not change."
        )
    home = settings.root / ".prefect"
    with starting_server(home, full=True) as wait_for_server:
        report = replay(settings.path("inbox"), settings)
        console.print(
            f"Replayed {report.written + report.present} real recordings as daily uploads "
            f"({report.written} new; the dates are assigned)."
        )
        with console.status("Starting a Prefect server …"):
            api = wait_for_server()
        project = Project(settings)
        with ExitStack() as stack:
            with console.status("Deploying prefect.yaml and starting a worker …"):
                stack.enter_context(worker_of_deployments(settings.root, home, api))
            figures = _first_act(project)
            if acts >= 2:
                console.rule("Second act: the watch is turned")
                figures |= run_second_act(project)
        if acts >= 3 and "release_promoted" not in figures:
            console.rule("Third act: two releases under load")
            figures |= run_third_act(project)
        if acts >= 4:
            console.rule("Fourth act: a watch streams")
            figures |= run_fourth_act(project)
    figures["seconds"] = round(time.perf_counter() - began, 1)
    path = write_atomically(settings.path("reports") / "demo.json", json.dumps(figures, indent=1))
    _print(figures, settings, users.root)
    console.print(f"The same figures: {path}")


def _first_act(project: Project) -> dict[str, Any]:
    lake = project.lake
    known = project.settings.path("reports") / "demo.json"
    if known.is_file() and lake.recordings.read(columns=["date"]).filter(pl.col("date") >= SECOND_ACT).height:
        # The lake has the data of the second act: a model trained now would differ.
        console.print(f"The first act was finished before; its figures are in {known}.")
        return {**json.loads(known.read_text(encoding="utf-8")), "windows_scored_now": 0}
    before = _windows_scored(project)
    run_deployments(project, "ingest/daily")
    # The event of the promotion starts package/champion in the meantime.
    seeds = {"evaluate/by-subject": {"seeds": CROSS_VALIDATION_SEEDS}}
    run_deployments(project, "train/weekly", "evaluate/by-subject", parameters=seeds)
    run_deployments(project, "score/nightly")
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
    """Serve the online bento, send it windows, print its answers, and stop it."""
    from har_cli.demo._ask import ask
    from infra.bentoml.store import serving

    store = project.settings.path("bentoml")
    held_out = project.registry.recipe(version).split["held_out"]
    with console.status(f"Serving bento {tag} …"):
        began = time.perf_counter()
        log = store / "logs" / "demo.log"
        with serving(tag, project.settings.root, store, log=log) as address:
            ready_s = time.perf_counter() - began
            answers = ask(project, address, held_out)
    table = Table(title=f"Held-out subjects, classified by {tag} over HTTP", title_justify="left")
    for heading in ("subject", "recording", "truth", "answer"):
        table.add_column(heading)
    table.add_column("confidence", justify="right")
    table.add_column("ms", justify="right")
    for row in answers:
        colour = "green" if row.activity == row.truth else "red"
        answer = f"[{colour}]{row.activity}[/]{' (uncertain)' if row.abstained and row.activity != NO_SIGNAL else ''}"
        table.add_row(row.subject, row.session, row.truth, answer, f"{row.confidence:.2f}", f"{row.ms:.1f}")
    Console().print(table)
    return {
        "online_windows": len(answers),
        "online_right": sum(row.activity == row.truth for row in answers),
        "online_ms": round(statistics.median(row.ms for row in answers), 2) if answers else 0.0,
        "online_ready_s": round(ready_s, 1),
    }


def _throughput(scores: pl.DataFrame) -> float:
    return float(scores["windows"].sum()) / max(1e-9, float(scores["seconds"].sum()))


def _print(figures: dict[str, Any], settings: Settings, root: Path) -> None:
    out = Console()
    table = Table(title="Results of the demo", show_header=False, title_justify="left")
    low, high = figures["accuracy_low"], figures["accuracy_high"]
    table.add_row("Accuracy by subject", f"{figures['accuracy']:.1%}  (95 % interval {low:.1%} to {high:.1%})")
    table.add_row("Macro-F1 by subject", f"{figures['macro_f1']:.1%}")
    table.add_row("Evaluated on", f"{figures['subjects']} subjects, each by a model that was not trained on them")
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
        table.add_row("Retrained automatically", retrained(figures))
    if "release_promoted" in figures:
        for what, text in released(figures).items():
            table.add_row(what, text)
    if "stream_windows" in figures:
        table.add_row("Streamed", streamed(figures))
    table.add_row("Duration", f"{figures['seconds']:.0f} s")
    out.print(table)
    reports = settings.path("reports").relative_to(root)
    next_steps = {
        f"{reports}/index.html": "leads to every page below",
        f"{reports}/evaluation.html": "accuracy, and the subjects and activities it fails on",
        f"{reports}/loop.html": "the second act: accuracy and drift, day by day",
        f"{reports}/drift/index.html": "drift reports, a page per day",
        f"{reports}/releases/": "the third act: who was served by which version, a page per release",
        f"{reports}/activity/": "minutes per activity, a page per day",
        ".venv/bin/har models": "versions, aliases and the promotion log",
        ".venv/bin/bentoml serve": "the online service; its page: http://127.0.0.1:3000",
        "make up": "everything at once: schedules, services, pages",
    }
    if settings.root != root:
        next_steps = {
            f"cd {settings.root.relative_to(root)}; ../{what}" if what.startswith(".venv") else what: text
            for what, text in next_steps.items()
            if what != "make up"
        }
    if "loop_accuracy_before" not in figures:
        next_steps = {what: text for what, text in next_steps.items() if "loop" not in what and "drift" not in what}
    if "release_promoted" not in figures:
        next_steps = {what: text for what, text in next_steps.items() if "releases" not in what}
    width = max(map(len, next_steps)) + 2
    out.print(
        "Look next:", *(f"  {what:<{width}}{text}" for what, text in next_steps.items()), sep="\n", highlight=False
    )
