"""Late, missing and silent: how long a message is waited for, what becomes of it then, and what memory holds."""

from __future__ import annotations

import gc
import tracemalloc

import numpy as np
import pytest
from windows_support import (
    KEY,
    SECOND,
    START,
    assert_same,
    joined,
    messages,
    offline,
    signal,
    stamps,
)

from har.settings import Settings
from har.streaming.envelope import Envelope, StreamKey
from har.streaming.windows import Assembly, Fate


@pytest.fixture
def sent() -> list[Envelope]:
    """Twenty messages of a second."""
    return messages(stamps(1000, 50), signal(1000), 50.0)


def test_a_missing_message_is_waited_for_until_the_device_s_time_is_later(
    settings: Settings, sent: list[Envelope]
) -> None:
    assembly = Assembly(settings)
    for number, envelope in enumerate([*sent[:5], *sent[6:10]]):  # four seconds after the missing one
        assert assembly.offer(number, envelope, 0) is Fate.WAITING
    assert len(assembly.take().windows) == 1
    assert assembly.offer(10, sent[5], 0) is Fate.WAITING
    taken = assembly.take()
    assert [window.start_us for window in taken.windows] == [START + second * SECOND for second in (2, 4, 6)]
    assert not taken.missing


def test_a_message_that_comes_after_that_is_late_and_what_is_around_it_is_answered(
    settings: Settings, sent: list[Envelope]
) -> None:
    assembly = Assembly(settings)
    for number, envelope in enumerate([*sent[:5], *sent[6:11]]):  # five seconds
        assembly.offer(number, envelope, 0)
    assert assembly.offer(10, sent[5], 0) is Fate.LATE
    for number, envelope in enumerate(sent[11:]):
        assert assembly.offer(11 + number, envelope, 0) is Fate.WAITING
    assembly.close_all()
    taken = assembly.take()
    assert taken.missing == {KEY: 1}
    kept = np.ones(1000, np.bool_)
    kept[250:300] = False
    expected = offline(stamps(1000, 50)[kept], signal(1000)[kept], settings)
    assert_same(joined([taken], settings), expected)


def test_a_missing_message_shorter_than_a_gap_is_a_hole_as_in_a_file(settings: Settings) -> None:
    times, values = stamps(1000, 50), signal(1000)
    sent = messages(times, values, 50.0, [20] * 50)
    del sent[13]
    assembly = Assembly(settings)
    for number, envelope in enumerate(sent):
        assembly.offer(number, envelope, 0)
    assembly.close_all()
    kept = np.ones(1000, np.bool_)
    kept[260:280] = False
    assert_same(joined([assembly.take()], settings), offline(times[kept], values[kept], settings))


def test_a_stream_that_is_joined_midway_waits_for_earlier_messages_first(
    settings: Settings, sent: list[Envelope]
) -> None:
    assembly = Assembly(settings)
    fates = [assembly.offer(number, one, 0) for number, one in enumerate([sent[4], sent[3], *sent[5:], sent[2]])]
    assert fates[-1] is Fate.LATE
    assert set(fates[:-1]) == {Fate.WAITING}
    assembly.close_all()
    taken = assembly.take()
    assert joined([taken], settings).times[0] == START + 3 * SECOND
    assert not taken.missing


def test_repeated_messages_are_duplicates_wherever_they_come(settings: Settings, sent: list[Envelope]) -> None:
    assembly = Assembly(settings)
    arrivals = [sent[0], sent[0], sent[2], sent[2], sent[1], sent[1], sent[0], sent[2]]
    fates = [assembly.offer(number, envelope, 0) for number, envelope in enumerate(arrivals)]
    waiting, duplicate = Fate.WAITING, Fate.DUPLICATE
    assert fates == [waiting, duplicate, waiting, duplicate, waiting, duplicate, duplicate, duplicate]
    assembly.close_all()
    assert sorted(assembly.take().settled) == [0, 2, 4]


def test_the_last_windows_of_a_silent_stream_come_out(settings: Settings, sent: list[Envelope]) -> None:
    assembly = Assembly(settings)
    now = START
    for number, envelope in enumerate([*sent[:3], *sent[4:8]]):
        now = envelope.t0_us + SECOND
        assembly.offer(number, envelope, now)
    assert not assembly.take().windows
    assert assembly.close_idle(now + 9 * SECOND) == 0
    assert assembly.close_idle(now + 10 * SECOND) == 1
    taken = assembly.take()
    assert [window.start_us for window in taken.windows] == [START + 4 * SECOND]
    assert taken.missing == {KEY: 1}
    assert taken.short == {KEY: 150}
    assert sorted(taken.settled) == [*range(7)]
    assert sum(len(stretch.times) for stretch in taken.stretches) == 350
    assert assembly.streams == assembly.samples == 0
    # What comes later goes on in the same session, and the missing one is late.
    assert assembly.offer(20, sent[3], now) is Fate.LATE
    assert assembly.offer(21, sent[8], now) is Fate.WAITING
    assembly.close_all()
    assert {stretch.segment for stretch in assembly.take().stretches} == {2}


@pytest.mark.parametrize("devices", [300, pytest.param(10_000, marks=pytest.mark.release)])
def test_devices_that_fall_silent_for_ever_leave_nothing(settings: Settings, devices: int) -> None:
    assembly = Assembly(settings)
    values = signal(50)
    stored = {}

    def wave(number: int) -> None:
        for device in range(devices):
            key = StreamKey(f"s{device % 100}", f"d{device}", f"{number}")
            assembly.offer(device, Envelope(key, 0, START, 50.0, values.copy()), number * 100 * SECOND)
        stored.update(assembly.take().tracks)
        assert assembly.streams == devices
        assert assembly.samples == 50 * devices
        assembly.close_idle((number * 100 + 11) * SECOND)
        stored.update(assembly.take().tracks)
        assert assembly.streams == assembly.samples == 0

    wave(0)
    stored.clear()
    gc.collect()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for number in range(1, 5):
        wave(number)
        stored.clear()
    gc.collect()
    after, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak - before > devices * 50 * 24  # the samples of all devices at once …
    assert after - before < 4 * devices * 1000  # … and of each that is silent, its name and its track


def test_what_waits_for_a_missing_message_is_bounded(settings: Settings) -> None:
    """A device whose clock stands still never becomes late."""
    assembly = Assembly(settings)
    values = signal(50)
    for number in range(1, 1500):
        envelope = Envelope(KEY, number, START, 50.0, values)
        assembly.offer(number, envelope, 0)
        assert assembly.samples <= 4_000 + 500
    assembly.close_all()
    assert len(assembly.take().settled) == 1499


def test_long_messages_do_not_stay_in_memory_whole(settings: Settings) -> None:
    assembly = Assembly(settings)
    for number, envelope in enumerate(messages(stamps(60_000, 50), signal(60_000), 50.0, [15_000] * 4)):
        assembly.offer(number, envelope, 0)
        assert assembly.samples < 1_000


def test_a_far_sequence_does_no_harm(settings: Settings, sent: list[Envelope]) -> None:
    assembly = Assembly(settings)
    far = Envelope(KEY, 2**61, sent[9].t0_us + 30 * SECOND, 50.0, sent[9].samples)
    fates = [assembly.offer(number, one, 0) for number, one in enumerate([*sent[:10], far, *sent[10:]])]
    assembly.close_all()
    taken = assembly.take()
    assert fates.count(Fate.WAITING) + fates.count(Fate.LATE) == 21
    assert len(taken.windows) >= 8
