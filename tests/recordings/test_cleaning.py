"""Gaps and faults: what is counted and flagged, and the measured rate."""

from __future__ import annotations

import numpy as np
import pytest

from har.recordings._cleaning import coverage, measured_rate_hz
from har.schema import FLAGS

START = 1_704_096_000_000_000  # 2024-01-01T08:00Z in µs
MAX_GAP_S = 0.5


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
