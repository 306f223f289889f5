"""The engine that har.toml asks for, opened for the time of a job."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from har.engine._each import Each, in_turn
from har.engine._outcomes import Crew, Outcome, in_order, outcomes
from har.engine._processes import Processes
from har.engine._same import Place
from har.engine._threads import Threads
from har.inference import granted_cores
from har.settings import Settings

_CLUSTER = 64
P = TypeVar("P")
R = TypeVar("R")


class Engine:
    """Workers that are there. `each` is an `Each`.

    Attributes:
        places: a cluster's workers, with what they have.
        wave: parts in a wave.
    """

    def __init__(self, crew: Crew, places: Sequence[Place], wave: int) -> None:
        self.places = places
        self.wave = wave
        self._crew = crew

    def outcomes(self, function: Callable[[P], R], parts: Sequence[P]) -> Iterator[tuple[int, Outcome[R]]]:
        """The number and the outcome of each part as it ends."""
        return outcomes(self._crew, function, parts, wave=self.wave)

    def each(self, function: Callable[[P], R], parts: Sequence[P], /) -> Iterator[R]:
        """The results in the order of the parts."""
        return in_order(parts, self.outcomes(function, parts))


@contextmanager
def open_engine(settings: Settings, *, refuse: bool = True, thread_safe: bool = True) -> Iterator[Engine]:
    """The engine of `[engine]`, with all its workers looked at.

    Args:
        settings: the project's.
        refuse: raise if a worker is not as this process is; False: it is listed with its problem, and gets no part.
        thread_safe: whether parts may share a process; if not, threads run them one after the other.

    Raises:
        EngineError: there is no such engine, or a worker is refused.
    """
    engine = settings.engine
    if engine.kind == "threads":
        with Threads(engine.workers if thread_safe else 1) as threads:
            yield Engine(threads, (), engine.wave)
    elif engine.kind == "processes":
        with Processes(engine.workers) as processes:
            yield Engine(processes, (), engine.wave)
    else:
        from har.engine._dask import DaskWorkers

        with DaskWorkers(settings, refuse=refuse) as workers:
            yield Engine(workers, workers.places, engine.wave)


def engine_of(settings: Settings, *, thread_safe: bool = True) -> Each:
    """An `Each` that opens the project's engine when it gets several parts, and closes it after the last result.

    An only part runs in this process: it is a step of the job, or too little to start workers for.

    Args:
        settings: the project's.
        thread_safe: as of `open_engine`.
    """

    def each(function: Callable[[P], R], parts: Sequence[P], /) -> Iterator[R]:
        if len(parts) < 2:
            yield from in_turn(function, parts)
            return
        with open_engine(settings, thread_safe=thread_safe) as engine:
            yield from engine.each(function, parts)

    return each


def workers_of(settings: Settings) -> int:
    """How many parts may run at a time; of an existing cluster, whose size is not known yet, a guess."""
    engine = settings.engine
    return engine.workers or (_CLUSTER if engine.address else granted_cores())
