"""Messages in any order give the windows, samples and flags that the file path makes of the same samples."""

from __future__ import annotations

import numpy as np
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
    offline,
    shuffled,
    signal,
    stamps,
    streamed,
)

from har.schema import FLAGS
from har.settings import Settings
from har.streaming.envelope import Envelope, StreamKey
from har.streaming.windows import Assembly, Fate

RATES = (50.0, 50.4, 49.7, 51.5, 48.0, 25.0, 100.0, 104.3, 200.0)
HOLES = st.lists(st.tuples(st.floats(0, 1), st.sampled_from([1, 1, 2, 5, 40, 300])), max_size=4)
SIZES = st.lists(st.integers(1, 120), max_size=40)


def with_holes(count: int, holes: list[tuple[float, int]]) -> np.ndarray:
    """Which samples were not lost, bool (count,); some are left."""
    kept = np.ones(count, np.bool_)
    for place, size in holes:
        first = int(place * count)
        kept[first : first + size] = False
    kept[:1] = True
    return kept


@trials(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rate_hz=st.sampled_from(RATES),
    count=st.integers(1, 2500),
    holes=HOLES,
    sizes=SIZES,
    stuck=st.floats(0, 1) | st.none(),
    seed=st.integers(0, 2**20),
)
def test_in_order_everything_is_the_file_s(
    settings: Settings,
    rate_hz: float,
    count: int,
    holes: list[tuple[float, int]],
    sizes: list[int],
    stuck: float | None,
    seed: int,
) -> None:
    times, values = stamps(count, rate_hz), signal(count, seed)
    if stuck is not None:
        first = int(stuck * count)
        values[first : first + round(3 * rate_hz), seed % 6] = 1.5
        values[first : first + 2, (seed + 1) % 6] = 500.0
    kept = with_holes(count, holes)
    times, values = times[kept], values[kept]
    got, fates = streamed(messages(times, values, rate_hz, sizes), settings)
    assert set(fates) == {Fate.WAITING}
    assert_same(got, offline(times, values, settings))


@trials(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rate_hz=st.sampled_from(RATES),
    seconds=st.integers(1, 20),
    holes=HOLES,
    sizes=SIZES,
    seed=st.integers(0, 2**20),
)
def test_late_and_repeated_messages_change_nothing(
    settings: Settings, rate_hz: float, seconds: int, holes: list[tuple[float, int]], sizes: list[int], seed: int
) -> None:
    count = round(seconds * rate_hz)
    kept = with_holes(count, holes)
    times, values = stamps(count, rate_hz)[kept], signal(count, seed)[kept]
    sent = messages(times, values, rate_hz, sizes)
    arrivals = shuffled(sent, seed)
    got, fates = streamed(arrivals, settings)
    assert_same(got, offline(times, values, settings))
    assert fates.count(Fate.WAITING) == len(sent)
    assert fates.count(Fate.DUPLICATE) == len(arrivals) - len(sent)


def test_windows_come_out_with_the_message_that_completes_them(settings: Settings) -> None:
    assembly = Assembly(settings)
    came = []
    for number, envelope in enumerate(messages(stamps(600, 50), signal(600), 50.0)):
        assembly.offer(number, envelope, 7_000_000 + number)
        came += [(number, window.last_received_us - 7_000_000) for window in assembly.take().windows]
    assert came == [(3, 3), (5, 5), (7, 7), (9, 9), (11, 11)]


def test_a_low_passed_window_waits_for_a_fifth_of_a_second(settings: Settings) -> None:
    assembly = Assembly(settings)
    times, values = stamps(1200, 100), signal(1200)
    came = []
    for number, envelope in enumerate(messages(times, values, 100.0, [10] * 120)):
        assembly.offer(number, envelope, 0)
        came += [(number + 1) / 10 for _ in assembly.take().windows]
    # Its last point is at 3.98 s, and depends on the samples of 200 ms after it.
    assert came[0] == pytest.approx(4.2)
    assert np.diff(came).tolist() == pytest.approx([2.0] * (len(came) - 1))


def test_streams_do_not_touch_each_other(settings: Settings) -> None:
    keys = [StreamKey("s01", "watch", "a"), StreamKey("s01", "phone", "a"), StreamKey("s02", "watch", "a")]
    rates = (50.0, 100.0, 51.5)
    sent = [
        messages(stamps(900, rate), signal(900, seed), rate, key=key)
        for seed, (key, rate) in enumerate(zip(keys, rates, strict=True))
    ]
    assembly = Assembly(settings)
    mixed = sorted((envelope for one in sent for envelope in one), key=lambda envelope: envelope.t0_us)
    for number, envelope in enumerate(mixed):
        assembly.offer(number, envelope, 0)
    assembly.close_all()
    taken = assembly.take()
    for seed, (key, rate) in enumerate(zip(keys, rates, strict=True)):
        alone = [window for window in taken.windows if window.key == key]
        expected = offline(stamps(900, rate), signal(900, seed), settings)
        assert [window.start_us for window in alone] == expected.starts.tolist()
        assert np.stack([window.values for window in alone]).tobytes() == expected.windows.tobytes()


def test_one_sample_a_message_and_a_minute_a_message_are_the_same(settings: Settings) -> None:
    times, values = stamps(3000, 50), signal(3000)
    for size in (1, 3000):
        got, _ = streamed(messages(times, values, 50.0, [size] * 3000), settings)
        assert_same(got, offline(times, values, settings))


def test_a_gap_ends_a_segment_and_the_samples_of_one_too_short_are_counted(settings: Settings) -> None:
    kept = with_holes(1000, [(0.5, 26), (0.6, 26)])  # half a second and 40 ms twice, and 100 samples between them
    times, values = stamps(1000, 50)[kept], signal(1000)[kept]
    assembly = Assembly(settings)
    for number, envelope in enumerate(messages(times, values, 50.0)):
        assembly.offer(number, envelope, 0)
    assembly.close_all()
    taken = assembly.take()
    assert_same(joined([taken], settings), offline(times, values, settings))
    assert sorted({stretch.segment for stretch in taken.stretches}) == [0, 1, 2]
    assert taken.short == {KEY: 74}


def test_another_placement_ends_a_segment(settings: Settings) -> None:
    times, values = stamps(1000, 50), signal(1000)
    sent = messages(times, values, 50.0)
    sent[10:] = [Envelope(e.key, e.sequence, e.t0_us, e.rate_hz, e.samples, "left wrist") for e in sent[10:]]
    assembly = Assembly(settings)
    for number, envelope in enumerate(sent):
        assembly.offer(number, envelope, 0)
    assembly.close_all()
    taken = assembly.take()
    assert {(stretch.segment, stretch.placement) for stretch in taken.stretches} == {(0, ""), (1, "left wrist")}
    assert [window.segment for window in taken.windows] == [0] * 4 + [1] * 4


def test_stuck_and_saturated_samples_are_flagged_across_messages(settings: Settings) -> None:
    values = signal(1500)
    values[310:370, 2] = 9.5
    values[700, 0] = 400.0
    values[900:1000, 4] = 0.0  # many gyroscopes write zero below a threshold
    got, _ = streamed(messages(stamps(1500, 50), values, 50.0), settings)
    assert np.flatnonzero(got.flags & FLAGS["stuck"]).tolist() == list(range(310, 370))
    assert np.flatnonzero(got.flags & FLAGS["saturated"]).tolist() == [700]


def test_settings_of_other_windows_and_rates(change) -> None:
    for rate, length, overlap in ((100.0, 2.0, 0.0), (20.0, 5.0, 0.75), (32.0, 1.0, 0.5)):
        settings = change(sensors={"rate_hz": rate}, windows={"length_s": length, "overlap": overlap})
        for source in (rate, 2 * rate, 0.7 * rate):
            times, values = stamps(1500, source), signal(1500)
            got, _ = streamed(messages(times, values, source), settings)
            assert_same(got, offline(times, values, settings))


def test_start_is_a_stamp(settings: Settings) -> None:
    got, _ = streamed(messages(stamps(200, 50), signal(200), 50.0), settings)
    assert got.starts.tolist() == [START]
    assert got.times[-1] == START + 199 * SECOND // 50
