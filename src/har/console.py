"""One console for people: progress on a terminal, one line per step elsewhere; and who sits at it."""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Protocol, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

console = Console(stderr=True)
T = TypeVar("T")


class Advance(Protocol):
    """Moves a bar on, with a word about where it stands."""

    def __call__(self, note: str = "") -> None:
        """Count one more."""


@contextmanager
def bar(title: str, total: int, unit: str) -> Iterator[Advance]:
    """A progress bar that `advance(note)` moves, with the time that is left.

    Without a terminal: a line when it begins, and one when it ends.
    """
    progress = Progress(
        TextColumn("{task.description:<22}"),
        BarColumn(bar_width=28),
        MofNCompleteColumn(),
        TextColumn(f"{unit}  {{task.fields[note]}}"),
        TimeElapsedColumn(),
        TextColumn("[dim]left"),
        TimeRemainingColumn(),
        console=console,
    )
    with progress:
        task = progress.add_task(title, total=total, note="")

        def advance(note: str = "") -> None:
            progress.advance(task)
            if note:
                progress.update(task, note=note)

        yield advance
        progress.update(task, completed=total)


def track(results: Iterable[T], title: str, *, total: int, unit: str) -> Iterator[T]:
    """Hand out results under a bar as they come; nothing is shown where there are none to come."""
    if not total:
        return
    with bar(title, total, unit) as advance:
        for result in results:
            advance()
            yield result


def whoami() -> str:
    """`user@host`, for entries of people."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # in a container, the user id may have no name
        user = str(os.getuid()) if hasattr(os, "getuid") else "unknown"
    return f"{user}@{socket.gethostname()}"
