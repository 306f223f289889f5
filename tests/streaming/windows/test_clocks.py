"""Devices whose rate, clock or count is wrong: nothing is lost, and no window mixes what does not belong together."""

from __future__ import annotations

import numpy as np
import pytest
from windows_support import KEY, SECOND, START, joined, messages, signal, stamps, streamed

from har.settings import Settings
from har.streaming.envelope import Envelope
from har.streaming.windows import Assembly, Fate, Taken


def moved(sent: list[Envelope], seconds: float, *, first: int = 0, rate_hz: float | None = None) -> list[Envelope]:
    """The messages with other stamps, counted from `first`."""
    return [
        Envelope(one.key, first + number, one.t0_us + round(seconds * SECOND), rate_hz or one.rate_hz, one.samples)
        for number, one in enumerate(sent)
    ]


def run(settings: Settings, arrivals: list[Envelope]) -> tuple[Taken, list[Fate]]:
    assembly = Assembly(settings)
    fates = [assembly.offer(number, envelope, 0) for number, envelope in enumerate(arrivals)]
    assembly.close_all()
    return assembly.take(), fates


def slow_wave(times: np.ndarray) -> np.ndarray:
    """A sine of 1 Hz in every channel, float32 (n, 6)."""
    wave = np.sin(2 * np.pi * (times - START) / SECOND)
    return np.repeat(wave[:, None], 6, axis=1).astype(np.float32)


@pytest.mark.parametrize("true_hz", [51.5, 48.5, 50.6, 49.4])
def test_a_declared_rate_that_is_3_percent_wrong_is_found_out(settings: Settings, true_hz: float) -> None:
    times = stamps(3000, true_hz)
    sent = messages(times, slow_wave(times), true_hz)
    got, fates = streamed(moved(sent, 0, rate_hz=50.0), settings)
    assert set(fates) == {Fate.WAITING}
    assert (np.diff(got.segments) == 0).all()  # no gap
    length_s = 3000 / true_hz
    assert len(got.starts) == pytest.approx(length_s / 2 - 1, abs=1)
    assert (got.times[-1] - got.times[0]) / SECOND == pytest.approx(length_s, abs=0.05)
    # After the first seconds, samples are where they were taken: 1 Hz moves by 0.13 in 20 ms.
    settled = got.times > START + 10 * SECOND
    error = np.abs(got.values[settled] - slow_wave(got.times[settled]))
    assert error.max() < 0.15


def test_a_declared_rate_that_is_right_is_believed(settings: Settings) -> None:
    times = stamps(3000, 51.5)
    got, _ = streamed(messages(times, slow_wave(times), 51.5), settings)
    assert np.abs(got.values - slow_wave(got.times)).max() < 0.01


def test_a_sample_lost_in_every_message_is_a_hole_and_no_wrong_rate(settings: Settings) -> None:
    kept = np.arange(3000) % 51 != 50
    times = stamps(3000, 50)[kept]
    got, _ = streamed(messages(times, slow_wave(times), 50.0), settings)
    assert np.abs(got.values - slow_wave(got.times)).max() < 0.02


def test_a_clock_that_is_wrong_by_minutes_is_nothing_special(settings: Settings) -> None:
    sent = messages(stamps(1000, 50), signal(1000), 50.0)
    assembly = Assembly(settings)
    now = START + 600 * SECOND
    for number, envelope in enumerate(moved(sent, -300)):
        assert assembly.offer(number, envelope, now + number * SECOND) is Fate.WAITING
        assembly.close_idle(now + number * SECOND)
    assert assembly.streams == 1
    taken = assembly.take()
    assert taken.windows[0].start_us == START - 300 * SECOND
    assert len(taken.windows) == 9


def test_a_clock_set_back_begins_another_session(settings: Settings) -> None:
    sent = messages(stamps(1000, 50), signal(1000), 50.0)
    sent = [*sent[:10], *moved(sent[10:], -3600, first=10)]
    taken, fates = run(settings, sent)
    assert set(fates) == {Fate.WAITING}
    assert [(one.session, one.segment) for one in taken.windows] == [("walk", 0)] * 4 + [("walk-2", 0)] * 4
    for session in ("walk", "walk-2"):
        times = np.concatenate([one.times for one in taken.stretches if one.session == session])
        assert len(times) == 500
        assert (np.diff(times) > 0).all()
    assert not taken.missing


def test_a_clock_set_back_by_less_than_a_gap_is_caught_up_with(settings: Settings) -> None:
    sent = messages(stamps(1000, 50), signal(1000), 50.0)
    got, _ = streamed([*sent[:10], *moved(sent[10:], -0.2, first=10)], settings)
    assert (np.diff(got.segments) == 0).all()
    assert (np.diff(got.times) > 0).all()
    assert got.times[-1] == pytest.approx(START + 19.78 * SECOND, abs=SECOND / 50)
    assert len(got.starts) == 8


def test_a_clock_set_forward_is_a_gap(settings: Settings) -> None:
    sent = messages(stamps(1000, 50), signal(1000), 50.0)
    taken, _ = run(settings, [*sent[:10], *moved(sent[10:], 3600, first=10)])
    assert [(one.session, one.segment) for one in taken.windows] == [("walk", 0)] * 4 + [("walk", 1)] * 4


@pytest.mark.parametrize("seconds", [3600, -3600])
def test_a_session_used_again_with_the_same_sequences(settings: Settings, seconds: int) -> None:
    sent = messages(stamps(1000, 50), signal(1000), 50.0)
    taken, fates = run(settings, [*sent, *moved(sent, seconds), *moved(sent, 2 * seconds)])
    assert set(fates) == {Fate.WAITING}
    sessions = ["walk", "walk-2", "walk-3"]
    assert [one.session for one in taken.windows] == [name for name in sessions for _ in range(9)]
    starts = [one.start_us for one in taken.windows]
    assert [starts[9] - starts[0], starts[18] - starts[9]] == [seconds * SECOND] * 2


def test_a_session_used_again_while_messages_of_the_first_run_wait(settings: Settings) -> None:
    sent = messages(stamps(500, 50), signal(500), 50.0)
    again = moved(sent, 100)
    taken, fates = run(settings, [*sent[:4], *sent[5:], *again])
    assert set(fates) == {Fate.WAITING}
    assert taken.missing == {KEY: 1}
    got = joined([taken], settings)
    assert len(got.times) == 450 + 500
    assert {one.session for one in taken.stretches} == {"walk", "walk-2"}


def test_a_session_used_again_may_begin_out_of_order(settings: Settings) -> None:
    sent = messages(stamps(500, 50), signal(500), 50.0)
    again = moved(sent, 100)
    taken, fates = run(settings, [*sent, again[1], again[0], *again[2:]])
    assert set(fates) == {Fate.WAITING}
    times = np.concatenate([one.times for one in taken.stretches if one.session == "walk-2"])
    assert times.tolist() == (stamps(500, 50) + 100 * SECOND).tolist()


def test_long_names_stay_legal_after_the_clock_was_set_back(settings: Settings) -> None:
    key = KEY._replace(session="a" * 64)
    sent = messages(stamps(400, 50), signal(400), 50.0, key=key)
    taken, _ = run(settings, [*sent, *moved(sent, 100)])
    first, second = sorted({one.session for one in taken.windows}, key=len, reverse=True)
    assert first == key.session
    assert len(second) <= 27
    assert second.endswith("-2")
