"""`deliver`: from a feed through the spool to the project, until everything is on the project's disk."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from har.streaming.client._message import Made
from har.streaming.client._spool import Spool, Waiting
from har.streaming.client.links import Link, Sent

_log = logging.getLogger("har.stream.client")
_AT_ONCE = 100
_IDLE_S = 0.05
_LONGEST_AGAIN_S = 300.0
AHEAD = 20_000
"""Messages in the spool beyond which a feed that can wait is not asked for more."""


@dataclass
class Delivered:
    """What came of it.

    Attributes:
        added: messages that were put into the spool.
        durable: messages that are on the project's disk since.
        waiting: messages that are still in the spool; the next start sends them.
        refused: why messages were set aside, one entry each.
        why: the sending stopped, "" if everything is done.
    """

    added: int = 0
    durable: int = 0
    waiting: int = 0
    refused: tuple[str, ...] = ()
    why: str = ""


def deliver(
    feed: Iterator[Made | None],
    spool: Spool,
    link: Link,
    *,
    window: int = 500,
    again_s: float = 10.0,
    patience_s: float = 60.0,
    ahead: int | None = AHEAD,
    stop: Callable[[], bool] = lambda: False,
) -> Delivered:
    """Send what is in the spool and what the feed makes; the spool forgets what the project acknowledges.

    Args:
        feed: messages; None: none now, ask again soon.
        spool: keeps them.
        link: the way to the project.
        window: messages that may be on their way.
        again_s: seconds after which a message without an acknowledgement is sent again; longer and longer, up to five
            minutes, while none comes at all.
        patience_s: when the feed is at its end and no acknowledgement came for so long, give up; the spool keeps all.
        ahead: messages in the spool at which the feed waits; None: it cannot wait, as it is live.
        stop: ends it early.

    Raises:
        StorageError: the spool's disk is full.
        SourceError: the project refuses us.
    """
    done = Delivered()
    fed = False
    pace = _Pace(again_s)
    progress = time.monotonic()
    not_before = 0.0
    while not stop():
        made = [] if fed or (ahead is not None and spool.waiting >= ahead) else _some(feed)
        if made is None:
            fed, made = True, []
        done.added += spool.add(made) if made else 0
        now = time.monotonic()
        busy, forgotten = bool(made), 0
        if now >= not_before:
            due = spool.due(window, pace.again_s)[:_AT_ONCE]
            before = {one.number for one in due if spool.is_under_way(one.number)}
            sent, forgotten = _send(due, spool, link)
            if not before.isdisjoint(sent.numbers):
                pace.slower()
            not_before, done.why = now + sent.wait_s, sent.why
            busy = busy or (bool(due) and not sent.wait_s)
        heard = link.hear(0.0 if busy else _IDLE_S)
        forgotten += spool.forget(heard) if heard else 0
        done.durable += forgotten
        if forgotten:
            pace.heard()
        if forgotten or not fed:
            progress = time.monotonic()
        if fed and not spool.waiting:
            break
        if fed and time.monotonic() - progress > patience_s:
            done.why = done.why or f"no acknowledgement within {patience_s:g} s; does `har stream run` run?"
            break
    done.waiting = spool.waiting
    done.refused = tuple(spool.refused)
    if not done.waiting:
        done.why = ""
    return done


class _Pace:
    """After how long a message is sent again: twice as long each time, while nothing at all is heard.

    Otherwise a broker whose consumer is away for an hour would be filled with repetitions.
    """

    def __init__(self, again_s: float) -> None:
        self._first_s = again_s
        self.again_s = again_s

    def slower(self) -> None:
        """Messages were sent again."""
        self.again_s = min(max(_LONGEST_AGAIN_S, self._first_s), 2 * self.again_s)

    def heard(self) -> None:
        """An acknowledgement came."""
        self.again_s = self._first_s


def _some(feed: Iterator[Made | None]) -> list[Made] | None:
    """The next messages of a feed; None: there are no more."""
    made: list[Made] = []
    for one in feed:
        if one is None:
            return made
        made.append(one)
        if len(made) >= _AT_ONCE:
            return made
    return made or None


def _send(due: Sequence[Waiting], spool: Spool, link: Link) -> tuple[Sent, int]:
    """Send what is due; what came of it, and how many messages are safe by the answer."""
    if not due:
        return Sent(), 0
    sent = link.send(due)
    spool.sent(sent.numbers)
    for number, reason in sent.refused.items():
        _log.error("the project refuses a message: %s", reason)
        spool.refuse(number, reason)
    return sent, spool.remove(sent.safe) if sent.safe else 0
