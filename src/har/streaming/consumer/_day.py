"""A subject's day so far: minutes per activity, as `har.predictions.activity_minutes` counts them."""

from __future__ import annotations

from typing import Any

import msgspec

from har.plausibility import NO_SIGNAL
from har.streaming.state import Answer

UNCERTAIN = "uncertain"
"""As in `har.predictions`, which needs more than a consumer of windows has."""


class Last(msgspec.Struct, array_like=True):
    """The last window of a session: it counts until the next one starts."""

    end_us: int
    activity: str


class Day(msgspec.Struct, array_like=True):
    """One subject's day.

    Attributes:
        date: YYYY-MM-DD, "" before the first window.
        windows: answered on that day.
        spent_us: time per activity; "uncertain" where the model abstained.
        last: by request id, which stands for a session.
        answer: the newest, as its fields.
        seen_us: wall clock of the last message.
    """

    date: str = ""
    windows: int = 0
    spent_us: dict[str, int] = {}
    last: dict[str, Last] = {}
    answer: list[Any] = []
    seen_us: int = 0

    @classmethod
    def loads(cls, content: bytes | None) -> Day:
        """What `dumps` wrote; None: a day without windows."""
        return cls() if content is None else _decoder.decode(content)

    def dumps(self) -> bytes:
        """As bytes."""
        return _encoder.encode(self)

    def add(self, date: str, session: str, answer: Answer) -> None:
        """Count a window; one of an earlier date changes nothing.

        Args:
            date: the window's.
            session: stands for its session.
            answer: to it; times within a session increase.
        """
        if date < self.date:
            return
        if date > self.date:
            self.date, self.windows, self.spent_us, self.last = date, 0, {}, {}
        name = answer.activity
        if answer.abstained and name != NO_SIGNAL:
            name = UNCERTAIN
        before = self.last.get(session)
        if before is not None and before.end_us > answer.start_us:
            self.spent_us[before.activity] -= before.end_us - answer.start_us
        self.spent_us[name] = self.spent_us.get(name, 0) + answer.end_us - answer.start_us
        self.last[session] = Last(answer.end_us, name)
        self.windows += 1
        if not self.answer or answer.start_us >= self.answer[0]:
            self.answer = [getattr(answer, field) for field in Answer.__dataclass_fields__]

    def newest(self) -> Answer | None:
        """The answer to the newest window."""
        return Answer(*self.answer) if self.answer else None

    def minutes(self) -> dict[str, float]:
        """Minutes per activity."""
        return {name: round(spent / 60e6, 3) for name, spent in self.spent_us.items() if spent}


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Day)
