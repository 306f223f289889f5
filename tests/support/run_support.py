"""The jobs of the project that HAR_ROOT names, run in this process; what they announce is in `sent`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any, TypeVar

from har.jobs import Event
from har.jobs.collect import CollectReport
from har.jobs.ingest import IngestReport
from har.jobs.monitor import MonitorReport
from har.jobs.score import ScoreReport
from har.project import open_project

P = TypeVar("P")
R = TypeVar("R")

sent: list[Event] = []


def in_processes(function: Callable[[P], R], parts: Sequence[P], /) -> Iterator[R]:
    """Run the parts in fresh processes, which share nothing with this one."""
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        yield from pool.map(function, parts)


def send(event: Event) -> str:
    """Take an event, as a server would."""
    sent.append(event)
    return ""


def ingest(**options: Any) -> IngestReport:
    from har.jobs.ingest import ingest as job

    return job(open_project(), **options)


def score(**options: Any) -> ScoreReport:
    from bentos.batch.client import connect
    from har.jobs.score import score as job

    return job(open_project(), **{"connect": connect, **options})


def collect(**options: Any) -> CollectReport:
    from har.jobs.collect import collect as job

    return job(open_project(), **options)


def monitor(**options: Any) -> MonitorReport:
    from har.jobs.monitor import monitor as job

    return job(open_project(), **{"send": send, **options})


def train(**options: Any) -> Any:
    from har.jobs.train import train as job

    return job(open_project(), **{"send": send, **options})


def evaluate(**options: Any) -> dict[str, Any]:
    from har.jobs.evaluate import evaluate as job

    return job(open_project(), **options)
