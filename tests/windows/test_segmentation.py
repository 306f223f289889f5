"""Cutting: starts and labels of windows; samples are not copied before a batch."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from har.errors import WindowError
from har.windows import cut


def signal(rows: int, channels: int = 3) -> np.ndarray:
    return np.arange(rows * channels, dtype=np.float32).reshape(rows, channels)


def test_windows_hold_the_right_samples() -> None:
    samples = signal(1000, 6)
    windows = cut(samples, np.zeros(1000, np.int32), length=128, stride=64)
    assert len(windows) == (1000 - 128) // 64 + 1
    batch = windows.batch()
    for window, start in zip(batch, windows.starts, strict=True):
        np.testing.assert_array_equal(window, samples[start : start + 128])
    assert batch.flags.c_contiguous
    assert batch.dtype == np.float32


def test_the_view_shares_memory() -> None:
    windows = cut(signal(500), np.zeros(500, np.int32), length=100, stride=50)
    assert np.shares_memory(windows.view, windows.samples)
    assert windows.view.shape == (401, 100, 3)


@settings(deadline=None, max_examples=60)
@given(
    sizes=st.lists(st.integers(1, 60), min_size=1, max_size=8),
    length=st.integers(2, 25),
    stride=st.integers(1, 30),
)
def test_no_window_crosses_a_segment_and_none_is_missed(sizes: list[int], length: int, stride: int) -> None:
    segments = np.repeat(np.arange(len(sizes)), sizes)
    windows = cut(signal(len(segments)), segments, length=length, stride=stride)
    expected = []
    first = 0
    for size in sizes:
        expected += [first + start for start in range(0, size - length + 1, stride)]
        first += size
    assert windows.starts.tolist() == expected
    for start, segment in zip(windows.starts, windows.segments, strict=True):
        assert set(segments[start : start + length]) == {segment}


@settings(deadline=None, max_examples=60)
@given(
    labels=st.lists(st.integers(-1, 3), min_size=12, max_size=120),
    length=st.integers(2, 12),
    purity=st.sampled_from([0.3, 0.5, 0.75, 1.0]),
)
def test_majority_label_equals_a_plain_count(labels: list[int], length: int, purity: float) -> None:
    values = np.array(labels)
    windows = cut(signal(len(labels)), np.zeros(len(labels)), length=length, stride=3, labels=values, purity=purity)
    for start, label in zip(windows.starts, windows.labels, strict=True):
        present, counts = np.unique(values[start : start + length], return_counts=True)
        best = present[counts.argmax()]
        assert label == (best if best >= 0 and counts.max() >= purity * length else -1)


def test_selection_by_subject_keeps_labels_and_samples_together() -> None:
    subjects = np.repeat(["a", "b"], 300)
    labels = np.repeat([0, 1], 300)
    windows = cut(signal(600), labels, length=100, stride=50, labels=labels, subjects=subjects)
    chosen = windows.for_subjects(("b",))
    assert set(chosen.subjects) == {"b"}
    assert set(chosen.labels) == {1}
    assert chosen.samples is windows.samples


def test_a_segment_shorter_than_a_window_gives_none() -> None:
    windows = cut(signal(5), np.zeros(5), length=10, stride=5)
    assert len(windows) == 0
    assert windows.batch().shape == (0, 10, 3)


def test_empty() -> None:
    assert len(cut(np.empty((0, 3), np.float32), np.empty(0, np.int32), length=10, stride=5)) == 0


def test_lengths_that_disagree_are_refused() -> None:
    with pytest.raises(WindowError, match=r"\(10, 3\), \(9,\)"):
        cut(signal(10), np.zeros(9), length=4, stride=2)
