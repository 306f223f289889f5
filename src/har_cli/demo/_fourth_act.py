"""The demo's fourth act: a held-out subject's watch streams, and every window is answered while it does.

All of it is real: the reference client with its spool, Mosquitto where it is installed and the embedded queue where it
is not, the consumer with the champion, the hot store, the lake, the ledger. Only the folder is the demo's own, removed
at the end, so that the project's lake holds no replayed samples of today.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from rich.table import Table

from har.console import console
from har.cutting import matrix
from har.errors import SourceError
from har.files import make_folder, write_atomically
from har.project import Project
from har.settings import Settings
from infra.local.child import Child
from infra.local.server import HOST, bound, ended
from infra.local.third_party import installed

if TYPE_CHECKING:
    from har.streaming.client import Made, Stretch
    from har.streaming.ledger import Ledger
    from har.streaming.state import Answer

_LIVE_S = 20.0
_SPEED = 3.0
"""Seconds of signal per second: twenty seconds show several exercises."""
_RECORDINGS = 5
_PARTS = ("samples", "predictions")
_STREAM = {"sources": ("queue",), "service": "", "idle_s": 5.0, "lateness_s": 15.0, "lake_s": 5.0}
"""Of `[stream]`; a message that the broker got before the consumer subscribed comes again, and is no late one."""


def run_fourth_act(project: Project) -> dict[str, Any]:
    """Stream a held-out subject's samples for twenty seconds; returns the figures.

    Raises:
        SourceError: the broker does not start, or the consumer ends.
    """
    from har.streaming.client import Spool, cut, deliver, form_of, open_link, paced
    from har.streaming.ledger import read_ledger
    from har.streaming.state import open_hot

    champion = project.registry.champion()
    subject = project.registry.recipe(champion.number).split["held_out"][0]
    home = project.settings.root / ".prefect" / "demo-stream"
    with _own_place(project.settings, home) as settings, _broker(home, project.settings) as broker:
        if broker:
            mqtt = settings.stream.mqtt.model_copy(update={"address": broker})
            stream = settings.stream.model_copy(update={"sources": ("mqtt",), "mqtt": mqtt})
            settings = settings.model_copy(update={"stream": stream})
        form = form_of(settings, seconds=1.0)
        stretches, truth = _signal(project, subject)
        way = f"Mosquitto at {broker}" if broker else "the embedded queue"
        console.print(
            f"{subject}, whom version {champion.number} never saw, through {way}: {len(stretches)} exercises, "
            f"{_SPEED:g} times as fast as they were done.",
            highlight=False,
        )
        with _consumer(Project(settings)) as consumer:
            hot = open_hot(settings)
            spool = Spool(home / "send.spool")
            link = open_link(f"mqtt:{broker}" if broker else "queue", settings)
            shown = _Shown(truth)
            try:

                def feed() -> Iterator[Made | None]:
                    for message in paced(cut(iter(stretches), form), _SPEED):
                        shown.see(hot.answers(subject))
                        consumer.check()
                        yield message

                sent = deliver(feed(), spool, link, again_s=2.0, patience_s=30.0)
                give_up = time.monotonic() + 30
                while (waiting := read_ledger(settings.path("stream")).total.waiting) and time.monotonic() < give_up:
                    consumer.check()
                    time.sleep(0.1)
                shown.see(hot.answers(subject))
            finally:
                link.close()
                spool.close()
                hot.close()
        ledger = read_ledger(settings.path("stream"))
        rows = {part: getattr(Project(settings).lake, part).count() for part in _PARTS}
        latency_ms = 1000 * np.median(consumer.latency_s) if consumer.latency_s else 0.0
        _print(ledger, rows)
    return {
        "stream_messages": sent.added,
        "stream_waiting": waiting,
        "stream_windows": shown.windows,
        "stream_right": shown.right,
        "stream_ms": round(float(latency_ms), 1),
        "stream_balances": int(ledger.balances),
        "stream_samples_in_lake": rows["samples"],
        "stream_predictions_in_lake": rows["predictions"],
    }


def streamed(figures: Mapping[str, Any]) -> str:
    """The outcome in a few words."""
    return (
        f"{figures['stream_right']} of {figures['stream_windows']} windows of one activity right, each "
        f"{figures['stream_ms']:.0f} ms after its last message; the ledger "
        f"{'balances' if figures['stream_balances'] else 'does not balance'}"
    )


class _Consumer:
    """`har stream run` in a thread; what ended it is raised by `check`."""

    def __init__(self, project: Project) -> None:
        from har.jobs.stream import run

        self.latency_s: list[float] = []
        self._stop = threading.Event()
        self._error: BaseException | None = None

        def work() -> None:
            try:
                self.latency_s = [*run(project, self._stop).latency_s]
            except Exception as error:  # noqa: BLE001  raised by `check`, in the thread that waits
                self._error = error

        self._thread = threading.Thread(target=work, name="stream")
        self._thread.start()

    def check(self) -> None:
        if self._error is not None:
            raise self._error

    def end(self) -> None:
        self._stop.set()
        self._thread.join()
        self.check()


@contextmanager
def _consumer(project: Project) -> Iterator[_Consumer]:
    consumer = _Consumer(project)
    try:
        yield consumer
    finally:
        consumer.end()


class _Shown:
    """Prints answers as they come, beside the recording's label."""

    def __init__(self, truth: list[tuple[int, int, str]]) -> None:
        self.windows, self.right = 0, 0
        self._truth = truth
        self._last_us = 0

    def see(self, answers: list[Answer]) -> None:
        for answer in answers:
            if answer.start_us <= self._last_us:
                continue
            self._last_us = answer.start_us
            truth = next((label for a, b, label in self._truth if a <= answer.start_us and answer.end_us <= b + 1), "")
            if not truth:
                continue
            self.windows += 1
            right = answer.activity == truth
            self.right += right
            colour = "green" if right else "red"
            doubt = " (uncertain)" if answer.abstained else ""
            console.print(
                f"  {_clock(answer.end_us)}  did {truth:5}  answer [{colour}]{answer.activity}[/]{doubt} "
                f"{answer.confidence:.2f}",
                highlight=False,
            )


def _clock(time_us: int) -> str:
    return time.strftime("%H:%M:%S", time.localtime(time_us / 1e6))


@contextmanager
def _own_place(settings: Settings, home: Path) -> Iterator[Settings]:
    """The project's settings with a stream, a lake and a quarantine of the demo's own."""
    shutil.rmtree(home, ignore_errors=True)
    own = {"stream": home / "stream", "lake": home / "lake", "quarantine": home / "quarantine"}
    local = settings.stream.model_copy(
        update={
            **_STREAM,
            "hot": settings.stream.hot.model_copy(update={"address": ""}),
            "history": settings.stream.history.model_copy(update={"address": ""}),
        }
    )
    try:
        yield settings.model_copy(update={"paths": settings.paths.model_copy(update=own), "stream": local})
    finally:
        shutil.rmtree(home, ignore_errors=True)


@contextmanager
def _broker(home: Path, settings: Settings) -> Iterator[str]:
    """A broker on a free port, HOST:PORT; "" where Mosquitto is not installed."""
    program = installed("mosquitto")
    if program is None:
        console.print("Mosquitto is not installed (apt-get install mosquitto).")
        yield ""
        return
    with bound(0) as chosen:
        port = chosen.getsockname()[1]
    file = write_atomically(
        make_folder(home) / "mosquitto.conf", f"listener {port} {HOST}\nallow_anonymous true\npersistence false\n"
    )
    log = settings.root / ".prefect" / "logs" / "mosquitto.log"
    child = Child("Mosquitto", ["infra.local.program", program, "-c", str(file)], environment=os.environ, log=log)
    try:
        _await_port(child, port)
        yield f"{HOST}:{port}"
    finally:
        child.stop()


def _await_port(child: Child, port: int) -> None:
    give_up = time.monotonic() + 20
    while True:
        status = child.poll()
        if status is not None or time.monotonic() > give_up:
            raise ended(child, status or 0)
        with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=1):
            return
        time.sleep(0.05)


def _signal(project: Project, subject: str) -> tuple[list[Stretch], list[tuple[int, int, str]]]:
    """Recordings of different activities one after the other, as if they ended now; and when each activity was done."""
    from har.streaming.client import Stretch, form_of, to_the_present
    from har.streaming.envelope import StreamKey

    settings = project.settings
    length = round(_LIVE_S * _SPEED / _RECORDINGS * settings.sensors.rate_hz)
    samples, channels = project.lake.samples, project.lake.channels
    partitions = sorted(part for part in samples.partitions() if part[1] == subject)
    columns = ["session", "segment", "time", "activity", *channels]
    chosen: dict[str, pl.DataFrame] = {}
    for _, frame in samples.each(samples.version(), partitions, columns):
        for _, one in frame.sort("time").group_by("session", "segment", maintain_order=True):
            label = one["activity"][0]
            if label is not None and one["activity"].n_unique() == 1 and len(one) >= settings.length:
                longest = chosen.get(label)
                if longest is None or len(longest) < min(len(one), length):
                    chosen[label] = one[:length]
    key = StreamKey(subject, "watch", "demo")
    parts = [
        Stretch(key, one["time"].to_physical().to_numpy(), matrix(one, channels), settings.recordings.placement)
        for one in list(chosen.values())[:_RECORDINGS]
    ]
    if not parts:
        raise SourceError(
            where=f"the lake, subject {subject}",
            expected=f"a labelled recording of {settings.windows.length_s:g} s",
            got="none",
            remedy="`har status` shows what the lake holds.",
        )
    pause_s = max(1.0, 2 * settings.recordings.max_gap_s)
    moved = to_the_present(parts, form_of(settings, seconds=1.0), time.time_ns() // 1000, speed=_SPEED, pause_s=pause_s)
    interval = round(1e6 / settings.sensors.rate_hz)
    truth = [
        (int(one.times[0]), int(one.times[-1]) + interval, label)
        for one, label in zip(moved, list(chosen)[:_RECORDINGS], strict=True)
    ]
    return moved, truth


def _print(ledger: Ledger, rows: Mapping[str, int]) -> None:
    table = Table(title="The ledger: what became of every message", title_justify="left")
    names = ("received", "scored", "waiting", "late", "duplicate", "rejected")
    for name in ("subject", *names):
        table.add_column(name, justify="left" if name == "subject" else "right")
    for subject, counts in sorted(ledger.subjects.items()):
        table.add_row(subject, *(f"{getattr(counts, name):,}" for name in names))
    console.print(table)
    console.print(
        f"In the lake, each once: {rows['samples']:,} samples and {rows['predictions']:,} predictions.",
        highlight=False,
    )
