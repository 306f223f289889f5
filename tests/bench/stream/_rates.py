"""As fast as it goes: a consumer works off what waits in a broker, beside the broker alone, offline scoring, peers."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console

from tests.bench.stream import _offline, _raw
from tests.bench.stream._answers import Answers
from tests.bench.stream._brokers import TOPIC, kafka, mosquitto
from tests.bench.stream._consumer import consuming, cpu_share
from tests.bench.stream._environments import QUIX, NotInstalledError, environment
from tests.bench.stream._generator import Load
from tests.bench.stream._load import Generator
from tests.bench.stream._project import Run, Streamed

_DONE_S = 120.0
Figures = dict[str, Any]


def windows_of(run: Run, devices: int, rounds: int) -> int:
    """The windows of so many messages of a second each, of every device."""
    length, stride = run.settings.windows.length_s, run.settings.stride / run.settings.sensors.rate_hz
    return devices * max(0, int((rounds - length) // stride) + 1)


def measure(project: Streamed, console: Console, *, devices: int, rounds: int, brokers: tuple[str, ...]) -> Figures:
    """Of `devices` devices with `rounds` messages each, whatever is there; a line says what is not."""
    rows = round(project.settings.sensors.rate_hz)
    figures: Figures = {"devices": devices, "messages": devices * rounds}
    offline = _offline.rate(project.settings, project.model, devices, rounds)
    figures["offline_samples_per_s"] = round(offline)
    for kind in brokers:
        try:
            with _broker(kind, project) as address:
                found = _beside(kind, address, project, console, devices=devices, rounds=rounds)
        except NotInstalledError as error:
            console.print(f"[yellow]{kind} is left out:[/] {error}")
            continue
        own = found.get("messages_per_s")
        if own:
            found["samples_per_s"] = round(own * rows)
            found["vs_offline"] = round(own * rows / offline, 3)
            for name in ("raw", "quix", "quix_in_memory"):
                if found.get(f"{name}_messages_per_s"):
                    found[f"vs_{name}"] = round(own / found[f"{name}_messages_per_s"], 3)
            if found.get("two_messages_per_s"):
                found["two_vs_one"] = round(found["two_messages_per_s"] / own, 2)
        figures[kind] = found
    return figures


@contextlib.contextmanager
def _broker(kind: str, project: Streamed) -> Iterator[str]:
    folder = project.root.parent / f"broker-{kind}"
    folder.mkdir(exist_ok=True)
    with mosquitto(folder) if kind == "mqtt" else kafka(kind, folder, partitions=4) as address:
        yield address


def _beside(kind: str, address: str, project: Streamed, console: Console, *, devices: int, rounds: int) -> Figures:
    found: Figures = {}
    count = devices * rounds
    if kind == "mqtt":
        raw = _raw.Mqtt(address, count)
        _send(project, "mqtt", address, devices, rounds, "raw")
        found["raw_messages_per_s"] = _rounded(raw.rate())
        run = project.run('["mqtt"]', mqtt__address=address)
        found |= _drain(run, 1, "mqtt", address, devices, rounds, console)
        return found
    _send(project, "kafka", address, devices, rounds, "bench")
    found["raw_messages_per_s"] = _rounded(_raw.kafka(address, count))
    for number, name in ((1, ""), (2, "two_")):
        run = project.run('["kafka"]', kafka__servers=address, kafka__group=f"har{number}")
        drained = _drain(run, number, "", address, devices, rounds, console)
        found |= {f"{name}{key}": value for key, value in drained.items()}
    try:
        found |= _quix(address, project, devices, rounds)
    except NotInstalledError as error:
        console.print(f"[yellow]quixstreams is left out:[/] {error}")
    return found


def _drain(run: Run, consumers: int, send: str, address: str, devices: int, rounds: int, console: Console) -> Figures:
    """Messages per second from the first one in the store to the last answer, and what became of all."""
    wanted = windows_of(run, devices, rounds)
    with consuming(run, consumers) as started, Answers(run.stream, run.settings.stream.shards) as answers:
        if send:  # the broker keeps nothing for who has not subscribed yet
            generator = Generator(run, Load(send, address, devices, rounds, False, 50))
            generator.wait()
        complete = answers.wait_for(wanted, _DONE_S)
        first = answers.first_waiting()
        seen, _ = answers.rows()
        if first is None or not len(seen):
            console.print(f"[red]No answer came.[/]\n{started[0].tail()}")
            return {"complete": False}
        seconds = float(seen[-1]) - first
        share = [cpu_share(one.between(first, float(seen[-1]))) for one in started]
    return {
        "messages_per_s": round(devices * rounds * answers.count / wanted / seconds),
        "messages_per_cpu_s": round(devices * rounds * answers.count / wanted / seconds / max(sum(share), 0.01)),
        "cpu_share": round(sum(share), 2),
        "complete": complete and answers.count == wanted,
        "rss_mb": round(max(look.rss_mb for one in started for look in one.looks)),
    }


def _quix(address: str, project: Streamed, devices: int, rounds: int) -> Figures:
    python = environment("quixstreams", *QUIX) / "bin" / "python"
    settings = project.settings
    found: Figures = {}
    for name, durable in (("quix", True), ("quix_in_memory", False)):
        # A quarter of the messages is enough to know the rate of the slow one.
        options = {
            "address": address,
            "topic": TOPIC,
            "model": str(project.model),
            "count": devices * rounds // (4 if durable else 1),
            "folder": str(project.root / name),
            "durable": durable,
            "length_s": settings.windows.length_s,
            "stride_s": settings.stride / settings.sensors.rate_hz,
            "channels": len(settings.sensors.channels),
            "bytes": settings.length * len(settings.sensors.channels) * 4,
        }
        script = Path(__file__).with_name("_peer_quix.py")
        command = [str(python), "-W", "ignore", str(script), json.dumps(options)]
        result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=180)
        lines = result.stdout.strip().splitlines()
        if result.returncode or not lines:
            found[f"{name}_failed"] = (result.stderr.strip().splitlines() or ["it said nothing"])[-1]
            continue
        rate = json.loads(lines[-1])
        found[f"{name}_messages_per_s"] = _rounded(rate["messages_per_s"])
        found[f"{name}_messages_per_cpu_s"] = _rounded(rate["messages_per_cpu_s"])
        found[f"{name}_windows"] = rate["windows"]
    return found


def _send(project: Streamed, kind: str, address: str, devices: int, rounds: int, session: str) -> None:
    run = project.run('["queue"]')
    Generator(run, Load(kind, address, devices, rounds, False, 50, session)).wait()


def _rounded(value: float | None) -> int | None:
    return None if value is None else round(value)
