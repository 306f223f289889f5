"""Days of six subjects for a project whose champion was trained on two of them: quiet, tilted, swapped."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path

from tests_support import write_recording

SUBJECTS = tuple(f"s{number:02d}" for number in range(1, 7))
TILTED = (1.0, 0.0, 0.0)
"""Gravity where nobody of the champion's training had it."""
OTHER = {"PEN": "ROW", "ROW": "PEN"}
FIRST = dt.date(2024, 1, 8)
"""The first day after the champion's training."""
Live = Callable[..., None]


def record(
    root: Path,
    day: dt.date,
    subjects: tuple[str, ...] = SUBJECTS,
    *,
    labelled: bool = True,
    tilted: bool = False,
    swapped: bool = False,
    seconds: float = 40,
) -> None:
    """Two activities of each subject on one day: 38 windows each.

    A tilted day is drift that the champion copes with. On a swapped one everybody does the one activity as they did the
    other before: a model that does not know is always wrong.
    """
    for subject in subjects:
        for name in OTHER:
            write_recording(
                root / "data" / "inbox",
                day.isoformat(),
                subject,
                name.lower(),
                name,
                seconds=seconds,
                seed=day.toordinal(),
                labelled=labelled,
                like=OTHER[name] if swapped else None,
                gravity=TILTED if tilted else (0.0, 0.0, 1.0),
            )
