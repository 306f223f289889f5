"""Order, duplicates, gaps and faults: no sample is added, dropped samples are counted, no segment spans a gap."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from har.errors import RecordingTimeError
from har.recordings._cleaning import coverage, measured_rate_hz, order_rows, split_gaps
from har.recordings._table import Parsed
from har.schema import FLAGS

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


@settings(max_examples=200, deadline=None)
@given(uploads())
def test_late_and_repeated_rows_become_one_ordered_recording(upload: tuple[np.ndarray, ...]) -> None:
    times, values, labels = upload
    order = order_rows(parsed(len(times)), times, values, labels, MAX_GAP_S)
    kept = times[order.rows]
    assert (np.diff(kept) > 0).all()
    assert set(kept) == set(times)
    assert len(set(order.rows)) == len(order.rows)
    assert len(order.rows) + order.duplicates + order.duplicate_stamps == len(times)
    for row in order.rows:
        assert row == np.flatnonzero(times == times[row])[0], "the first row of a stamp is the one kept"
    late = sum(times[row] < times[:row].max(initial=0) for row in order.rows)
    assert order.reordered == late


@settings(max_examples=200, deadline=None)
@given(uploads())
def test_segments_are_split_at_gaps_only(upload: tuple[np.ndarray, ...]) -> None:
    times = np.unique(upload[0])
    segments = split_gaps(times, MAX_GAP_S)
    assert segments[0] == 0
    assert segments.dtype == np.int32
    assert (np.diff(segments) == (np.diff(times) > 500_000)).all()


@settings(max_examples=100, deadline=None)
@given(uploads())
def test_a_row_later_than_the_gap_is_named(upload: tuple[np.ndarray, ...]) -> None:
    times, values, labels = upload
    late = times.min() - 1
    times = np.append(times, [times.max() + 1_000_000, late])
    values = np.append(values, [[900, 901]], axis=1).astype(np.float32)
    labels = np.append(labels, [0, 0]).astype(np.int16)
    with pytest.raises(RecordingTimeError) as caught:
        order_rows(parsed(len(times)), times, values, labels, MAX_GAP_S)
    assert caught.value.line == len(times) + 1


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


def test_a_gap_starts_a_segment_and_is_counted(read, lines) -> None:
    content = lines(300)
    recording = read([*content[:101], *content[201:]])
    quality = recording.quality
    assert (quality.gaps, quality.samples_kept, quality.resampled) == (1, 200, False)
    assert quality.longest_gap_s == pytest.approx(2.02)
    assert quality.coverage == pytest.approx(200 / 300)
    assert recording.frame["segment"].to_list() == [0] * 100 + [1] * 100


def test_saturated_samples_are_flagged(read, lines) -> None:
    content = lines(100)
    for line, value in ((20, "16"), (21, "16.5"), (22, "-16.0"), (23, "15.99")):
        fields = content[line - 1].split(",")
        fields[2] = value
        content[line - 1] = ",".join(fields)
    recording = read(content)
    rows = np.flatnonzero(recording.frame["flags"].to_numpy() & FLAGS["saturated"])
    assert rows.tolist() == [18, 19, 20]
    assert recording.quality.saturated == 3


def _hold(content: list[str], column: int, first: int, last: int, value: str) -> list[str]:
    held = list(content)
    for line in range(first, last + 1):
        fields = held[line - 1].split(",")
        fields[column] = value
        held[line - 1] = ",".join(fields)
    return held


def test_a_channel_stuck_for_a_second_is_flagged(read, lines) -> None:
    recording = read(_hold(lines(200), 2, 52, 101, "0.25"))
    rows = np.flatnonzero(recording.frame["flags"].to_numpy() & FLAGS["stuck"])
    assert rows.tolist() == list(range(50, 100))
    assert recording.quality.stuck == 50
    assert read(_hold(lines(200), 2, 52, 99, "0.25")).quality.stuck == 0


def test_a_gyroscope_that_writes_zero_at_rest_is_not_stuck(read, lines) -> None:
    assert read(_hold(lines(200), 5, 2, 201, "0")).quality.stuck == 0
    assert read(_hold(lines(200), 5, 2, 201, "0.5")).quality.stuck == 200
    assert read(_hold(lines(200), 1, 2, 201, "0")).quality.stuck == 200


def test_labels_may_be_absent(read, lines) -> None:
    content = [lines(80)[0], *(line.removesuffix("PEN") if row % 2 else line for row, line in enumerate(lines(80)[1:]))]
    recording = read(content)
    assert recording.quality.unlabelled == 40
    assert recording.frame["activity"].to_list() == ["PEN", None] * 40
    bare = read([line.rsplit(",", 1)[0] for line in lines(80)])
    assert bare.quality.unlabelled == 80
    assert bare.frame["activity"].null_count() == 80


def test_rate_ignores_lost_samples_and_averages_rounded_stamps() -> None:
    at_104_hz = START + np.round(np.arange(2000) * 1000 / 104.3).astype(np.int64) * 1000  # whole milliseconds
    assert measured_rate_hz(at_104_hz, MAX_GAP_S) == pytest.approx(104.3, rel=1e-3)
    thinned = np.delete(START + np.arange(2000) * 20_000, np.arange(5, 2000, 11))
    assert measured_rate_hz(thinned, MAX_GAP_S) == pytest.approx(50)
    assert coverage(thinned, 50) == pytest.approx(10 / 11, rel=1e-2)
    assert measured_rate_hz(thinned[:1], MAX_GAP_S) == 0
    assert coverage(thinned[:1], 0) == 1


def test_rate_of_stamps_that_come_in_batches() -> None:
    batches = START + np.repeat(np.arange(300) * 80_000, 4) + np.tile([0, 1000, 2000, 3000], 300)
    assert measured_rate_hz(batches, MAX_GAP_S) == pytest.approx(50, rel=0.01)


def test_one_sample_is_a_recording(read, lines) -> None:
    recording = read(lines(1))
    assert len(recording.frame) == 1
    assert (recording.quality.measured_rate_hz, recording.quality.coverage, recording.quality.gaps) == (0, 1, 0)
