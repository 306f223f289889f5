"""What is stored of a stream, from which it goes on after a restart; its samples come again with their messages."""

from __future__ import annotations

import msgspec

from har.streaming.windows._clock import Clock


class SegmentTrack(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A segment in progress, as it was before the first message that is not settled.

    Attributes:
        number: of the segment within the session.
        placement: of its messages.
        rate_hz: of its device.
        clock: before the message.
        t0: time of the segment's first sample, µs.
        judged: samples by which it was judged; 0: it is not yet.
        grid_from: number of the sample that is the origin of the grid; -1: there is no grid yet.
        grid_t0: its time.
        factor: of the low-pass filter.
        first: number, after the last cut at midnight, of the first sample.
        next_window: number of the first sample of the next window.
        next_stretch: number of the first sample that is in no stretch.
        day: ordinal of its date.
        day_before: samples that the session had on that date before this segment.
        day_from: number of the segment's first sample on that date.
    """

    number: int
    placement: str
    rate_hz: float
    clock: Clock
    t0: int
    judged: int
    grid_from: int
    grid_t0: int
    factor: int
    first: int
    next_window: int
    next_stretch: int
    day: int
    day_before: int
    day_from: int


class StreamTrack(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A stream.

    Attributes:
        version: of the settings and the form, `Rules.version`.
        run: number of its session in the lake, from 1.
        next: sequence of the first message that is not settled; -1: unknown.
        unsure: below this sequence, nothing is known.
        lost: ranges of sequences that were given up, first and last.
        low: the earliest stamp, µs.
        high: the time after the latest sample, µs.
        last: time of the session's last sample, µs; 0: there is none.
        number: of the session's next segment.
        day: ordinal of its last sample's date; 0: there is none.
        day_count: samples on that date.
        segment: in progress, if any.
    """

    version: int
    run: int
    next: int
    unsure: int
    lost: tuple[tuple[int, int], ...]
    low: int
    high: int
    last: int
    number: int
    day: int
    day_count: int
    segment: SegmentTrack | None


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(StreamTrack)


def packed(track: StreamTrack) -> bytes:
    """The bytes to store."""
    return _ENCODER.encode(track)


def unpacked(stored: bytes) -> StreamTrack:
    """The track that these bytes hold."""
    return _DECODER.decode(stored)
