"""Tasks of the page `/label` as `har labels --prepare` makes them, without a lake."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from har.labelling import Given, Store, Task, is_shared, task_id

MINUTE_US = 60_000_000
NINE_US = 1_705_568_400_000_000
"""2024-01-18, nine o'clock, in µs."""
WINDOW_US = 4_000_000
CONTEXT_US = 30_000_000


def signal(seed: int = 0) -> bytes:
    """A minute of walking, as the page draws it."""
    random = np.random.default_rng(seed)
    times = np.linspace(-30_000, 34_000, 200).astype(int)
    phase = 2 * np.pi * 1.8 * times / 1000
    channels = [
        {
            "name": f"{sensor}_{axis}",
            "unit": unit,
            "t": times.tolist(),
            "v": (random.normal(0, 1) + 2 * np.sin(phase + shift)).round(3).tolist(),
        }
        for sensor, unit in (("accel", "m/s^2"), ("gyro", "rad/s"))
        for shift, axis in enumerate("xyz")
    ]
    near = (times >= -2000) & (times <= 6000)
    detail = {
        "t": times[near].tolist(),
        "v": [np.asarray(channel["v"])[near].tolist() for channel in channels],
    }
    return json.dumps({"channels": channels, "detail": detail}).encode()


def task(number: int = 0, *, shared: float = 0.0, activities: Sequence[str] = ("SIT", "WALK"), **changes: Any) -> Task:
    """Window number so many of subject s01, a minute apart."""
    start_us = NINE_US + number * MINUTE_US
    name = task_id("s01", "watch", start_us, start_us + WINDOW_US)
    values: dict[str, Any] = {
        "task": name,
        "subject": "s01",
        "session": "watch",
        "date": "2024-01-18",
        "start_us": start_us,
        "end_us": start_us + WINDOW_US,
        "rank": number + 1,
        "reason": f"The model is 40 % sure of {activities[0]}.",
        "guesses": ((activities[0], 0.4), (activities[1], 0.35)),
        "model_version": 3,
        "place": "wrist, watch-3",
        "from_us": start_us - CONTEXT_US,
        "to_us": start_us + WINDOW_US + CONTEXT_US,
        "signal": signal(number),
        "people": 2 if is_shared(name, shared) else 1,
    }
    return Task(**{**values, **changes})


def given(
    one: Task,
    labeller: str = "ann",
    activity: str | None = "WALK",
    *,
    verdict: str = "",
    source: str = "",
    **changes: Any,
) -> Given:
    """An answer to a task about its whole window; its id is of this labeller and task."""
    values: dict[str, Any] = {
        "answer": f"{labeller}-{one.task}",
        "task": one.task,
        "labeller": labeller,
        "verdict": verdict or ("label" if activity else "unusable"),
        "activity": activity,
        "start_us": one.start_us if activity else None,
        "end_us": one.end_us if activity else None,
        "source": source or f"{labeller} at 127.0.0.1, token {labeller}",
    }
    return Given(**{**values, **changes})


class Clock:
    """Microseconds that a test sets."""

    def __init__(self) -> None:
        self.now_us = NINE_US

    def __call__(self) -> int:
        self.now_us += 1000
        return self.now_us

    def later(self, seconds: float) -> None:
        """Let time pass."""
        self.now_us += round(seconds * 1e6)


def filled(path: Any, count: int = 5, *, clock: Clock | None = None, **how: Any) -> tuple[Store, list[Task]]:
    """A store with so many tasks."""
    store = Store(path, clock=clock or Clock())
    tasks = [task(number, **how) for number in range(count)]
    assert store.put(tasks) == count
    return store, tasks
