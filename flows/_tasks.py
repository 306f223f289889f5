"""Run the parts of jobs as Prefect tasks, with retries after failures that may be temporary."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from typing import Any, Generic, TypeVar, cast

from prefect import Task, get_run_logger
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.utilities.annotations import quote
from prefect.variables import Variable

from har.engine import Each, Engine, Outcome, name_of, open_engine, require_success
from har.errors import HarError, LakeDamageError, PartsError
from har.settings import Settings

P = TypeVar("P")
R = TypeVar("R")

RETRIES = 3
PAUSES_S: list[float] = [1, 4, 16]
"""Before each retry."""


def tasks(
    settings: Settings | None = None,
    *,
    at_once: bool = False,
    without_retries: Collection[Callable[..., Any]] = (),
    thread_safe: bool = True,
) -> Each:
    """An `Each` whose work shows as Prefect tasks, with up to three retries after failures that may be temporary.

    Several parts go to the project's engine, and each wave of them is one task run; a retry runs only those parts again
    that failed. An only part, such as a step of a job, is a task run of its own in this process.

    Args:
        settings: `[engine]` says what runs several parts; None: each is a task run in this process, too.
        at_once: such task runs begin at once; False: one after the other.
        without_retries: functions that are not retried, because they take long.
        thread_safe: as of `har.engine.open_engine`.
    """

    def each(function: Callable[[P], R], parts: Sequence[P], /) -> Iterator[R]:
        retries = 0 if function in without_retries else RETRIES
        if settings is not None and len(parts) > 1:
            with open_engine(settings, thread_safe=thread_safe) as engine:
                yield from _Waves(engine, function, parts).results(retries)
            return
        runs = [_task(function, _title(function, part), retries) for part in parts]
        # Without `quote`, Prefect would search every value of a part for results of other tasks.
        quoted = [quote(part) for part in parts]
        if at_once:
            futures = [run.submit(part) for run, part in zip(runs, quoted, strict=True)]
            yield from (future.result() for future in futures)
        else:
            yield from (run(part) for run, part in zip(runs, quoted, strict=True))

    return each


class _Waves(Generic[P, R]):
    """Parts at an engine, shown as a task run per wave.

    One window slides over all parts: while a wave waits for its last ones, those of the next begin.
    """

    def __init__(self, engine: Engine, function: Callable[[P], R], parts: Sequence[P]) -> None:
        self._engine, self._function, self._parts = engine, function, parts
        self._name = _named(function)
        self._ended = engine.outcomes(function, parts)
        self._known: dict[int, Outcome[R]] = {}

    def results(self, retries: int) -> Iterator[R]:
        """Run all waves; raise at the end if parts failed."""
        size, total = self._engine.wave, len(self._parts)
        waves = [range(begin, min(begin + size, total)) for begin in range(0, total, size)]
        for order, wave in enumerate(waves, 1):
            title = f"{self._name} wave {order} of {len(waves)} ({len(wave)} parts)"
            with suppress(PartsError):
                _task(self._run, title, retries, name=self._name)(quote(wave))
            done = (self._known[number] for number in wave if number in self._known)
            yield from (cast(R, one.result) for one in done if one.error is None)
        require_success(self._parts, self._failed(range(total)), untried=total - len(self._known))

    def _run(self, wave: range) -> None:
        """Run what is missing of a wave: at a retry, the parts whose failure may have been temporary."""
        again = [number for number, error in self._failed(wave).items() if _may_pass(error)]
        for index, outcome in self._engine.outcomes(self._function, [self._parts[number] for number in again]):
            self._known[again[index]] = outcome
        told = 0
        while missing := sum(number not in self._known for number in wave):
            one = next(self._ended, None)
            if one is None:  # hopeless: too many failed
                break
            self._known[one[0]] = one[1]
            if 10 * (len(wave) - missing) // len(wave) > told:
                told = 10 * (len(wave) - missing) // len(wave)
                get_run_logger().info(f"{len(wave) - missing} of {len(wave)} parts")
        if failed := self._failed(wave):
            names = tuple(name_of(self._parts[number]) for number in failed)
            raise PartsError.of(names, tuple(failed.values()), total=len(wave))

    def _failed(self, numbers: range) -> dict[int, BaseException]:
        known = {number: self._known[number] for number in numbers if number in self._known}
        return {number: one.error for number, one in known.items() if one.error is not None}


def retraining_is_on() -> bool:
    """Whether retraining may start without a person; `prefect variable set har_retraining off` switches it off."""
    value = Variable.get("har_retraining", default="on")
    return str(value).strip().lower() not in ("off", "false", "no", "0")


def is_transient(_task: object, _run: TaskRun, state: State[Any]) -> bool:
    """Whether a retry may help: after errors of the disk or a lock, not after bad data, damage or a bug."""
    error = state.data
    return any(map(_may_pass, error.causes)) if isinstance(error, PartsError) else _may_pass(error)


def _may_pass(error: object) -> bool:
    if isinstance(error, LakeDamageError):
        return False
    return isinstance(error, OSError) or not isinstance(error, HarError | TypeError | ValueError | AssertionError)


def _named(function: Callable[..., Any]) -> str:
    return function.__name__.replace("_", "-")


def _title(function: Callable[..., Any], part: object) -> str:
    described = type(part).__str__ is not object.__str__
    return f"{_named(function)} {part}" if described else _named(function)


def _task(function: Callable[[P], R], title: str, retries: int, *, name: str = "") -> Task[[Any], R]:
    return Task(
        function,
        name=name or _named(function),
        task_run_name=lambda: title,  # a function, because in a string Prefect would replace braces
        cache_policy=NO_CACHE,
        retries=retries,
        retry_delay_seconds=PAUSES_S,
        retry_condition_fn=is_transient,
    )
