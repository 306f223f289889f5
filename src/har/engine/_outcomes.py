"""Hand parts to workers: so many at a time, the largest of a wave first, again after the loss of a worker."""

from __future__ import annotations

import pickle
import queue
import time
import traceback
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from typing import Any, Generic, Protocol, TypeVar, cast

from har.errors import EngineError, PartsError

P = TypeVar("P")
R = TypeVar("R")

WAVE = 500
ATTEMPTS = 3
"""A part whose worker ended so often is not started again: it may be the reason."""
HOPELESS = 20
"""With so many failed parts and none that succeeded, no further part is started."""
_LOOK_S = 0.5


@dataclass(frozen=True)
class Outcome(Generic[R]):
    """What became of a part: a result, or an error and its traceback; `lost`: how its worker ended without either."""

    result: R | None = None
    error: BaseException | None = None
    lost: str = ""
    trace: str = ""


Done = Callable[[Outcome[Any]], None]


class Crew(Protocol):
    """Workers that run one part at a time each."""

    def take(self, function: Callable[[Any], Any], part: Any, done: Done) -> bool:
        """Start a part, and call `done` when it ends, from any thread; False: no worker is free now."""

    def look(self) -> None:
        """Look after the workers; called about twice a second.

        Raises:
            EngineError: there are no workers any more.
        """


def size_of(part: object) -> float:
    """How much work a part is, beside others of its kind: its attribute `size`."""
    return float(getattr(part, "size", 0))


def name_of(part: object) -> str:
    """What a person calls a part."""
    return str(part) if type(part).__str__ is not object.__str__ else type(part).__name__


def attempt(function: Callable[[P], R], part: P) -> Outcome[R]:
    """Run a part; an error is a value that travels."""
    try:
        return Outcome(function(part))
    except Exception as error:  # noqa: BLE001  it is raised where the job runs
        return Outcome(error=_portable(error), trace=traceback.format_exc())


def run_sent(sent: bytes) -> Outcome[Any]:
    """Run a pickled function over its part, in a worker."""
    try:
        function, part = pickle.loads(sent)  # noqa: S301  `send` wrote it
    except Exception as error:  # noqa: BLE001  such as a module that is not installed here
        return Outcome(error=_portable(error))
    return attempt(function, part)


def send(function: Callable[[P], R], part: P) -> bytes:
    """A function and a part for `run_sent`."""
    return pickle.dumps((function, part))


def _portable(error: Exception) -> Exception:
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301  written in this line
    except Exception:  # noqa: BLE001  whatever its class does when it is pickled
        return EngineError(problem=f"{type(error).__name__}: {error}", remedy="See the cause.")
    return error


def outcomes(
    crew: Crew, function: Callable[[P], R], parts: Sequence[P], *, wave: int = WAVE
) -> Iterator[tuple[int, Outcome[R]]]:
    """Run the parts; yield the number and the outcome of each as it ends.

    A window slides over the parts: a worker that is free gets the next one, whatever is still running. Within each wave
    the parts with the greatest `size` come first, so that no large one is left for the end.
    """
    queued: _Queue[Any, R] = _Queue(crew, function, parts, wave)
    looked_at = time.monotonic()
    while queued.start() or queued.running:
        if time.monotonic() - looked_at > _LOOK_S:
            crew.look()
            looked_at = time.monotonic()
        one = queued.next_ended()
        if one is not None:
            yield one


class _Queue(Generic[P, R]):
    """Parts that wait, in the order in which they are started, and those that run."""

    def __init__(self, crew: Crew, function: Callable[[P], R], parts: Sequence[P], wave: int) -> None:
        self.running = 0
        self._crew, self._function, self._parts = crew, function, parts
        blocks = (range(begin, min(begin + wave, len(parts))) for begin in range(0, len(parts), wave))
        self._order = chain.from_iterable(sorted(block, key=lambda n: -size_of(parts[n])) for block in blocks)
        self._next: deque[int] = deque()
        self._ended: queue.SimpleQueue[tuple[int, Outcome[R]]] = queue.SimpleQueue()
        self._losses: Counter[int] = Counter()
        self._failed = self._succeeded = 0

    def start(self) -> bool:
        """Start parts as long as workers are free; returns whether some wait."""
        while self._failed < HOPELESS or self._succeeded:
            if not self._next:
                self._next.extend(islice(self._order, 1))
            if not self._next:
                return False
            number = self._next[0]
            if not self._crew.take(self._function, self._parts[number], partial(self._note, number)):
                return True
            self._next.popleft()
            self.running += 1
        return False

    def next_ended(self) -> tuple[int, Outcome[R]] | None:
        """A part that ended; None: none did for a moment, or one is to run again."""
        try:
            number, outcome = self._ended.get(timeout=_LOOK_S)
        except queue.Empty:
            return None
        self.running -= 1
        if outcome.lost:
            self._losses[number] += 1
            if self._losses[number] < ATTEMPTS:
                self._next.appendleft(number)
                return None
            outcome = Outcome(error=_gone(self._parts[number], outcome.lost))
        if outcome.error is not None and outcome.error.__traceback__ is None:  # it comes from another process
            outcome.error.add_note(f"In the worker:\n{outcome.trace}")
        self._failed += outcome.error is not None
        self._succeeded += outcome.error is None
        return number, outcome

    def _note(self, number: int, outcome: Outcome[R]) -> None:
        self._ended.put((number, outcome))


def _gone(part: object, lost: str) -> EngineError:
    return EngineError(
        where=name_of(part),
        problem=f"its worker ended {ATTEMPTS} times while it ran, the last time: {lost}",
        remedy="Something kills the workers, such as a limit of memory (engine.worker_memory_mb): give them more, or "
        "find out what this part needs with engine.kind = threads.",
    )


def in_order(parts: Sequence[P], ended: Iterator[tuple[int, Outcome[R]]]) -> Iterator[R]:
    """The results in the order of the parts; then the errors of parts that failed, as one.

    Raises:
        PartsError: parts failed, or were not tried after too many that did. An only part raises its own error.
    """
    early: dict[int, Outcome[R]] = {}
    errors: dict[int, BaseException] = {}
    due = 0
    for number, outcome in ended:
        early[number] = outcome
        while due in early:
            one = early.pop(due)
            if one.error is None:
                yield cast(R, one.result)
            else:
                errors[due] = one.error
            due += 1
    for number, one in sorted(early.items()):  # not all were tried
        if one.error is not None:
            errors[number] = one.error
    require_success(parts, errors, untried=len(parts) - due - len(early))


def require_success(parts: Sequence[P], errors: dict[int, BaseException], *, untried: int = 0) -> None:
    """Raise if parts failed, with the numbers of those as keys."""
    if not errors:
        return
    first, *_ = failed = [errors[number] for number in sorted(errors)]
    if len(parts) == 1:
        raise first
    names = [name_of(parts[number]) for number in sorted(errors)]
    raise PartsError.of(tuple(names), tuple(failed), total=len(parts), untried=untried) from first
