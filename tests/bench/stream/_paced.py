"""Devices that send a message a second: delay of answers, whether it is sustained, losses, memory, recovery."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from har.streaming.ledger import read_ledger
from tests.bench.stream._answers import Answers
from tests.bench.stream._brokers import kafka, mosquitto
from tests.bench.stream._consumer import Consumer, consuming, cpu_share
from tests.bench.stream._environments import NotInstalledError
from tests.bench.stream._generator import Load
from tests.bench.stream._load import Generator
from tests.bench.stream._project import Run, Streamed
from tests.bench.stream._rates import windows_of

_SLOTS = {"queue": 20, "kafka": 50, "mqtt": 50}
_CATCH_UP_S = 60.0
_GROWTH_S = 0.5
"""The median delay of the last quarter may be this much above that of the second: else waiting grows."""
_BACK_S = 0.25
"""A consumer has caught up when a second's median delay is this close to what it was."""
_SILENT_S = 8.0
Figures = dict[str, Any]


@dataclass(frozen=True)
class Plan:
    """A run.

    Attributes:
        kind: queue, kafka (by the broker `broker`) or mqtt.
        devices: how many.
        seconds: messages of each.
        kill: whether the consumer is killed halfway, and another one started at once.
        silence: whether to look at the memory after all devices have gone silent.
    """

    kind: str
    devices: int
    seconds: int
    kill: bool = False
    silence: bool = False
    broker: str = "noida-db"


def measure(project: Streamed, plan: Plan, console: Console) -> Figures | None:
    """Figures of a run; None with a line where the broker is not there."""
    try:
        with _source(project, plan) as (run, address):
            return _measure(run, address, plan, console)
    except NotInstalledError as error:
        console.print(f"[yellow]{plan.kind} is left out:[/] {error}")
        return None


@contextlib.contextmanager
def _source(project: Streamed, plan: Plan) -> Iterator[tuple[Run, str]]:
    idle_s = 5.0
    if plan.kind == "queue":
        yield project.run('["queue"]', idle_s=idle_s), ""
        return
    folder = project.root.parent / f"broker-{plan.kind}-{plan.devices}-{plan.kill}"
    folder.mkdir()
    with mosquitto(folder) if plan.kind == "mqtt" else kafka(plan.broker, folder, partitions=4) as address:
        option = {"mqtt": "mqtt__address", "kafka": "kafka__servers"}[plan.kind]
        yield project.run(f'["{plan.kind}"]', idle_s=idle_s, **{option: address}), address


def _measure(run: Run, address: str, plan: Plan, console: Console) -> Figures:
    wanted = windows_of(run, plan.devices, plan.seconds)
    load = Load(plan.kind, address, plan.devices, plan.seconds, True, _SLOTS[plan.kind])
    killed: list[tuple[float, Consumer]] = []
    with consuming(run) as started, Answers(run.stream, run.settings.stream.shards) as answers:
        generator = Generator(run, load)
        try:
            if plan.kill:
                killed.append(_kill(run, started, answers, plan))
            sent = generator.wait()
            complete = answers.wait_for(wanted, _CATCH_UP_S)
        finally:
            generator.kill()
        done = time.time()
        consumer = started[-1]
        looks = consumer.between(sent["start"] + plan.seconds / 4, sent["start"] + plan.seconds)
        busy_rss = max((one.rss_mb for one in consumer.between(sent["start"], done)), default=0.0)
        silent = _silence(consumer, answers) if plan.silence else {}
        ledger = read_ledger(run.stream)
        if not consumer.is_alive:
            console.print(f"[red]The consumer ended.[/]\n{consumer.tail()}")
    seen, ends = answers.rows()
    rate_hz = run.settings.sensors.rate_hz
    delays = seen - ends + 1 / rate_hz  # the window ends one interval after its last sample
    total = ledger.total
    found: Figures = {
        "kind": plan.kind,
        "devices": plan.devices,
        "seconds": plan.seconds,
        **_delays(delays, ends, sent["start"], plan, killed[0][0] if killed else None, run),
        "windows_wanted": wanted,
        "windows_answered": answers.count,
        "complete": complete,
        "unread_messages": sent["acknowledged"] - (total.received - total.duplicate),
        "ledger_balances": ledger.balances,
        "late": total.late,
        "duplicate": total.duplicate,
        "rss_mb": round(busy_rss),
        "cpu_share": round(cpu_share(looks), 2),
        "load_late_ms_p50": sent["late_ms_p50"],
        "load_late_ms_p99": sent["late_ms_p99"],
        "load_cpu_share": round(sent["cpu_s"] / sent["seconds"], 2),
        **silent,
    }
    # Of a run that did not catch up, it is unknown: what was not read is with the broker still.
    found["zero_loss"] = (
        None
        if found["unread_messages"] > 0 and not complete
        else bool(
            sent["acknowledged"] == sent["sent"]
            and found["unread_messages"] == 0
            and ledger.balances
            and total.late == 0
            and total.rejected == 0
            and total.windows == answers.count == wanted
        )
    )
    if killed:
        found |= _recovery(killed[0][1], killed[0][0], seen, delays)
    return found


def _delays(
    delays: NDArray[np.float64],
    ends: NDArray[np.float64],
    start: float,
    plan: Plan,
    until: float | None,
    run: Run,
) -> Figures:
    """Of windows that ended in the second to the last quarter, before the consumer was killed."""
    if not len(delays):
        return {"sustained": False}
    quarter = plan.seconds / 4
    places = (ends - start) / quarter
    last = start + plan.seconds + 1 if until is None else until - 2
    chosen = delays[(places >= 1) & (ends < last)]
    if not len(chosen):
        return {"sustained": False}
    p50, p99 = np.percentile(chosen, (50, 99))
    second, fourth = delays[(places >= 1) & (places < 2)], delays[places >= 3]
    growth = float(np.median(fourth) - np.median(second)) if len(second) and len(fourth) else 0.0
    stride_s = run.settings.stride / run.settings.sensors.rate_hz
    return {
        "p50_s": round(float(p50), 3),
        "p99_s": round(float(p99), 3),
        "growth_s": round(growth, 3),
        "sustained": bool(growth < _GROWTH_S) if until is None else None,
        "p99_within_aim": bool(p99 < 1 + stride_s),
    }


def _kill(run: Run, started: list[Consumer], answers: Answers, plan: Plan) -> tuple[float, Consumer]:
    """Kill the consumer halfway, with windows of all devices in progress; start another one at once."""
    while not answers.count:
        time.sleep(0.05)
        if not started[0].is_alive:
            raise RuntimeError(f"the consumer ended:\n{started[0].tail()}")
    time.sleep(max(2.0, plan.seconds / 2 - run.settings.windows.length_s))
    at = time.time()
    started[0].kill()
    again = Consumer(run, len(started))
    started.append(again)
    return at, again


def _recovery(again: Consumer, killed: float, seen: NDArray[np.float64], delays: NDArray[np.float64]) -> Figures:
    """From the start of the new process: to its first answer, and until answers are as soon as before."""
    after = seen > again.started
    if not after.any():
        return {"recovered": False}
    before = delays[(seen > killed - 5) & (seen <= killed)]
    usual = float(np.median(before)) if len(before) else 0.0
    found: Figures = {"recovered_first_s": round(float(seen[after][0]) - again.started, 2)}
    for second in np.arange(float(seen[after][0]), float(seen[-1]), 0.5):
        slot = delays[(seen >= second) & (seen < second + 1)]
        if len(slot) and np.median(slot) <= usual + _BACK_S:
            found["recovered_whole_s"] = round(float(second) - again.started, 2)
            break
    return found


def _silence(consumer: Consumer, answers: Answers) -> Figures:
    """After the last message: segments are closed, and what they held is given back."""
    before = answers.count
    until = time.monotonic() + 5.0 + _SILENT_S
    while time.monotonic() < until and consumer.is_alive:
        time.sleep(0.2)
    return {
        "rss_silent_mb": round(consumer.looks[-1].rss_mb),
        "windows_after_silence": answers.count - before,
    }
