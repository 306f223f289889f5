"""Repeated and late rows: sorted where the order is clear, refused where the clock was set; nothing else is dropped."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from har.errors import RecordingTimeError
from har.recordings._cleaning import split_gaps
from har.recordings._order import order_rows
from har.recordings._table import Parsed

START = 1_704_096_000_000_000  # 2024-01-01T08:00Z in µs
MAX_GAP_S = 0.5


def parsed(count: int) -> Parsed:
    empty = pl.Series(dtype=pl.Float64)
    return Parsed("2024-01-01/s01_a.csv", "line", np.arange(2, count + 2), empty, (empty,), None)


@st.composite
def uploads(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Stamps (µs), one channel and labels of a recording with rows that are late, repeated, or share a stamp."""
    steps = draw(st.lists(st.sampled_from([20, 20, 20, 21, 19, 300, 501, 5000]), min_size=1, max_size=40))
    truth = START + np.cumsum(steps) * 1000
    rows = [(int(time), float(number), 0) for number, time in enumerate(truth)]
    for index in draw(st.lists(st.integers(0, len(truth) - 1), max_size=8)):
        rows.append(rows[index])
    for index in draw(st.lists(st.integers(0, len(truth) - 1), max_size=8)):
        rows.append((rows[index][0], rows[index][1] + 0.5, draw(st.integers(0, 1))))
    lateness = draw(st.lists(st.integers(0, 249_000), min_size=len(rows), max_size=len(rows)))
    order = np.argsort([row[0] + late for row, late in zip(rows, lateness, strict=True)], kind="stable")
    times, values, labels = zip(*(rows[index] for index in order), strict=True)
    return np.array(times), np.array([values], np.float32), np.array(labels, np.int16)


@settings(max_examples=60, deadline=None)
@given(uploads())
def test_late_and_repeated_rows_become_one_ordered_recording(upload: tuple[np.ndarray, ...]) -> None:
    times, values, labels = upload
    order = order_rows(parsed(len(times)), times, values, labels, MAX_GAP_S)
    kept = times[order.rows]
    assert (np.diff(kept) >= 0).all()
    assert set(kept) == set(times)
    assert len(set(order.rows)) == len(order.rows)
    assert len(order.rows) + order.duplicates == len(times)
    for stamp in set(times):
        rows = order.rows[kept == stamp]
        assert (np.diff(rows) > 0).all(), "rows of one stamp keep the order of the file"
        assert rows[0] == np.flatnonzero(times == stamp)[0]
    dropped = np.setdiff1d(np.arange(len(times)), order.rows)
    for row in dropped:
        same = (times[:row] == times[row]) & (values[0, :row] == values[0, row]) & (labels[:row] == labels[row])
        assert same.any(), "only a row that an earlier one repeats is dropped"
    late = sum(times[row] < times[:row].max(initial=0) for row in order.rows)
    assert order.reordered == late


@settings(max_examples=60, deadline=None)
@given(uploads())
def test_segments_are_split_at_gaps_only(upload: tuple[np.ndarray, ...]) -> None:
    times = np.unique(upload[0])
    segments = split_gaps(times, MAX_GAP_S)
    assert segments[0] == 0
    assert segments.dtype == np.int32
    assert (np.diff(segments) == (np.diff(times) > 500_000)).all()


def ordered(times: np.ndarray) -> np.ndarray:
    count = len(times)
    values = np.arange(count, dtype=np.float32)[None]
    return order_rows(parsed(count), times, values, np.zeros(count, np.int16), MAX_GAP_S).rows


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(50, 300), min_size=2, max_size=6), st.randoms(use_true_random=False), st.integers(1, 50))
def test_batches_that_arrive_in_any_order_are_sorted(sizes: list[int], random, per_stamp: int) -> None:
    times = START + np.arange(sum(sizes)) // per_stamp * per_stamp * 20_000
    blocks = np.split(times, [end // per_stamp * per_stamp for end in np.cumsum(sizes)[:-1]])
    random.shuffle(blocks)
    arrived = np.concatenate(blocks)
    assert (arrived[ordered(arrived)] == times).all()


def test_the_newest_first_is_an_order() -> None:
    times = START + np.arange(1000)[::-1] * 20_000
    assert (ordered(times) == np.arange(1000)[::-1]).all()


@settings(max_examples=60, deadline=None)
@given(st.integers(60, 900), st.integers(60, 900), st.integers(30, 100_000))
def test_a_clock_that_was_set_back_is_refused_at_its_row(before: int, after: int, back: int) -> None:
    times = START + np.arange(before + after) * 20_000
    times[before:] -= back * 20_000
    joins = back >= before + after - 26 and back <= before + after + 26  # ends where the rest begins: a batch
    if joins:
        return
    with pytest.raises(RecordingTimeError, match=f"runs back by {(back - 1) * 0.02:g} s") as caught:
        ordered(times)
    assert caught.value.line == before + 2
    assert "split the file here" in caught.value.remedy
    overlaps = back < before + after
    assert ("sort the file by time" in caught.value.remedy) == (not overlaps)


def test_a_file_that_holds_its_rows_three_times_is_refused(read, lines) -> None:
    content = lines(100)
    twice = read([*content, *content[1:]])
    assert (twice.quality.samples_kept, twice.quality.duplicates) == (100, 100)
    assert twice.quality.notes == ("50% of the rows repeat earlier ones and were dropped",)
    assert read([*content, content[-1]]).quality.notes == ()
    with pytest.raises(RecordingTimeError, match="200 of 300 rows that repeat") as caught:
        read([*content, *content[1:], *content[1:]])
    assert caught.value.line == 102


def test_a_block_uploaded_twice_within_a_file_is_dropped(read, lines) -> None:
    content = lines(200)
    quality = read([*content, *content[1:101]]).quality
    assert (quality.samples_read, quality.samples_kept, quality.duplicates) == (300, 200, 100)
    assert quality.reordered == 0
    assert read([*content, *content[1:101]]).frame.equals(read(content).frame)


def test_of_equal_stamps_the_first_is_kept(read, lines) -> None:
    content = lines(100)
    other = content[50].split(",")
    other[1] = "0.123456"
    recording = read([*content[:51], ",".join(other), *content[51:]])
    assert (recording.quality.duplicate_stamps, recording.quality.duplicates) == (1, 0)
    assert recording.frame.equals(read(content).frame)


def test_late_rows_are_sorted_and_counted(read, lines) -> None:
    content = lines(100)
    late = [*content[:31], *content[41:51], *content[31:41], *content[51:]]
    recording = read(late)
    assert recording.quality.reordered == 10
    assert recording.frame.equals(read(content).frame)
