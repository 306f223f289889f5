"""A process that ends at any message goes on from what was stored: the same windows and stretches, each once."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as trials
from hypothesis import strategies as st
from windows_support import (
    KEY,
    SECOND,
    START,
    assert_same,
    joined,
    messages,
    shuffled,
    signal,
    stamps,
)

from har.settings import Settings
from har.streaming.envelope import Envelope, StreamKey
from har.streaming.windows import Assembly, Fate, Taken

COUNT = 1000
NEARLY_MIDNIGHT = START + 16 * 3600 * SECOND - 9 * SECOND


class Process:
    """Offers messages, stores what is complete now and then, and starts again from that after a crash."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.assembly = Assembly(settings)
        self.tracks: dict[StreamKey, bytes] = {}
        self.waiting: dict[int, Envelope] = {}
        self.stored: list[Taken] = []
        self.crashes = 0

    def offer(self, number: int, envelope: Envelope) -> Fate:
        fate = self.assembly.offer(number, envelope, envelope.t0_us)
        if fate is Fate.WAITING:
            self.waiting[number] = envelope
        return fate

    def store(self) -> None:
        taken = self.assembly.take()
        for number in taken.settled:
            del self.waiting[number]  # each one once
        for key, track in taken.tracks.items():
            assert track is not None
            self.tracks[key] = track
        self.stored.append(taken)

    def crash(self) -> None:
        self.crashes += 1
        self.assembly = Assembly(self.settings)
        self.assembly.restore(self.tracks)
        for number in sorted(self.waiting):
            envelope = self.waiting[number]
            assert self.assembly.offer(number, envelope, envelope.t0_us) is Fate.WAITING

    def end(self) -> list[Taken]:
        self.assembly.close_all()
        self.store()
        assert not self.waiting
        return self.stored


def arrivals_of(kind: str, rate_hz: float, seed: int, sizes: list[int]) -> list[Envelope]:
    """Messages with holes, in and out of order; of a device whose clock or sequence begins again."""
    start = NEARLY_MIDNIGHT if kind == "midnight" else START
    times, values = stamps(COUNT, rate_hz, start), signal(COUNT, seed)
    if kind == "stuck":
        values[500:650, 3] = 1.0
    lost = slice(400, 460) if kind != "one lost" else slice(700, 701)
    keep = [place for place in range(COUNT) if not lost.start <= place < lost.stop]
    sent = messages(times[keep], values[keep], rate_hz, sizes)
    if kind == "given up":
        sent = [one for one in sent if one.sequence % 7 != 5]
    if kind == "clock":
        sent[8:] = [Envelope(e.key, e.sequence, e.t0_us - 60 * SECOND, rate_hz, e.samples) for e in sent[8:]]
    if kind == "again":
        later = [Envelope(e.key, e.sequence, e.t0_us + 90 * SECOND, rate_hz, e.samples) for e in sent]
        return [*sent[:9], *shuffled(later, seed)]
    return sent if kind == "in order" else shuffled(sent, seed)


KINDS = ["in order", "shuffled", "midnight", "stuck", "one lost", "given up", "clock", "again"]


DRAWN = given(
    kind=st.sampled_from(KINDS),
    rate_hz=st.sampled_from([50.0, 50.0, 51.5, 48.0, 100.0]),
    seed=st.integers(0, 1000),
    sizes=st.lists(st.integers(5, 90), max_size=30),
    happens=st.lists(st.sampled_from(["", "", "", "store", "crash", "store and crash"]), min_size=12, max_size=60),
)
UNCHECKED = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


@trials(max_examples=25, deadline=None, suppress_health_check=UNCHECKED)
@DRAWN
def test_a_restart_at_any_message(
    settings: Settings, kind: str, rate_hz: float, seed: int, sizes: list[int], happens: list[str]
) -> None:
    restarted(settings, kind, rate_hz, seed, sizes, happens)


@pytest.mark.release
@trials(max_examples=600, deadline=None, suppress_health_check=UNCHECKED)
@DRAWN
def test_many_restarts_at_any_message(
    settings: Settings, kind: str, rate_hz: float, seed: int, sizes: list[int], happens: list[str]
) -> None:
    restarted(settings, kind, rate_hz, seed, sizes, happens)


def restarted(settings: Settings, kind: str, rate_hz: float, seed: int, sizes: list[int], happens: list[str]) -> None:
    """Compare a process that ends now and then with one that goes on."""
    arrivals = arrivals_of(kind, rate_hz, seed, sizes)
    whole, cut = Process(settings), Process(settings)
    fates = [whole.offer(number, envelope) for number, envelope in enumerate(arrivals)]
    for number, envelope in enumerate(arrivals):
        assert cut.offer(number, envelope) is fates[number]
        event = happens[number % len(happens)]
        if "store" in event:
            cut.store()
        if "crash" in event:
            cut.crash()
    expected, got = whole.end(), cut.end()
    assert_same(joined(got, settings), joined(expected, settings))
    names = [
        [(one.session, one.date, one.segment) for each in taken for one in each.windows] for taken in (got, expected)
    ]
    assert names[0] == names[1]
    for name in ("short", "missing"):
        assert sum(getattr(one, name).get(KEY, 0) for one in got) == sum(
            getattr(one, name).get(KEY, 0) for one in expected
        )
    assert cut.tracks == whole.tracks


def test_a_track_is_small_and_messages_wait_no_longer_than_their_windows(settings: Settings) -> None:
    process = Process(settings)
    for number, envelope in enumerate(messages(stamps(6000, 50), signal(6000), 50.0)):
        process.offer(number, envelope)
        process.store()
        assert len(process.waiting) <= 6
    assert len(process.tracks[KEY]) < 200


def test_a_silent_stream_comes_back_after_a_restart(settings: Settings) -> None:
    sent = messages(stamps(2000, 50), signal(2000), 50.0)
    process = Process(settings)
    for number, envelope in enumerate(sent[:15]):
        process.offer(number, envelope)
    assert process.assembly.close_idle(sent[14].t0_us + 11 * SECOND) == 1
    process.store()
    assert not process.waiting
    process.crash()
    assert process.assembly.streams == 0
    assert process.offer(15, sent[14]) is Fate.DUPLICATE
    for number, envelope in enumerate(sent[15:]):
        assert process.offer(number + 16, envelope) is Fate.WAITING
    taken = process.end()
    assert [(window.session, window.segment) for one in taken for window in one.windows] == (
        [("walk", 0)] * 6 + [("walk", 1)] * 11
    )


def test_other_settings_begin_another_session_with_the_messages_that_wait(
    settings: Settings, change: Callable[..., Settings]
) -> None:
    process = Process(settings)
    sent = messages(stamps(1000, 50), signal(1000), 50.0)
    for number, envelope in enumerate(sent[:10]):
        process.offer(number, envelope)
    process.store()
    waits = sorted(process.waiting)
    process.settings = change(windows={"length_s": 2.0})
    process.crash()
    for number, envelope in enumerate(sent[10:]):
        assert process.offer(10 + number, envelope) is Fate.WAITING
    windows = process.end()[-1].windows
    assert {(window.session, len(window.values)) for window in windows} == {("walk-2", 100)}
    assert windows[0].start_us == sent[waits[0]].t0_us
    assert len(windows) == (1000 - 50 * waits[0]) // 50 - 1
