"""A subject's day as a band: stretches of one activity, made of the answers to windows; and what to show of each."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from har.plausibility import NO_SIGNAL

if TYPE_CHECKING:
    from har.streaming.state import Answer

UNCERTAIN = "uncertain"
_SETTLED_US = 120_000_000
"""An answer that is so much older than the newest one does not change any more: smoothing has had its delay."""


def label(answer: Answer) -> str:
    """What is shown: the smoothed activity where there is one, `uncertain` where the model abstained."""
    if answer.smoothed:
        return answer.smoothed
    return UNCERTAIN if answer.abstained and answer.activity != NO_SIGNAL else answer.activity


Stretch = list[Any]
"""start_us, end_us, activity, whether a window in it is unlike the training data: as the page gets it."""


class Day:
    """The answers of a day, and which of them are new or have changed.

    Args:
        begin_us: its first moment.
    """

    def __init__(self, begin_us: int = 0) -> None:
        self._begin_us = begin_us
        self._settled: list[Stretch] = []
        self._recent: dict[int, Answer] = {}
        self.tail: list[Stretch] = []
        """The stretches from the oldest answer that the last `add` may have changed."""

    @property
    def since_us(self) -> int:
        """Answers that start later are asked for again: they may change."""
        return min(self._recent, default=self._begin_us) - 1

    def add(self, answers: Iterable[Answer]) -> list[Answer]:
        """Take answers; those that are new or differ from before, in time order."""
        changed = [answer for answer in answers if self._recent.get(answer.start_us) != answer]
        if changed:
            self._recent.update((answer.start_us, answer) for answer in changed)
            self.tail = _stretches(sorted(self._recent.values(), key=lambda answer: answer.start_us))
            self._settle()
        return changed

    def stretches(self) -> list[Stretch]:
        """The whole day."""
        recent = _stretches(sorted(self._recent.values(), key=lambda answer: answer.start_us))
        return _joined([*([*stretch] for stretch in self._settled), *recent])

    def _settle(self) -> None:
        newest = max(self._recent)
        old = sorted(start for start in self._recent if start < newest - _SETTLED_US)
        if old:
            found = _stretches([self._recent.pop(start) for start in old])
            # Windows overlap: the last stretch ends where the first answer that is left begins.
            found[-1][1] = min(found[-1][1], min(self._recent))
            self._settled = _joined([*self._settled, *found])


def _stretches(answers: list[Answer]) -> list[Stretch]:
    """Each answer covers the time to the next one, or to its own end where there is a gap."""
    found: list[Stretch] = []
    for index, answer in enumerate(answers):
        after = answers[index + 1].start_us if index + 1 < len(answers) else answer.end_us
        found.append([answer.start_us, min(answer.end_us, after), label(answer), answer.unknown])
    return _joined(found)


def _joined(stretches: list[Stretch]) -> list[Stretch]:
    found: list[Stretch] = []
    for stretch in stretches:
        last = found[-1] if found else None
        if last is not None and last[2:] == stretch[2:] and stretch[0] <= last[1]:
            last[1] = max(last[1], stretch[1])
        else:
            found.append(stretch)
    return found


def day_us(date: str, zone: dt.tzinfo) -> tuple[int, int]:
    """First and last moment of a day in a time zone, in µs since 1970; with summer time it has 23 or 25 hours.

    Raises:
        ValueError: the text is no date.
    """
    first = dt.date.fromisoformat(date)
    begin, end = (
        dt.datetime.combine(day, dt.time(), zone).timestamp() for day in (first, first + dt.timedelta(days=1))
    )
    return round(1e6 * begin), round(1e6 * end)
