"""Cutting, pacing, lines, and recordings that are replayed as of now."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from run_support import ingest

from har.errors import FileNameError, MalformedRowError
from har.lake import Lake
from har.settings import Settings
from har.streaming.client import (
    Form,
    Made,
    Stretch,
    cut,
    form_of,
    from_files,
    from_inbox,
    from_lake,
    in_time_order,
    lines,
    named_file,
    paced,
    renamed,
    to_the_present,
)
from har.streaming.envelope import Envelope, Limits, StreamKey, decode
from har.streaming.sources import open_source

Put = Callable[..., Path]
KEY = StreamKey("anna", "watch", "a")
FORM = Form(50.0, ("accel_x",), {"accel_x": "m/s^2"}, 20)


def _stretch(count: int, start_us: int = 1_000_000, key: StreamKey = KEY) -> Stretch:
    return Stretch(key, start_us + np.arange(count) * 20_000, np.arange(count, dtype=np.float32)[:, None])


def test_a_stretch_is_cut_into_numbered_messages_and_the_next_one_begins_anew() -> None:
    other = StreamKey("ben", "phone", "b")
    made = list(cut(iter([_stretch(50), _stretch(10, key=other), _stretch(20, 9_000_000)]), FORM))
    assert [(one.key, one.sequence) for one in made] == [(KEY, 0), (KEY, 1), (KEY, 2), (other, 0), (KEY, 3)]
    assert made[0].end_us == 1_000_000 + 19 * 20_000


def test_messages_come_at_the_pace_that_they_were_recorded_in() -> None:
    made = list(cut(iter([_stretch(100)]), FORM))
    now = 100.0
    feed = paced(made, 2.0, clock=lambda: now)
    came: list[tuple[float, int]] = []
    for one in feed:
        if one is None:
            now += 0.03125
        else:
            came.append((now - 100, one.sequence))
    assert [number for _, number in came] == [0, 1, 2, 3, 4]
    assert [at for at, _ in came] == pytest.approx([0.0, 0.2, 0.4, 0.6, 0.8], abs=0.032)
    assert all(at >= 0.2 * number for at, number in came)


def _all(feed: object) -> list[Made]:
    return [one for one in feed if one is not None]  # type: ignore[attr-defined]


def test_lines_become_messages_and_what_is_left_at_the_end_too() -> None:
    form = Form(50.0, ("accel_x", "accel_y"), {"accel_x": "g", "accel_y": "g"}, 4, "json")
    text = io.StringIO("1, 2\n3 4\n\n5,6\n7,8\n9,10\n")
    made = _all(lines(text, KEY, form, first=7, now_us=lambda: 1_700_000_000_000_000))
    assert [one.sequence for one in made] == [7, 8]
    assert b'"samples":[[1.0,2.0],[3.0,4.0],[5.0,6.0],[7.0,8.0]]' in made[0].body
    assert b'"samples":[[9.0,10.0]]' in made[1].body


@pytest.mark.parametrize("line", ["1", "1,2,3", "one,two"])
def test_a_line_that_is_no_sample_is_named(line: str) -> None:
    form = Form(50.0, ("accel_x", "accel_y"), {}, 4)
    with pytest.raises(MalformedRowError, match=r"standard input: expected 2 numbers") as caught:
        _all(lines(io.StringIO(f"1,2\n{line}\n"), KEY, form))
    assert caught.value.line == 2


def _decoded(messages: list[Made], settings: Settings) -> list[Envelope]:
    limits = Limits.of(settings)
    return [decode(one.body, one.content_type, limits) for one in messages]


@pytest.mark.parametrize("form", ["msgpack", "json", "arrow"])
def test_the_samples_of_the_lake_and_of_its_files_come_in_every_bit(settings: Settings, put: Put, form: str) -> None:
    put("2024-01-02", "s1", "a", "PEN", seconds=10)
    ingest()
    frame = Lake(settings.path("lake"), settings.sensors.channels).samples.read().sort("time")
    for stretches in (from_lake(settings, subjects=["s1"]), from_inbox(settings)):
        envelopes = _decoded(list(cut(stretches, form_of(settings, seconds=0.5, format=form))), settings)
        assert {one.key for one in envelopes} == {StreamKey("s1", "replay", "a")}
        assert [one.sequence for one in envelopes] == list(range(20))
        samples = np.concatenate([one.samples for one in envelopes])
        np.testing.assert_array_equal(samples, frame.select(settings.sensors.channels).to_numpy())
        assert envelopes[0].t0_us == frame["time"].dt.epoch("us")[0]


def test_a_file_s_names_may_be_said(settings: Settings, put: Put, tmp_path: Path) -> None:
    written = put("2024-01-02", "s1", "a", "PEN", seconds=10)
    odd = tmp_path / "export.csv"
    odd.write_bytes(written.read_bytes())
    with pytest.raises(FileNameError, match="--subject, --session and --date"):
        named_file(odd, subject="s9", session="", date=None)
    file = named_file(odd, subject="s9", session="z", date=named_file(written, subject="", session="", date=None).date)
    assert next(from_files([file], settings, device="band")).key == StreamKey("s9", "band", "z")


def test_recordings_are_moved_to_the_present_all_streams_at_once() -> None:
    other = StreamKey("ben", "phone", "b")
    recorded = [_stretch(100), _stretch(100, 3_600_000_000), _stretch(150, 50_000_000, other)]
    now_us = 1_700_000_000_000_000
    moved = to_the_present(renamed(recorded, "replay-1"), FORM, now_us, speed=1)
    assert {one.key.session for one in moved} == {"replay-1-a", "replay-1-b"}
    assert [int(one.times[0]) for one in moved] == [now_us, now_us + 1_980_000 + 1_000_000, now_us]
    fast = to_the_present(recorded, FORM, now_us, speed=10)
    longest_us = max(int(one.times[-1]) for one in moved) - now_us
    assert max(int(one.times[-1]) for one in fast) == now_us + round(longest_us / 10), "as it will be sent"
    short = to_the_present(recorded, FORM, now_us, speed=1, seconds=0.5)
    assert [len(one.times) for one in short] == [25, 25]


def test_messages_of_several_streams_are_put_in_the_order_of_their_time() -> None:
    other = StreamKey("ben", "phone", "b")
    made = list(in_time_order(cut(iter([_stretch(60), _stretch(60, 1_100_000, other)]), FORM)))
    assert [one.end_us for one in made] == sorted(one.end_us for one in made)
    assert [one.key.subject for one in made] == ["anna", "ben"] * 3


def test_the_source_replays_the_inbox(settings: Settings, put: Put) -> None:
    put("2024-01-02", "s1", "a", "PEN", seconds=10)
    put("2024-01-02", "s2", "b", "PEN", seconds=10)
    source = open_source("replay:inbox", settings)
    taken = list(source.poll(1.0, 3))
    assert len(taken) == 3
    source.pause()
    assert source.poll(0.01, 100) == []
    source.resume()
    taken += source.poll(1.0, 100)
    source.acknowledge(taken)
    source.tell({})
    assert source.poll(0.01, 100) == []
    source.close()
    limits = Limits.of(settings)
    envelopes = [decode(one.body, one.content_type, limits) for one in taken]
    assert [one.key.subject for one in envelopes] == ["s1", "s2"] * 10
