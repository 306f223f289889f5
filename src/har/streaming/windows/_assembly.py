"""`Assembly`: the windows in progress of all streams."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Protocol

from har.settings import Settings
from har.streaming.envelope import Envelope, StreamKey
from har.streaming.taken import Fate, Taken
from har.streaming.windows._rules import Rules
from har.streaming.windows._stream import Stream

_PARKED = 20_000
"""Tracks of silent streams that are kept in memory until they are surely stored."""


class Tracks(Protocol):
    """Stored tracks: a dict, or a view of a store that reads one when it is asked for."""

    def get(self, key: StreamKey, /) -> bytes | None:
        """The track of a stream; None: it has none."""


class Assembly:
    """Messages in, windows and stretches of samples out; one thread, no clock, no file.

    `offer` takes a message, `take` gives what is complete. A caller stores all of a `Taken` at once; after a crash it
    calls `restore` with the stored tracks, and offers the messages that were never settled again, in the order of their
    ids: the same windows and stretches come out, each once.

    Args:
        settings: of the project.
    """

    def __init__(self, settings: Settings) -> None:
        self._rules = Rules(settings)
        self._streams: OrderedDict[StreamKey, Stream] = OrderedDict()
        self._stored: Tracks = {}
        self._parked: dict[StreamKey, bytes] = {}
        self._changed: set[StreamKey] = set()
        self._out = Taken()

    def offer(self, message_id: int, envelope: Envelope, received_us: int) -> Fate:
        """Take a message.

        Args:
            message_id: by which it is settled; later messages have higher ids.
            envelope: the message.
            received_us: wall clock at which it was received, µs since 1970.
        """
        key = envelope.key
        stream = self._streams.get(key)
        if stream is None:
            stream = self._open(key)
        else:
            self._streams.move_to_end(key)
        out = self._out
        before = _size(out)
        fate = stream.offer(message_id, envelope, received_us, out)
        # A message that only joins those in progress is offered again after a restart, and changes no track.
        if fate is Fate.WAITING and (stream.waiting or _size(out) != before):
            self._changed.add(key)
        return fate

    def _open(self, key: StreamKey) -> Stream:
        track = self._parked.pop(key, None) or self._stored.get(key)
        stream = Stream(key, self._rules) if track is None else Stream.restored(key, track, self._rules)
        self._streams[key] = stream
        return stream

    def close_idle(self, now_us: int) -> int:
        """Close the segments of streams that sent nothing for `stream.idle_s`, and forget these streams.

        Their tracks are in the next `Taken`, and are read again if a message comes. Returns how many there were.
        """
        before = now_us - self._rules.idle_us
        closed = 0
        while self._streams:
            key, stream = next(iter(self._streams.items()))
            if stream.received > before:
                break
            stream.close(self._out)
            self._park(key, stream)
            closed += 1
        return closed

    def close_all(self) -> None:
        """Close all segments, as if all streams were silent; for the end of a replay."""
        while self._streams:
            key, stream = next(iter(self._streams.items()))
            stream.close(self._out)
            self._park(key, stream)

    def _park(self, key: StreamKey, stream: Stream) -> None:
        del self._streams[key]
        self._changed.discard(key)
        track = stream.track()
        self._out.tracks[key] = track
        self._parked[key] = track
        if len(self._parked) > _PARKED:
            del self._parked[next(iter(self._parked))]

    def take(self) -> Taken:
        """What is complete since the last time, to be stored as a whole."""
        taken, self._out = self._out, Taken()
        for key in self._changed:
            stream = self._streams.get(key)
            if stream is not None:
                taken.tracks[key] = stream.track()
        self._changed.clear()
        return taken

    def restore(self, tracks: Mapping[StreamKey, bytes] | Tracks) -> None:
        """Go on from stored tracks, which are read as their streams' messages come."""
        self._stored = tracks

    @property
    def streams(self) -> int:
        """Streams in memory."""
        return len(self._streams)

    @property
    def samples(self) -> int:
        """Samples in memory; looks at every stream."""
        return sum(stream.samples_held() for stream in self._streams.values())


def _size(out: Taken) -> tuple[int, int, int]:
    return len(out.settled), len(out.windows), len(out.stretches)
