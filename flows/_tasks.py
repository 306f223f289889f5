"""Run the parts of jobs as Prefect tasks, with retries after failures that may be temporary."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, TypeVar

from prefect import Task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.utilities.annotations import quote
from prefect.variables import Variable

from har.errors import HarError, LakeDamageError
from har.jobs import Each

P = TypeVar("P")
R = TypeVar("R")

RETRIES = 3
PAUSES_S: list[float] = [1, 4, 16]
"""Before each retry."""


def tasks(*, at_once: bool = True, without_retries: Collection[Callable[..., Any]] = ()) -> Each:
    """An `Each` that runs parts as Prefect tasks, with up to three retries after failures that may be temporary.

    Args:
        at_once: submit all parts to the flow's task runner; False: run one after the other.
        without_retries: functions that are not retried, because they take long.
    """

    def each(function: Callable[[P], R], parts: Sequence[P], /) -> Iterator[R]:
        runs = [_task(function, part, 0 if function in without_retries else RETRIES) for part in parts]
        # Without `quote`, Prefect would search every value of a part for results of other tasks.
        quoted = [quote(part) for part in parts]
        if at_once:
            futures = [run.submit(part) for run, part in zip(runs, quoted, strict=True)]
            yield from (future.result() for future in futures)
        else:
            yield from (run(part) for run, part in zip(runs, quoted, strict=True))

    return each


def retraining_is_on() -> bool:
    """Whether retraining may start without a person; `prefect variable set har_retraining off` switches it off."""
    value = Variable.get("har_retraining", default="on")
    return str(value).strip().lower() not in ("off", "false", "no", "0")


def is_transient(_task: object, _run: TaskRun, state: State[Any]) -> bool:
    """Whether a retry may help: after errors of the disk or a lock, not after bad data, damage or a bug."""
    error = state.data
    if isinstance(error, LakeDamageError):
        return False
    return isinstance(error, OSError) or not isinstance(error, HarError | TypeError | ValueError | AssertionError)


def _task(function: Callable[[P], R], part: P, retries: int) -> Task[[Any], R]:
    name = function.__name__.replace("_", "-")
    described = type(part).__str__ is not object.__str__
    return Task(
        function,
        name=name,
        # A function, because in a string Prefect would replace braces.
        task_run_name=lambda: f"{name} {part}" if described else name,
        cache_policy=NO_CACHE,
        retries=retries,
        retry_delay_seconds=PAUSES_S,
        retry_condition_fn=is_transient,
    )
