"""Measure `har stream run` beside the broker alone, offline scoring and quixstreams; write `reports/stream-bench.json`.

    python -m tests.bench.stream [--devices 100 1000 10000] [--seconds 20] [--only rates paced recovery]

The load, the broker and the consumer share this machine. Kafka's API is that of noida-db and Tansu, which uv installs
into the user's cache; MQTT is Debian's Mosquitto. What cannot be had is left out, with a line.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from har.files import write_atomically
from har.inference import granted_cores
from har.settings import load_settings
from infra.local.server import sigterm_ends_blocks
from tests.bench.stream import _paced, _project, _rates, _show
from tests.bench.stream._paced import Plan

console = Console()
_ABOUT = {
    "rates": "Reading what waits in a broker: alone, quixstreams, one and two consumers …",
    "paced": "Answering devices that send a message a second …",
    "recovery": "Killing the consumer …",
}
PARTS = tuple(_ABOUT)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", type=int, nargs="+", default=[100, 1000, 10_000])
    parser.add_argument("--seconds", type=int, default=20, help="of load, per run")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--sources", nargs="+", choices=("queue", "kafka", "mqtt"), default=["queue", "kafka", "mqtt"])
    parser.add_argument("--messages", type=int, default=40_000, help="that wait, where the rate is measured")
    parser.add_argument("--output", type=Path, help="in place of reports/stream-bench.json")
    options = parser.parse_args(arguments)
    path = options.output or load_settings().path("reports") / "stream-bench.json"
    began, load = time.monotonic(), os.getloadavg()[0]
    figures: dict[str, Any] = {"cores": granted_cores(), "load_before": round(load, 1)}
    with sigterm_ends_blocks(), tempfile.TemporaryDirectory(prefix="har-bench-") as folder:
        with console.status("Training a model for it …"):
            project = _project.make(Path(folder))
        measures = {"rates": _measure_rates, "paced": _measure_paced, "recovery": _measure_recovery}
        for part in options.only:
            with console.status(_ABOUT[part]):
                figures[part] = measures[part](project, options)
            figures["minutes"] = round((time.monotonic() - began) / 60, 1)
            # A run that is interrupted leaves what it measured.
            write_atomically(path, json.dumps(figures, indent=1))
    _show.show(figures, console)
    console.print(f"The same figures: {path}")


def _measure_rates(project: _project.Streamed, options: argparse.Namespace) -> dict[str, Any]:
    kinds = {"kafka": ("noida-db", "tansu"), "mqtt": ("mqtt",)}
    brokers = tuple(name for source in options.sources for name in kinds.get(source, ()))
    rounds = 40
    devices = max(10, options.messages // rounds)
    return _rates.measure(project, console, devices=devices, rounds=rounds, brokers=brokers)


def _measure_paced(project: _project.Streamed, options: argparse.Namespace) -> list[dict[str, Any]]:
    most = max(options.devices)
    plans = [
        Plan(source, devices, options.seconds, silence=source == "queue" and devices == most)
        for source in options.sources
        for devices in options.devices
    ]
    return _run(project, plans)


def _measure_recovery(project: _project.Streamed, options: argparse.Namespace) -> list[dict[str, Any]]:
    source = "kafka" if "kafka" in options.sources else options.sources[0]
    devices = sorted(options.devices)[-2:]
    # noida-db keeps the partitions of a dead consumer for ever.
    plans = [Plan(source, count, options.seconds + 10, kill=True, broker="tansu") for count in devices]
    return _run(project, plans)


def _run(project: _project.Streamed, plans: Sequence[Plan]) -> list[dict[str, Any]]:
    found = []
    for plan in plans:
        killed = ", the consumer is killed" if plan.kill else ""
        console.print(f"{plan.devices:,} devices by {plan.kind} for {plan.seconds} s{killed} …", highlight=False)
        figures = _paced.measure(project, plan, console)
        if figures is not None:
            found.append(figures)
    return found


if __name__ == "__main__":
    main()
