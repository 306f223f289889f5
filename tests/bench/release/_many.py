"""The judge for many replays at once: the same formulas as `har.release`, on arrays; the benchmark compares both."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from har.release import Limits
from har.release import _classes as classes
from har.release import _quality as quality
from har.release._betting import bounds, log_wealth
from har.release._paired import BLOCK, LABELLED_BLOCK, LABELLED_ROUNDS
from har.release._values import SURE
from tests.bench.release._replays import LABELLED, LOOKS, Floats, Ints, Streams

PASS, HOLD, FAIL = 0, 1, 2

Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Prepared:
    """What a pair's streams say by themselves, at each look.

    P people, V variants, L looks, K activities.
    """

    streams: Streams
    counted: Bools  # (P, V, L, K)
    lost: Bools  # (P, V, L, K)
    kept: Floats  # (P, V, L, K)

    @classmethod
    def of(cls, streams: Streams) -> Prepared:
        """Judge each person's classes."""
        _, had, kept, lost_sure, kept_sure = np.moveaxis(streams.classes, 3, 0)
        counted = had >= classes.LEAST_WINDOWS
        with np.errstate(invalid="ignore", divide="ignore"):
            share = np.where(counted, kept / had, 1.0)
            sure_lost = np.nan_to_num(lost_sure / (had - kept))
        sure = kept_sure.sum(axis=-1, keepdims=True) / np.maximum(kept.sum(axis=-1, keepdims=True), 1)
        lost = counted & (share < classes.KEPT) & (sure_lost >= sure - classes.SURENESS)
        return cls(streams, counted, lost, share)


def guards(prepared: Prepared, people: Ints, variants: Ints, look: int, risk: float) -> Ints:
    """The worse verdict of both guards on classes, (R,)."""
    at = (people, variants, look)
    counted, lost, kept = prepared.counted[at], prepared.lost[at], prepared.kept[at]
    values = np.where(counted, lost - classes.LOST, 0.0)
    logs = log_wealth(np.moveaxis(values, 1, -1), classes.LOST).max(axis=-1).clip(0.0, 500.0)  # (R, K)
    wealth = np.log(np.exp(logs).mean(axis=-1))
    least = np.where(counted, kept, 2.0).min(axis=1).argmin(axis=-1)
    worst = np.where(logs.max(axis=-1) > 0, logs.argmax(axis=-1), least)
    rows = np.arange(len(people))
    having, losing = counted.sum(axis=1)[rows, worst], lost.sum(axis=1)[rows, worst]
    doubted = (losing > np.maximum(1, 0.5 * having)) | ~counted.any(axis=(1, 2))
    found = np.where(wealth >= math.log(1 / risk), FAIL, np.where(doubted, HOLD, PASS))
    mix, former = (prepared.streams.classes[people, variants, look, one].sum(axis=1) for one in (0, 1))
    n, most = mix.sum(axis=1), mix.argmax(axis=1)
    swallows = (mix[rows, most] / n > classes.MOST) & (former[rows, most] / former.sum(axis=1) < classes.FORMER_MOST)
    single = np.where(n < classes.ENOUGH, HOLD, np.where(swallows, FAIL, PASS))
    return np.maximum(found, single)


def shown_worse(prepared: Prepared, people: Ints, variants: Ints, look: int) -> Floats:
    """The log of the wealth of the bets on "worse", (R,), less the price of several rounds."""
    best = np.zeros(len(people))
    for sums, quota in zip(prepared.streams.rounds, LABELLED_ROUNDS, strict=True):
        if round(LOOKS[look] * LABELLED) >= quota:
            better, worse = (sums[people, variants][..., column] for column in (4, 5))
            best = np.maximum(best, log_wealth((worse - better) / (worse + better + quality.SMOOTH), 1.0).max(axis=-1))
    return best - math.log(len(LABELLED_ROUNDS))


def accuracy(prepared: Prepared, people: Ints, variants: Ints, look: int, limits: Limits, *, labels: bool) -> Ints:
    """The verdict of the check "accuracy", (R,)."""
    streams, margin, count = prepared.streams, limits.margin, len(people)
    windows = LOOKS[look]
    value, low = np.full(count, np.nan), np.full(count, -np.inf)
    failed = held = np.zeros(count, np.bool_)
    if labels:
        known = streams.labelled_blocks[people, variants][:, :, : round(windows * LABELLED) // LABELLED_BLOCK]
        gains = ((known[..., 4] - known[..., 5]) / LABELLED_BLOCK).reshape(count, -1)
        value, certain = gains.mean(axis=1), np.full(count, np.inf)
        if gains.shape[1] >= quality.LEAST_BLOCKS:
            low, certain = bounds(gains, SURE)[0], bounds(gains, quality.LARGE_RISK)[1]
        worse = shown_worse(prepared, people, variants, look) >= math.log(1 / (limits.risk * quality.LABELS_RISK))
        below = value < -margin
        failed = below & (worse | (certain < -(margin + quality.LARGE)))
        if gains.size // count * LABELLED_BLOCK >= quality.LEAST_LABELS:
            held = below
    blocks = streams.blocks[people, variants][:, :, : windows // BLOCK].reshape(count, -1, streams.blocks.shape[-1])
    if blocks.shape[1] < quality.LEAST_BLOCKS:
        return np.where(failed, FAIL, HOLD)
    same = streams.agreeing[people, variants, look].sum(axis=1)
    offset = (same[:, 1] - same[:, 2]) / np.maximum(same[:, 0], 1)
    expected = (blocks[..., 2] - offset[:, None] * blocks[..., 1]) / BLOCK
    expected_low = bounds(expected, SURE)[0]
    by_labels = (low >= -margin) & ~(expected.mean(axis=1) < -margin)
    most = bounds(blocks[..., 1] / BLOCK, SURE)[1].clip(max=1.0)
    explained = (
        (offset >= -quality.LARGEST_OFFSET)
        & (most <= (limits.disagreement or 0.0) + margin)
        & (expected_low >= -margin)
    )
    return np.where(failed, FAIL, np.where(held, HOLD, np.where(by_labels | explained, PASS, HOLD)))
