"""How a job runs its independent parts: the one seam for threads, Prefect tasks and clusters.

A job hands `each` a function and parts. Both can be pickled: the function by its name, a part as a small value (the
project, a model version, partitions); what a part names is opened, and cached, in the process that runs it. A new
engine is one function of this shape.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

from har.inference import granted_cores

P = TypeVar("P")
R = TypeVar("R")


class Each(Protocol):
    """Runs a function over parts that do not need each other."""

    def __call__(self, function: Callable[[P], R], parts: Sequence[P], /) -> Iterator[R]:
        """Yield the results in the order of the parts.

        A part that fails raises its error when its result is asked for; the parts before it have their results.
        """


def in_threads(function: Callable[[P], R], parts: Sequence[P], /) -> Iterator[R]:
    """Run the parts in threads of this process, as many at once as it is granted cores."""
    if not parts:
        return
    with ThreadPoolExecutor(min(len(parts), granted_cores())) as pool:
        yield from pool.map(function, parts)


def in_turn(function: Callable[[P], R], parts: Sequence[P], /) -> Iterator[R]:
    """Run the parts one after the other, each when its result is asked for."""
    yield from map(function, parts)


def once(each: Each, function: Callable[[P], R], part: P) -> R:
    """Run one step of a job as `each` runs parts: with its retries, and where it runs them."""
    (result,) = each(function, [part])
    return result
