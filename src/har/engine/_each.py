"""How a job runs its independent parts: in threads, as Prefect tasks or on a cluster.

A job calls `each` with a function and parts. Both can be pickled: the function by its name, a part as a small value
(project, model version, partitions). Models and tables are opened, and cached, in the process that runs the part. To
support another engine, write one function of this signature.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

from har.inference import granted_cores

P = TypeVar("P")
R = TypeVar("R")


class Each(Protocol):
    """Runs a function over independent parts."""

    def __call__(self, function: Callable[[P], R], parts: Sequence[P], /) -> Iterator[R]:
        """Yield the results in the order of the parts.

        If a part fails, its error is raised in place of its result; the results before it were yielded.
        """


def in_threads(function: Callable[[P], R], parts: Sequence[P], /) -> Iterator[R]:
    """Run the parts in threads of this process, one per available core."""
    if not parts:
        return
    with ThreadPoolExecutor(min(len(parts), granted_cores())) as pool:
        yield from pool.map(function, parts)


def in_turn(function: Callable[[P], R], parts: Sequence[P], /) -> Iterator[R]:
    """Run the parts one after the other, each when its result is requested."""
    yield from map(function, parts)


def once(each: Each, function: Callable[[P], R], part: P) -> R:
    """Run one step of a job by `each`, for its retries and its place of execution."""
    (result,) = each(function, [part])
    return result
