"""Releases replayed with recorded answers: people drawn with replacement, each with a stream of windows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from har.release import Answers, Paired, Tally
from har.release._paired import BLOCK, LABELLED_BLOCK, LABELLED_ROUNDS, SUMS
from tests.bench.release._answers import Recorded

WINDOWS = 512
"""Of each person."""
PER_REQUEST = 4
LOOKS = (32, 64, 128, 256, 512)
"""Windows of each person when the judge is asked."""
VARIANTS = 12
"""Streams of each person: their recordings in another order, from another place on."""
LABELLED = 0.25
"""Share of requests with feedback, where there is any."""

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Pair:
    """A new and a former version: answers and confidences of all recorded windows, (N,) each."""

    name: str
    new: Ints
    former: Ints
    sure: Floats
    former_sure: Floats


@dataclass(frozen=True)
class Streams:
    """Every person's streams under one pair of versions, ready to be put together.

    `P` people, `V` variants, `L` looks; the last axis of sums is `har.release._paired.SUMS`.

    Attributes:
        blocks: (P, V, B, 6); a look sees the first ones.
        labelled_blocks: the same of the labelled windows.
        rounds: per round, (P, V, 6).
        classes: (P, V, L, 5, K): mix, former_mix, kept, lost_sure, kept_sure.
        agreeing: (P, V, L, 3): windows with the same answer, and the sums of both confidences there.
        right, former_right, sure, former_sure: (P, V, WINDOWS), what other gates look at.
    """

    activities: tuple[str, ...]
    blocks: Floats
    labelled_blocks: Floats
    rounds: tuple[Floats, ...]
    classes: Floats
    agreeing: Floats
    right: Floats
    former_right: Floats
    sure: Floats
    former_sure: Floats

    def paired(self, people: Ints, variants: Ints, look: int, *, labels: bool) -> Paired:
        """The evidence of a release at a look: what a `Tally` of these streams would say."""
        at = (people, variants)
        windows = LOOKS[look]
        classes = self.classes[people, variants, look]
        same, sure, former_sure = self.agreeing[people, variants, look].sum(axis=0)
        none = np.empty((0, len(SUMS)))
        labelled = round(windows * LABELLED)
        return Paired(
            requests=len(people) * windows // PER_REQUEST,
            windows=len(people) * windows,
            subjects=tuple(map(str, range(len(people)))),
            seen=len(people),
            blocks=self.blocks[at][:, : windows // BLOCK].reshape(-1, len(SUMS)),
            labelled_blocks=self.labelled_blocks[at][:, : labelled // LABELLED_BLOCK].reshape(-1, len(SUMS))
            if labels
            else none,
            rounds=tuple(
                one[at] if labels and labelled >= quota else none
                for one, quota in zip(self.rounds, LABELLED_ROUNDS, strict=True)
            ),
            agreeing=int(same),
            sure=float(sure / max(same, 1)),
            former_sure=float(former_sure / max(same, 1)),
            activities=self.activities,
            mix=classes[:, 0],
            former_mix=classes[:, 1],
            kept=classes[:, 2],
            lost_sure=classes[:, 3],
            kept_sure=classes[:, 4],
        )


def orders(recorded: Recorded, rng: np.random.Generator) -> Ints:
    """(P, V, WINDOWS): which recorded windows a stream has; recordings follow each other in a random order."""
    people = np.unique(recorded.subjects)
    found = np.empty((len(people), VARIANTS, WINDOWS), np.int64)
    for number in people.tolist():
        own = np.flatnonzero(recorded.subjects == number)
        parts = [own[recorded.recordings[own] == one] for one in np.unique(recorded.recordings[own])]
        for variant in range(VARIANTS):
            stream: list[Ints] = []
            while sum(map(len, stream)) < WINDOWS + len(own):
                stream += [parts[part] for part in rng.permutation(len(parts))]
            begin = int(rng.integers(0, len(own)))
            found[number, variant] = np.concatenate(stream)[begin : begin + WINDOWS]
    return found


def streams(recorded: Recorded, pair: Pair, order: Ints, rng: np.random.Generator) -> Streams:
    """Everything that replays of this pair need, computed once."""
    people, variants, _ = order.shape
    classes = len(recorded.activities)
    new, former, truth = pair.new[order], pair.former[order], recorded.labels[order]
    sure, former_sure = pair.sure[order], pair.former_sure[order]
    differ = new != former
    sums = np.zeros((*order.shape, len(SUMS)))
    sums[..., 0], sums[..., 1] = 1, differ
    sums[..., 2] = np.where(differ, sure - former_sure, 0)
    # Feedback is about whole requests; the same number in each stream, so that looks agree.
    requests = WINDOWS // PER_REQUEST
    chosen = np.argsort(rng.random((people, variants, requests // 4, 4)), axis=-1)[..., :1] + 4 * np.arange(
        requests // 4
    ).reshape(1, 1, -1, 1)
    labelled = (PER_REQUEST * chosen + np.arange(PER_REQUEST)).reshape(people, variants, -1)
    known = np.zeros((*labelled.shape, len(SUMS)))
    right, former_right = new == truth, former == truth
    ours, theirs = (np.take_along_axis(one, labelled, axis=2) for one in (right, former_right))
    known[..., 3], known[..., 4], known[..., 5] = 1, ours & ~theirs, theirs & ~ours
    each = np.zeros((people, variants, len(LOOKS), 5, classes))
    agreeing = np.zeros((people, variants, len(LOOKS), 3))
    eye = np.eye(classes)
    for look, windows in enumerate(LOOKS):
        cut = (slice(None), slice(None), slice(0, windows))
        same = ~differ[cut]
        answered, before = eye[new[cut]], eye[former[cut]]
        each[:, :, look, 0], each[:, :, look, 1] = answered.sum(axis=2), before.sum(axis=2)
        each[:, :, look, 2] = (before * same[..., None]).sum(axis=2)
        weighted = before * former_sure[cut][..., None]
        each[:, :, look, 3] = (weighted * ~same[..., None]).sum(axis=2)
        each[:, :, look, 4] = (weighted * same[..., None]).sum(axis=2)
        agreeing[:, :, look, 0] = same.sum(axis=2)
        agreeing[:, :, look, 1] = (sure[cut] * same).sum(axis=2)
        agreeing[:, :, look, 2] = (former_sure[cut] * same).sum(axis=2)
    return Streams(
        activities=recorded.activities,
        blocks=_blocks(sums, BLOCK),
        labelled_blocks=_blocks(known, LABELLED_BLOCK),
        rounds=tuple(known[:, :, :quota].sum(axis=2) for quota in LABELLED_ROUNDS),
        classes=each,
        agreeing=agreeing,
        right=right.astype(np.float64),
        former_right=former_right.astype(np.float64),
        sure=sure,
        former_sure=former_sure,
    )


def draws(people: int, subjects: int, replays: int, rng: np.random.Generator) -> tuple[Ints, Ints]:
    """People and variants of each replay, (R, S) each."""
    shape = (replays, subjects)
    return rng.integers(0, people, shape), rng.integers(0, VARIANTS, shape)


def tallied(recorded: Recorded, pair: Pair, order: Ints, people: Ints, variants: Ints, look: int) -> Paired:
    """The same evidence from the tally that a running release fills, window by window: a check of `Streams`."""
    tally = Tally(recorded.activities)
    for number, (person, variant) in enumerate(zip(people, variants, strict=True)):
        rows = order[person, variant, : LOOKS[look]]
        codes = np.full(len(rows), tally.code(str(number)))
        tally.add(
            Answers(codes, pair.new[rows], pair.former[rows], pair.sure[rows], pair.former_sure[rows]),
            requests=len(rows) // PER_REQUEST,
        )
    return tally.paired()


def _blocks(sums: Floats, size: int) -> Floats:
    people, variants, windows, columns = sums.shape
    full = windows // size * size
    return sums[:, :, :full].reshape(people, variants, -1, size, columns).sum(axis=3)
