"""Samples that can hardly be what their units say: counted per kind, or refused."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable

import numpy as np
import polars as pl

from har.cutting import cut_day, signal_rule
from har.errors import RequestError
from har.plausibility import Doubt, Doubts
from har.schema import Partition
from har.settings import Settings

_MOST_WINDOWS = 64
"""Of a session in one batch, spread over it: they cost a hundredth of what scoring it does."""

Session = tuple[dt.date, str, str]
Found = list[tuple[Session, Doubt]]


class Plausibility:
    """Judges every session of an input as the online service judges a request; safe to share between threads.

    Args:
        settings: windows, sensors and `serving.strict`.
    """

    def __init__(self, settings: Settings) -> None:
        sensors = settings.sensors
        self._settings = settings
        self._signal = signal_rule(settings)
        self._doubts = Doubts(units=sensors.units, rate_hz=sensors.rate_hz, length=settings.length)

    def check(self, pieces: Iterable[tuple[Partition, pl.DataFrame]]) -> Found:
        """The doubts about each session of these subject-days.

        Raises:
            RequestError: there is one, and `serving.strict` is set.
        """
        found: Found = []
        for (date, subject), frame in pieces:
            windows, places = cut_day((date, subject), frame, self._settings, self._settings.sensors.channels)
            rows = places.with_row_index("row").group_by("session", maintain_order=True).agg("row")
            for session, own in rows.iter_rows():
                chosen = np.unique(np.linspace(0, len(own) - 1, _MOST_WINDOWS).astype(np.int64))
                values = windows.batch(np.array(own)[chosen])
                doubts = self._doubts.of(values[~self._signal.absent(values)])
                found += [((date, subject, session), doubt) for doubt in doubts]
        if found and self._settings.serving.strict:
            session, doubt = found[0]
            raise RequestError(
                where=f"{doubt.where}, {_named(session)}", expected=doubt.expected, got=doubt.got, remedy=doubt.remedy
            )
        return found


class Warnings:
    """Doubts about the sessions of one input, a sentence per kind."""

    def __init__(self) -> None:
        self._first: dict[str, tuple[Session, Doubt]] = {}
        self._sessions: set[tuple[str, Session]] = set()

    def add(self, found: Found) -> None:
        """Add what `Plausibility.check` found in a batch; a session counts once per kind."""
        for session, doubt in found:
            self._first.setdefault(doubt.code, (session, doubt))
            self._sessions.add((doubt.code, session))

    def by_code(self) -> dict[str, str]:
        """Per code the first session's doubt, and how many further sessions it concerns."""
        counts = Counter(code for code, _ in self._sessions)
        texts = {}
        for code, (session, doubt) in sorted(self._first.items()):
            further = f" and {counts[code] - 1} further sessions" if counts[code] > 1 else ""
            texts[code] = f"{_named(session)}{further}: {doubt.text}"
        return texts


def _named(session: Session) -> str:
    date, subject, name = session
    return f"subject {subject!r}, session {name!r} of {date}"
