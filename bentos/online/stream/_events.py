"""What one page about one subject is told while it is open: a stream of server-sent events."""

from __future__ import annotations

import asyncio
import datetime as dt
import time
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

from bentos.online.stream import _json
from bentos.online.stream._day import Day, day_us
from bentos.online.stream._hot import Hot
from har.errors import RequestError

if TYPE_CHECKING:
    from har.streaming.state import HotStore, SubjectState

LOOK_S = 0.5
"""Between two looks at the hot store."""

_LEDGER_LOOKS = 10
"""The ledger, which has all subjects, is read at each tenth look."""

Event = dict[str, Any]


class Watch:
    """Looks at one subject again and again.

    Events, each with JSON: `state` (as in `/subjects`), `day` (its band so far), `answers` (new or changed ones, and
    the band from a moment on), `signal` (the last seconds), `ledger` (what became of
    the subject's messages), `away` (why there is nothing to say).

    Args:
        hot: the store.
        name: the subject.
        zone: the project's, in which days begin.
        may_go_on: asked at each look; where it says no, the stream ends.
    """

    def __init__(self, hot: Hot, name: str, zone: dt.tzinfo, may_go_on: Callable[[], bool]) -> None:
        self._hot, self._name, self._zone, self._may_go_on = hot, name, zone, may_go_on
        self._day = Day()
        self._state: SubjectState | None = None
        self._signal_us = self._looks = 0
        self._ledger: dict[str, int] = {}
        self._away = ""

    async def events(self) -> AsyncIterator[Event]:
        """The events, until the client goes away or may not look any more."""
        while self._may_go_on():
            try:
                found = await self._hot.ask(self._look)
                self._away = ""
            except RequestError as error:
                found = []
                if self._away != error.got:
                    self._away = error.got
                    found = [_event("away", {"expected": error.expected, "got": error.got, "remedy": error.remedy})]
            for event in found:
                yield event
            await asyncio.sleep(LOOK_S)

    def _look(self, store: HotStore) -> list[Event]:
        """What there is to tell; in the store's thread, because a day may have tens of thousands of answers."""
        store.watch(self._name)
        state = store.subject(self._name)
        if state is None:
            return []
        events = []
        before, self._state = self._state, state
        if before != state:
            events.append(_event("state", {"now_us": now_us(), **_json.whole(state)}))
        if before is None or before.date != state.date:
            self._day = Day(day_us(state.date, self._zone)[0])
            changed = self._day.add(store.answers(self._name, since_us=self._day.since_us))
            events.append(_event("day", _json.band(state, self._day, self._zone)))
            events.append(_event("answers", {"answers": _json.recent(changed)}))
        elif changed := self._day.add(store.answers(self._name, since_us=self._day.since_us)):
            tail = self._day.tail
            events.append(_event("answers", {"answers": _json.recent(changed), "stretches": tail}))
        signal = store.signal(self._name)
        if signal is not None and len(signal.times) and int(signal.times[-1]) != self._signal_us:
            self._signal_us = int(signal.times[-1])
            events.append(_event("signal", _json.signal(signal)))
        if self._looks % _LEDGER_LOOKS == 0 and (counts := _json.counts(store, self._name)) != self._ledger:
            self._ledger = counts
            events.append(_event("ledger", counts))
        self._looks += 1
        return events


def now_us() -> int:
    """The wall clock, in µs since 1970, UTC."""
    return time.time_ns() // 1000


def _event(name: str, content: dict[str, Any]) -> Event:
    return {"event": name, "data": _json.compose(content).decode()}
