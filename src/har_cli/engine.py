"""`har engine`: what runs the parts of a job, and whether it can."""

from __future__ import annotations

import time

import typer
from rich.table import Table

from har.settings import load_settings
from har_cli._shared import out


def engine() -> None:
    """Start the engine of har.toml, look at its workers, and let them run empty parts. Ends with 1 if one is refused.

    For another engine in a single command: HAR_ENGINE__KIND=processes har score.
    """
    from har.engine import answer, open_engine, workers_of

    settings = load_settings()
    chosen = settings.engine
    where = chosen.address or "this machine"
    out.print(f"{chosen.kind} on {where}, waves of {chosen.wave} parts.", highlight=False)
    began = time.perf_counter()
    with open_engine(settings, refuse=False) as opened:
        started_s = time.perf_counter() - began
        if opened.places:
            table = Table("worker", "Python", "har", "threads", "memory", "gets parts")
            for place in opened.places:
                memory = f"{place.memory_mb} MB" if place.memory_mb else ""
                parts = f"no: {place.problem}" if place.problem else "yes"
                table.add_row(place.name, place.python, place.code, str(place.cores), memory, parts)
            out.print(table)
        refused = [place for place in opened.places if place.problem]
        count = sum(place.cores for place in opened.places if not place.problem) or workers_of(settings)
        if not opened.places or len(refused) < len(opened.places):
            began = time.perf_counter()
            who = set(opened.each(answer, range(4 * count)))
            took_s = time.perf_counter() - began
            out.print(
                f"{4 * count} empty parts by {len(who)} workers in {took_s:.2f} s; {started_s:.2f} s to reach them.",
                highlight=False,
            )
    if refused:
        raise typer.Exit(1)
