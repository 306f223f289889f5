"""Axes: names and matrices, and the law that a turning device obeys."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from har.devices import axes_of
from har.devices._axes import blocks, handedness, law, relations, ways, words
from har.plausibility import GRAVITY


def test_there_are_48_ways_and_the_first_changes_nothing() -> None:
    assert ways().shape == (48, 3, 3)
    assert len(np.unique(ways().reshape(48, 9), axis=0)) == 48
    assert (ways()[0] == np.eye(3)).all()
    assert sorted(handedness().tolist()) == [-1.0] * 24 + [1.0] * 24


@pytest.mark.parametrize("index", range(0, 48, 5))
def test_the_words_of_a_way_undo_it(index: int) -> None:
    matrix = axes_of(words(index))
    assert matrix is not None
    assert np.allclose(matrix @ ways()[index], np.eye(3))


@pytest.mark.parametrize("text", ["", "x,y", "x,y,y", "x,y,w", "x,y,--z", "a"])
def test_other_words_are_no_axes(text: str) -> None:
    assert axes_of(text) is None


def _turning() -> NDArray[np.float64]:
    """A device that tumbles in gravity for 20 s at 50 Hz, by the law, integrated in small steps."""
    time = np.arange(0, 20, 1 / 500)
    rate = np.stack([1.5 * np.sin(0.9 * time), 1.1 * np.cos(0.7 * time), 0.8 * np.sin(0.5 * time + 1)], axis=1)
    gravity = np.empty_like(rate)
    now = np.array([0.0, 0.0, GRAVITY])
    for index, turn in enumerate(rate):
        gravity[index] = now
        now = now - np.cross(turn, now) / 500
        now *= GRAVITY / np.linalg.norm(now)
    return np.hstack([gravity, rate])[::10]


def test_a_tumbling_device_obeys_the_law_in_its_own_axes_only() -> None:
    scores = law(blocks(_turning(), 50.0), 50.0).mean(axis=0)
    assert scores.argmax() == 0
    assert scores[0] - np.sort(scores)[-2] > 1.0
    assert scores[0] > law(blocks(_turning(), 50.0), 50.0, 2.0, only=0).mean() + 1.0


@pytest.mark.parametrize(("first", "second"), [(5, 5), (11, 11), (0, 7), (7, 0), (30, 12)])
def test_relations_say_in_which_way_the_gyroscope_seems_off(first: int, second: int) -> None:
    values = _turning()
    values = np.hstack([values[:, :3] @ ways()[first].T, values[:, 3:] @ ways()[second].T])
    assert law(blocks(values, 50.0), 50.0).mean(axis=0).argmax() == relations()[first, second]
