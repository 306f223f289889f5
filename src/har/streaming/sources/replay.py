"""Recordings as if devices sent them: `replay:inbox`, `replay:lake` or `replay:FOLDER`, and `@SPEED` if not at once.

For tests and trials in a project of their own: names and times are those of the recordings. `har stream replay` sends
recordings as of now, to any project.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence

from har.errors import SettingsError
from har.settings import Settings
from har.streaming.client import Made, cut, form_of, from_inbox, from_lake, in_time_order, paced
from har.streaming.envelope import StreamKey
from har.streaming.sources._source import Delivery, SourceKind

_WAIT_S = 0.01


class ReplaySource:
    """A feed of messages; there is nothing to acknowledge, and nobody to tell.

    Args:
        feed: messages; None: none now.
    """

    name = "replay"

    def __init__(self, feed: Iterator[Made | None]) -> None:
        self._feed = feed
        self._paused = False
        self.is_over = False

    def poll(self, timeout_s: float, most: int) -> Sequence[Delivery]:
        """See `Source`."""
        taken: list[Delivery] = []
        deadline = time.monotonic() + timeout_s
        while not self._paused and not self.is_over and len(taken) < most:
            try:
                made = next(self._feed)
            except StopIteration:
                self.is_over = True
                break
            if made is not None:
                taken.append(Delivery(made.body, made.content_type, topic=made.key.subject))
            elif taken or time.monotonic() >= deadline:
                break
            else:
                time.sleep(_WAIT_S)
        return taken

    def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        """See `Source`."""

    def tell(self, durable: Mapping[StreamKey, int]) -> None:
        """See `Source`."""

    def pause(self) -> None:
        """See `Source`."""
        self._paused = True

    def resume(self) -> None:
        """See `Source`."""
        self._paused = False

    def close(self) -> None:
        """See `Source`."""
        self.is_over = True


def _open(settings: Settings, rest: str) -> ReplaySource:
    where, _, pace = rest.partition("@")
    try:
        speed = float(pace or 0)
    except ValueError:
        speed = -1.0
    if speed < 0:
        raise SettingsError(
            where="stream.sources",
            expected="replay:inbox@SPEED with a number from 0",
            got=repr(rest),
            remedy="Leave out @SPEED for as fast as possible.",
        )
    if where == "lake":
        stretches = from_lake(settings)
    else:
        stretches = from_inbox(settings, None if where in ("", "inbox") else settings.root / where)
    return ReplaySource(paced(in_time_order(cut(stretches, form_of(settings, seconds=1.0))), speed))


SOURCE = SourceKind("replay", "recordings of the inbox or the lake: replay:inbox, replay:lake@10, …", _open)
