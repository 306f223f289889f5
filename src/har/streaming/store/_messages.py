"""What goes into a shard and comes out of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple

from har.streaming.envelope import Envelope, StreamKey
from har.streaming.state import Answer

if TYPE_CHECKING:  # the online service has no need of what windows are cut with
    from har.streaming.taken import Stretch

UNKNOWN = StreamKey("unknown", "", "")
"""The stream of messages that cannot be read."""


Receiver = Literal["lake", "hot", "history"]
RECEIVERS: tuple[Receiver, ...] = ("lake", "hot", "history")
"""Who gets predictions from the outbox."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A message that cannot be used.

    Attributes:
        reason: what is wrong with it, and the remedy.
        body: as it came.
        key: its stream, if that much can be read.
        sequence: its number in the stream, if that much can be read.
    """

    reason: str
    body: bytes
    key: StreamKey | None = None
    sequence: int | None = None


@dataclass(frozen=True, slots=True)
class Stored:
    """A message that waits: its id in the shard, and when it was received, µs since 1970."""

    id: int
    received_us: int
    envelope: Envelope


@dataclass(frozen=True, slots=True)
class Put:
    """What became of messages that were put: how many are new, and how many came before."""

    accepted: int = 0
    duplicates: int = 0
    durable: Mapping[StreamKey, int] = field(default_factory=dict)
    """Per stream among them, the sequence up to which all its messages are durable; -1: not even the first."""


@dataclass(frozen=True, slots=True)
class PredictionRow:
    """A prediction in the outbox; times in µs since 1970, the date in the project's time zone.

    `final` is false while its smoothed activity is not known; a second row then has it, and the lake gets only that.
    """

    date: str
    subject: str
    session: str
    request_id: str
    start_us: int
    end_us: int
    activity: str
    confidence: float
    abstained: bool
    model_version: int
    smoothed: str = ""
    unknown: bool | None = None
    final: bool = True

    def answer(self) -> Answer:
        """Without whose it is."""
        return Answer(
            self.start_us,
            self.end_us,
            self.activity,
            self.confidence,
            self.abstained,
            self.model_version,
            self.smoothed,
            self.unknown or False,
        )


@dataclass(slots=True)
class Settlement:
    """All that changes together once windows are answered.

    Attributes:
        scored: ids of messages that no window in progress needs any more.
        late: ids of messages whose windows were answered before they came.
        duplicate: ids of messages that the windows in progress know.
        rejected: ids of messages that cannot be used after all.
        tracks: the states of streams, see `har.streaming.windows.Taken`.
        predictions: for the outbox.
        stretches: samples for the outbox, each with its session's name in the lake.
        windows: per stream, how many were answered.
        short: per stream, samples of segments that were too short for a window.
        people: per subject, its day so far, as bytes.
        smoothing: per stream, what waits for later windows to be smoothed, as bytes; None: nothing does.
        names: of sessions in the lake, by date, subject, session, device and session of the stream.
        hot: id of the last prediction that the hot store has; 0: as before.
    """

    scored: list[int] = field(default_factory=list)
    late: list[int] = field(default_factory=list)
    duplicate: list[int] = field(default_factory=list)
    rejected: list[int] = field(default_factory=list)
    tracks: dict[StreamKey, bytes | None] = field(default_factory=dict)
    predictions: list[PredictionRow] = field(default_factory=list)
    stretches: list[tuple[str, Stretch]] = field(default_factory=list)
    windows: dict[StreamKey, int] = field(default_factory=dict)
    short: dict[StreamKey, int] = field(default_factory=dict)
    people: dict[str, bytes] = field(default_factory=dict)
    smoothing: dict[StreamKey, bytes | None] = field(default_factory=dict)
    names: dict[tuple[str, str, str, str, str], str] = field(default_factory=dict)
    hot: int = 0


class SamplesRow(NamedTuple):
    """A stretch of samples in the outbox: times int64, values float32 (n, C) and flags int8 as bytes."""

    date: str
    subject: str
    session: str
    segment: int
    device: str
    placement: str
    rate_hz: float
    resampled: bool
    times: bytes
    values: bytes
    flags: bytes


@dataclass(frozen=True, slots=True)
class Outbox:
    """Rows for the lake with ids up to these."""

    predictions: Sequence[PredictionRow]
    last_prediction: int
    samples: Sequence[SamplesRow]
    last_sample: int
