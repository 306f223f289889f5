"""What the gate's evaluation lets a release expect of two versions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from har.registry import Promotion


def evaluated_disagreement(log: Sequence[Promotion], new: int, former: int) -> float | None:
    """Share of the held-out windows on which two versions answered differently when the gate compared them.

    Args:
        log: the promotion log, oldest line first.
        new: the version that is released.
        former: the version that serves.

    Returns:
        None: the gate has not compared these two, as after a promotion by hand, or did so in an earlier release of the
        project.
    """
    for line in reversed(log):
        figure = line.figures.get("disagreement")
        if line.version == new and line.champion_before == former and isinstance(figure, float | int):
            return float(figure)
    return None
