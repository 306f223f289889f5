"""Samples as messages of a device, in any order; and what the file path makes of the same samples."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from har.recordings._cleaning import Samples, fault_flags, measured_rate_hz, split_gaps
from har.recordings._resampling import resample
from har.settings import Settings
from har.streaming.envelope import Envelope, StreamKey
from har.streaming.windows import Assembly, Fate, Stretch, Taken, Window
from har.windows import cut

KEY = StreamKey("s01", "watch", "walk")
START = 1_704_096_000_000_000
"""2024-01-01T08:00:00Z in µs."""
SECOND = 1_000_000


def stamps(count: int, rate_hz: float, start: int = START) -> NDArray[np.int64]:
    """Times of samples at a steady rate, µs."""
    return start + np.round(np.arange(count) * (1e6 / rate_hz)).astype(np.int64)


def signal(count: int, seed: int = 0, channels: int = 6) -> NDArray[np.float32]:
    """Noise about gravity, float32 (count, channels)."""
    values = np.random.default_rng(seed).normal(0, 1, (count, channels))
    values[:, 2] += 9.8
    return values.astype(np.float32)


def cut_up(
    times: NDArray[np.int64], rate_hz: float, sizes: Iterable[int] = (), *, size: int = 50
) -> list[tuple[int, int]]:
    """Samples of each message, first and end: the given sizes, then `size`; one that is not at the rate begins one."""
    found, at = [], 0
    given = iter(sizes)
    while at < len(times):
        count = min(next(given, size), len(times) - at)
        wrong = np.flatnonzero(times[at : at + count] != stamps(count, rate_hz, int(times[at])))
        end = at + (int(wrong[0]) if len(wrong) else count)
        found.append((at, end))
        at = end
    return found


def messages(
    times: NDArray[np.int64],
    values: NDArray[np.float32],
    rate_hz: float,
    sizes: Iterable[int] = (),
    *,
    key: StreamKey = KEY,
    first: int = 0,
) -> list[Envelope]:
    """The samples as messages, cut up as `cut_up` does."""
    return [
        Envelope(key, first + number, int(times[start]), rate_hz, values[start:end].copy())
        for number, (start, end) in enumerate(cut_up(times, rate_hz, sizes))
    ]


def shuffled(sent: Sequence[Envelope], seed: int, *, by_s: float = 3.0, repeated: float = 0.2) -> list[Envelope]:
    """The messages in an order of arrival: each up to `by_s` late, some twice; the first one is not overtaken."""
    draw = random.Random(seed)  # noqa: S311  reproducible, not secret
    arrivals = []
    for envelope in sent:
        end = envelope.t0_us + len(envelope.samples) * 1e6 / envelope.rate_hz
        for _ in range(2 if draw.random() < repeated else 1):
            arrivals.append((end + draw.uniform(0, by_s) * SECOND, envelope))
    return [envelope for _, envelope in sorted(arrivals, key=lambda entry: entry[0])]


@dataclass(frozen=True)
class Result:
    """Windows, and samples, of one session or of all."""

    starts: NDArray[np.int64]
    windows: NDArray[np.float32]
    times: NDArray[np.int64]
    values: NDArray[np.float32]
    flags: NDArray[np.int8]
    segments: NDArray[np.int32]


def offline(times: NDArray[np.int64], values: NDArray[np.float32], settings: Settings) -> Result:
    """What the file path makes of the samples, but for the cut at midnight."""
    max_gap_s, rate = settings.recordings.max_gap_s, settings.sensors.rate_hz
    segments = split_gaps(times, max_gap_s)
    by_channel = np.ascontiguousarray(values.T)
    flags = fault_flags(times, by_channel, segments, settings.sensors, measured_rate_hz(times, max_gap_s))
    got, _ = resample(Samples(times, by_channel, np.full(len(times), -1, np.int16), flags, segments), rate)
    matrix = np.ascontiguousarray(got.values.T)
    windows = cut(matrix, got.segments, length=settings.length, stride=settings.stride)
    return Result(got.times[windows.starts], windows.batch(), got.times, matrix, got.flags, got.segments)


def joined(taken: Sequence[Taken], settings: Settings) -> Result:
    """What came out of an assembly, of one stream."""
    windows: list[Window] = [window for one in taken for window in one.windows]
    stretches: list[Stretch] = [stretch for one in taken for stretch in one.stretches]
    channels = len(settings.sensors.channels)
    empty = np.empty((0, settings.length, channels), np.float32)
    segments = [np.full(len(one.times), one.segment, np.int32) for one in stretches]
    return Result(
        np.array([window.start_us for window in windows], np.int64),
        np.stack([window.values for window in windows]) if windows else empty,
        np.concatenate([np.empty(0, np.int64), *(one.times for one in stretches)]),
        np.concatenate([empty[:, 0], *(one.values for one in stretches)]),
        np.concatenate([np.empty(0, np.int8), *(one.flags for one in stretches)]),
        np.concatenate([np.empty(0, np.int32), *segments]),
    )


def streamed(arrivals: Iterable[Envelope], settings: Settings) -> tuple[Result, list[Fate]]:
    """Offer messages one after the other, then close; what came out, and each one's fate."""
    assembly = Assembly(settings)
    fates = [assembly.offer(number, envelope, envelope.t0_us) for number, envelope in enumerate(arrivals)]
    assembly.close_all()
    taken = assembly.take()
    waiting = [number for number, fate in enumerate(fates) if fate is Fate.WAITING]
    assert sorted(taken.settled) == waiting  # each message is settled once
    return joined([taken], settings), fates


def assert_same(got: Result, expected: Result, *, flags: bool = True) -> None:
    """Windows and samples agree in every bit."""
    assert got.starts.tolist() == expected.starts.tolist()
    assert got.windows.tobytes() == expected.windows.tobytes()
    assert got.times.tolist() == expected.times.tolist()
    assert got.values.tobytes() == expected.values.tobytes()
    assert (np.diff(got.segments) == np.diff(expected.segments)).all()
    if flags:
        assert got.flags.tolist() == expected.flags.tolist()
