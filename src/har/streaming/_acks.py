"""What a device is told of its messages: `[{"subject", "device", "session", "durable"}]`, as JSON.

All messages of the stream with a sequence up to `durable` are on the project's disk: the device may forget them. It is
no promise to repeat itself: a device that heard nothing sends again, and is told again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from har.streaming.envelope import StreamKey


class Ack(msgspec.Struct, frozen=True):
    """Of one stream, the last sequence of those that are durable without a hole; -1: none is."""

    subject: str
    device: str
    session: str
    durable: int

    @property
    def key(self) -> StreamKey:
        """Its stream."""
        return StreamKey(self.subject, self.device, self.session)


_decoder = msgspec.json.Decoder(list[Ack])


def acks_by_device(durable: Mapping[StreamKey, int]) -> dict[str, bytes]:
    """A body per device, for its topic or key."""
    grouped: dict[str, list[Ack]] = {}
    for key, sequence in durable.items():
        grouped.setdefault(key.device, []).append(Ack(*key, sequence))
    return {device: msgspec.json.encode(acks) for device, acks in grouped.items()}


def read_acks(body: bytes) -> Iterable[Ack]:
    """What a body says; nothing where it is none of ours, as anybody may publish to a broker's topic."""
    try:
        return _decoder.decode(body)
    except msgspec.MsgspecError:
        return []
