"""What streams' sessions are called in the lake: there, a session of a subject's day belongs to one stream."""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Iterator

from har.log_lines import SESSION
from har.streaming.envelope import StreamKey
from har.streaming.store import Shard

_LEGAL = re.compile(SESSION)
_KEPT = 20_000


class Names:
    """The names of one shard's sessions; kept in its store, so that they stay the same after a restart.

    Args:
        shard: whose subjects they are of.
    """

    def __init__(self, shard: Shard) -> None:
        self._shard = shard
        self._known: dict[tuple[str, str], dict[tuple[str, str, str], str]] = {}

    def of(self, date: str, key: StreamKey, session: str, new: dict[tuple[str, str, str, str, str], str]) -> str:
        """The session's name in the lake: its own, or, where another stream has that on this day, one with its device.

        Args:
            date: of its samples.
            key: its stream.
            session: as the windows in progress call it.
            new: gets names that are not stored yet.
        """
        names = self._known.get((date, key.subject))
        if names is None:
            if len(self._known) >= _KEPT:
                self._known.clear()
                # What is not stored yet must not be forgotten.
                for day, subject, *_ in new:
                    self._known[day, subject] = self._shard.names(day, subject)
                for (day, subject, known, device, stream), given in new.items():
                    self._known[day, subject][known, device, stream] = given
            stored = self._shard.names(date, key.subject)
            names = self._known.setdefault((date, key.subject), stored)
        own = (session, key.device, key.session)
        name = names.get(own)
        if name is None:
            name = names[own] = _free(session, key.device, set(names.values()))
            new[date, key.subject, session, key.device, key.session] = name
        return name

    def forget(self) -> None:
        """Read them again: what was to be stored was not."""
        self._known.clear()


def _free(session: str, device: str, taken: set[str]) -> str:
    """A legal session that is not taken: the session itself, else with its device, else with a hash."""
    return next(name for name in _candidates(session, device) if name not in taken and _LEGAL.fullmatch(name))


def _candidates(session: str, device: str) -> Iterator[str]:
    yield session
    yield f"{session}.{device}"
    digest = hashlib.sha256(f"{session}\0{device}".encode()).hexdigest()[:8]
    yield f"{session[:12]}.{digest}"
    yield from (f"{session[:8]}.{digest}-{number}" for number in itertools.count(2))
