"""One console for people: progress on a terminal, one line per step elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

console = Console(stderr=True)
T = TypeVar("T")


class Advance(Protocol):
    """Moves a bar on, with a word about where it stands."""

    def __call__(self, note: str = "") -> None: ...


@contextmanager
def bar(title: str, total: int, unit: str) -> Iterator[Advance]:
    """A progress bar that `advance(note)` moves; without a terminal, a line when it begins and one when it ends."""
    progress = Progress(
        TextColumn("{task.description:<22}"),
        BarColumn(bar_width=28),
        MofNCompleteColumn(),
        TextColumn(f"{unit}  {{task.fields[note]}}"),
        TimeElapsedColumn(),
        console=console,
    )
    with progress:
        task = progress.add_task(title, total=total, note="")

        def advance(note: str = "") -> None:
            progress.update(task, advance=1, **({"note": note} if note else {}))

        yield advance
        progress.update(task, completed=total)


def track(items: Sequence[T], title: str, *, unit: str) -> Iterator[T]:
    """Hand out items under a bar; an item counts as done when the next one is asked for."""
    if not items:
        return
    with bar(title, len(items), unit) as advance:
        for item in items:
            yield item
            advance()
