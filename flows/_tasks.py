"""How flows run a job's parts: as Prefect tasks, which are tried again where the failure can pass."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, TypeVar

from prefect import Task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.utilities.annotations import quote
from prefect.variables import Variable

from har.errors import HarError
from har.jobs import Each

P = TypeVar("P")
R = TypeVar("R")

RETRIES = 3
PAUSES_S: list[float] = [1, 4, 16]
"""Before each further try."""


def tasks(*, at_once: bool = True, tried_once: Collection[Callable[..., Any]] = ()) -> Each:
    """Run each part of a job as a Prefect task: four tries with growing pauses, if the failure can pass.

    Args:
        at_once: hand all parts to the flow's task runner; False: one after the other.
        tried_once: functions that are not tried again, because a try takes long.
    """

    def each(function: Callable[[P], R], parts: Sequence[P], /) -> Iterator[R]:
        runs = [_task(function, part, 0 if function in tried_once else RETRIES) for part in parts]
        # Quoted: Prefect would look through every value of a part for results of other tasks.
        quoted = [quote(part) for part in parts]
        if at_once:
            futures = [run.submit(part) for run, part in zip(runs, quoted, strict=True)]
            yield from (future.result() for future in futures)
        else:
            yield from (run(part) for run, part in zip(runs, quoted, strict=True))

    return each


def retraining_is_on() -> bool:
    """Whether trainings may start by themselves: `prefect variable set har_retraining off` forbids it at once."""
    value = Variable.get("har_retraining", default="on")
    return str(value).strip().lower() not in ("off", "false", "no", "0")


def is_transient(_task: object, _run: TaskRun, state: State[Any]) -> bool:
    """Whether a retry may help: the disk or another writer, not bad data or a bug."""
    error = state.data
    return isinstance(error, OSError) or not isinstance(error, HarError | TypeError | ValueError | AssertionError)


def _task(function: Callable[[P], R], part: P, retries: int) -> Task[[Any], R]:
    name = function.__name__.replace("_", "-")
    described = type(part).__str__ is not object.__str__
    return Task(
        function,
        name=name,
        # As a function, because Prefect fills in braces in a text.
        task_run_name=lambda: f"{name} {part}" if described else name,
        cache_policy=NO_CACHE,
        retries=retries,
        retry_delay_seconds=PAUSES_S,
        retry_condition_fn=is_transient,
    )
