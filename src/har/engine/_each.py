"""The seam: a function over independent parts. To support another engine, write one function of this signature."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeVar

from har.engine._outcomes import in_order, outcomes
from har.engine._threads import Threads

P = TypeVar("P")
R = TypeVar("R")


class Each(Protocol):
    """Runs a function over independent parts."""

    def __call__(self, function: Callable[[P], R], parts: Sequence[P], /) -> Iterator[R]:
        """Yield the results in the order of the parts.

        A part that fails does not stop the others. Once they are done, a `PartsError` names those that failed; the
        error of an only part is raised as it is. `in_turn` stops at the first error.
        """


def in_threads(function: Callable[[P], R], parts: Sequence[P], /) -> Iterator[R]:
    """Run the parts in threads of this process, one per available core."""
    with Threads() as crew:
        yield from in_order(parts, outcomes(crew, function, parts))


def in_turn(function: Callable[[P], R], parts: Sequence[P], /) -> Iterator[R]:
    """Run the parts one after the other, each when its result is requested."""
    yield from map(function, parts)


def once(each: Each, function: Callable[[P], R], part: P) -> R:
    """Run one step of a job by `each`, for its retries; an engine runs an only part in this process."""
    (result,) = each(function, [part])
    return result
