"""Subjects in a real hot store as a consumer would write them, and a real browser that looks at the page."""

from __future__ import annotations

import datetime as dt
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from prometheus_client import CollectorRegistry
from serving_support import Service, listening, write_settings

from har.inference import Package
from har.settings import Settings
from har.streaming.state import Answer, DeviceHealth, HotStore, Signal, SubjectState, open_hot

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from bentos._front import Front

CHROMIUM = shutil.which("chromium") or ""
_QUIET = (
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-quic",
)
SECOND = 1_000_000
STRIDE = 2 * SECOND
ACTIVITIES = ("SIT", "WALK", "RUN")
LEDGER = {"received": 1204, "scored": 1180, "waiting": 12, "late": 5, "duplicate": 4, "rejected": 3}


def now_us() -> int:
    """The wall clock, in µs."""
    return time.time_ns() // 1000


def answers_until(end_us: int, count: int, activities: tuple[str, ...], seed: int = 0) -> list[Answer]:
    """So many answers to windows of 4 s every 2 s, in stretches of one activity."""
    rng = np.random.default_rng(seed)
    activity, found = activities[0], []
    for index in range(count):
        if rng.random() < 0.03:
            activity = activities[int(rng.integers(len(activities)))]
        start = end_us - 2 * STRIDE - (count - 1 - index) * STRIDE
        confidence = float(np.round(rng.uniform(0.45, 0.99), 4))
        odd = bool(rng.random() < 0.02)
        found.append(Answer(start, start + 2 * STRIDE, activity, confidence, confidence < 0.5, 3, "", odd))
    return found


def state_of(name: str, answer: Answer, *, silent_s: float = 0.0, **changes: Any) -> SubjectState:
    """A subject with one healthy device, last heard so long ago."""
    seen = now_us() - round(silent_s * SECOND)
    watch = DeviceHealth("watch-" + name, "wrist", seen, 0.1, 50.1)
    date = dt.datetime.fromtimestamp(answer.start_us / 1e6, dt.UTC).date().isoformat()
    state = SubjectState(name, answer, seen, date, {"WALK": 31.5, "SIT": 122.0, "uncertain": 4.2}, 4730, (watch,))
    return replace(state, **changes)


def signal_until(end_us: int, seconds: float = 12.0, rate_hz: float = 25.0) -> Signal:
    """A walk: accelerometer and gyroscope, thinned."""
    times = end_us - np.arange(round(seconds * rate_hz))[::-1] * round(SECOND / rate_hz)
    phase = 2 * np.pi * 1.8 * times / 1e6
    columns = [
        2 * np.sin(phase),
        1.5 * np.cos(phase) + 1,
        9.8 + 3 * np.sin(2 * phase),
        *(0.8 * np.sin(phase + shift) for shift in (0.0, 1.0, 2.0)),
    ]
    return Signal(times.astype(np.int64), np.stack(columns, axis=1).astype(np.float32))


def crowd(store: HotStore, count: int, activities: tuple[str, ...]) -> None:
    """Write so many subjects: every seventh has been silent for minutes, every fifth is unlike the training data."""
    rng = np.random.default_rng(1)
    states = []
    for number in range(count):
        confidence = float(rng.uniform(0.4, 1))
        end = now_us() - SECOND
        activity = activities[int(rng.integers(len(activities)))]
        answer = Answer(end - 2 * STRIDE, end, activity, confidence, confidence < 0.5, 3, "", number % 5 == 4)
        state = state_of(f"s{number:03d}", answer, silent_s=240 if number % 7 == 6 else 0, windows=number * 3)
        if number % 6 == 5:
            state = replace(state, devices=(replace(state.devices[0], missing=3, late=2, clock_skew_s=-64.0),))
        states.append(state)
    store.write(states, {state.subject: [state.answer] for state in states})
    store.write_ledger({"total": LEDGER, "balances": True, "subjects": {}, "reported_us": now_us()})


@dataclass
class Streaming:
    """An online service, and its project's hot store as a consumer has it open."""

    service: Service
    store: HotStore

    front: Front

    @property
    def url(self) -> str:
        """The service's address."""
        return self.service.url

    def begin_to_stop(self) -> None:
        """As SIGTERM does in a worker process."""
        self.front.drain.begun = True


ServeStreaming = Callable[..., Streaming]


@contextmanager
def serve_streaming(package: Package, root: Path, *, host: str = "127.0.0.1", **stream: Any) -> Iterator[Streaming]:
    """The online service on a free port, with these keys of `[stream]`."""
    from bentos._front import Front
    from bentos.online._answering import Answering
    from bentos.online.app import App

    settings = write_settings(root / "project")
    settings = settings.model_copy(update={"stream": settings.stream.model_copy(update=stream)})
    registry = CollectorRegistry()
    app = App(Answering(package, settings, registry=registry))
    front = Front(app)
    with listening(front, host) as url, hot_store(settings) as store:
        service = Service(url, package, settings, registry, app)
        try:
            yield Streaming(service, store, front)
        finally:
            service.client.close()


def message(subject: str = "s01", sequence: int = 0, *, samples: int = 50, **changes: Any) -> dict[str, Any]:
    """A second of a device, with the project's channels."""
    row = [0.1, 0.2, 9.8, 0.01, 0.02, 0.03]
    return {
        "subject": subject,
        "device": "watch-1",
        "session": "morning",
        "sequence": sequence,
        "t0": 1_790_000_000_000_000 + sequence * SECOND,
        "rate_hz": 50.0,
        "channels": ["accel_x", "accel_y", "accel_z", "gyro_x", "gyro_y", "gyro_z"],
        "units": {"accelerometer": "m/s^2", "gyroscope": "rad/s"},
        "samples": [[round(value + 0.01 * (index % 7), 3) for value in row] for index in range(samples)],
        **changes,
    }


@contextmanager
def hot_store(settings: Settings) -> Iterator[HotStore]:
    """The project's hot store, as a consumer has it open."""
    store = open_hot(settings)
    try:
        yield store
    finally:
        store.close()


@contextmanager
def browser() -> Iterator[Callable[..., AbstractContextManager[Page]]]:
    """A browser; `open_page(viewport=…)` opens a page in a profile of its own.

    The test fails if the page asks another host, or a script of it fails.
    """
    from playwright.sync_api import sync_playwright

    arguments = [*_QUIET, *(["--no-sandbox"] if os.getuid() == 0 else [])]
    with sync_playwright() as play:
        chromium = play.chromium.launch(executable_path=CHROMIUM, args=arguments)

        @contextmanager
        def open_page(**profile: Any) -> Iterator[Page]:
            context = chromium.new_context(**profile)
            failures: list[str] = []
            try:
                page = context.new_page()
                page.on("pageerror", lambda error: failures.append(str(error)))
                page.on("request", lambda asked: None if "//127.0.0.1:" in asked.url else failures.append(asked.url))
                yield page
            finally:
                context.close()
            assert not failures, failures

        try:
            yield open_page
        finally:
            chromium.close()
