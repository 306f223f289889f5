"""Smooth the answers of consecutive windows, as they come: the stream and the nightly job use the same code.

Two ways, both learned from how long activities last in the training recordings (`ModelMetadata.runs`):

* `hmm`: a hidden Markov model over activities (Rabiner, A Tutorial on Hidden Markov Models, 1989). A run of activity i
  that has n windows on average goes on for another one with the probability 1 - 1/n, and is followed by j with the
  probability of that jump. How well a window fits an activity is its probability divided by the activity's share of the
  training windows (Bourlard and Morgan, Connectionist Speech Recognition, 1994), to the power stride / length, as
  windows that overlap are no independent evidence. The answer is the most probable activity given all windows so far
  and the next `LAG` ones (fixed-lag smoothing).
* `duration`: a change counts once it has lasted as long as nine in ten runs of that activity do, at most `LONGEST_S`;
  a shorter run gets the activity before it.

A run lasts from the start of its first window to the end of its last: of d seconds, it has (d - length) / stride + 1
windows.

A window without a signal, or unlike the training data, is no evidence: time passes, and its neighbours decide. The
first still gets `NO_SIGNAL`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from har.inference._answers import Answers
from har.inference._metadata import ModelMetadata, Runs
from har.plausibility import NO_SIGNAL

Kind = Literal["none", "hmm", "duration"]
LAG = 4
"""The hidden Markov model answers a window when so many later ones are known."""
LONGEST_S = 8.0
"""A change counts after so many seconds at the latest, by `duration`."""
DOUBT = 0.05
"""Share of a window's probability that is spread over all activities: one window cannot exclude an activity."""

_FEWEST = 1.1
"""No run is taken to have fewer windows on average."""
_ROUNDING = 1e-6

Smoothed = tuple[int, str]
"""Start of a window, µs, and its activity."""
_Values = Any
"""A number per window: a float, or float64 (n,) for n windows at once. The same operations give the same bits."""


@dataclass
class _Track:
    """A run of consecutive windows.

    Attributes:
        waiting: start, µs, and whether nothing was measured, of each window that has no smoothed answer yet.
        last_us: start of the newest window.
        fits: of the waiting windows, how well each activity fits, (K,) each.
        filtered: of the waiting windows, the probabilities given all windows up to them, (K,) each.
        current: the activity that counts; -1: none yet.
        other: the one that would replace it.
        lasted: for so many windows.
    """

    waiting: list[tuple[int, bool]] = field(default_factory=list)
    last_us: int = -1
    fits: list[list[float]] = field(default_factory=list)
    filtered: list[list[float]] = field(default_factory=list)
    current: int = -1
    other: int = -1
    lasted: int = 0


class Smoother:
    """Smooths the answers of many runs of windows, told apart by a key; for one thread.

    Attributes:
        delay: so many later windows are needed at most until a window has its smoothed answer.
        delay_s: the same in seconds.

    Args:
        metadata: the model's.
        runs: how long activities last.
        kind: hmm or duration.
        stride: samples between two windows' starts.
    """

    def __init__(self, metadata: ModelMetadata, runs: Runs, kind: Literal["hmm", "duration"], stride: int) -> None:
        self.kind = kind
        self._activities = metadata.activities
        step_s, length_s = stride / metadata.rate_hz, metadata.length / metadata.rate_hz
        self._step_us = 1e6 * step_s
        self._slack_us = 1.5e6 / metadata.rate_hz
        self._tracks: dict[Hashable, _Track] = {}
        stay = [1 - 1 / max(_FEWEST, (mean - length_s) / step_s + 1) for mean in runs.mean_s]
        count = len(stay)
        self._steps = [
            [stay[i] if i == j else (1 - stay[i]) * runs.jumps[i][j] for j in range(count)] for i in range(count)
        ]
        self._into = [list(column) for column in zip(*self._steps, strict=True)]
        self._prior = list(runs.prior)
        self._power = min(1.0, stride / metadata.length)
        counts = [(min(shortest, LONGEST_S) - length_s) / step_s + 1 for shortest in runs.shortest_s]
        self._least = [max(1, math.floor(count + _ROUNDING)) for count in counts]
        self.delay = LAG if kind == "hmm" else max(self._least) - 1
        self.delay_s = self.delay * step_s

    @classmethod
    def of(cls, metadata: ModelMetadata, kind: Kind, *, stride: int) -> Smoother | None:
        """The smoother that a setting asks for.

        Args:
            metadata: the model's.
            kind: `scoring.smoothing`.
            stride: samples between two windows' starts, as the settings say.

        Returns:
            None where smoothing is off, or where the model's file, of an older release, has not learned it.
        """
        if kind == "none" or metadata.runs is None:
            return None
        return cls(metadata, metadata.runs, kind, stride)

    def push(self, key: Hashable, starts_us: Sequence[int], answers: Answers) -> list[Smoothed]:
        """Take the next windows of a run; returns the windows that now have a smoothed answer, in their order.

        A window that does not follow at the stride begins a new run: what waited is answered first.

        Args:
            key: of the run, such as subject, device, session and segment.
            starts_us: start of each window, µs, increasing.
            answers: to these windows.
        """
        found: list[Smoothed] = []
        first = 0
        track = self._tracks.setdefault(key, _Track())
        last = track.last_us
        for row, start in enumerate(starts_us):
            if last >= 0 and abs(start - last - self._step_us) > self._slack_us:
                found += self._take(track, starts_us, answers, first, row)
                found += self._finish(track)
                track = self._tracks[key] = _Track()
                first = row
            last = start
        return found + self._take(track, starts_us, answers, first, len(starts_us))

    def flush(self, key: Hashable) -> list[Smoothed]:
        """End a run: the answers of its windows that still waited."""
        track = self._tracks.pop(key, None)
        return [] if track is None else self._finish(track)

    def state(self, key: Hashable) -> bytes:
        """A run as bytes, from which `restore` goes on; empty if there is none."""
        track = self._tracks.get(key)
        return b"" if track is None else json.dumps([self.kind, vars(track)]).encode()

    def restore(self, key: Hashable, state: bytes) -> None:
        """Go on with a run; one of another kind of smoothing, or of a model with other activities, begins anew."""
        self._tracks.pop(key, None)
        if not state:
            return
        kind, values = json.loads(state)
        alike = all(len(row) == len(self._prior) for row in values["fits"])
        if kind == self.kind and alike and max(values["current"], values["other"]) < len(self._prior):
            values["waiting"] = [(int(start), bool(absent)) for start, absent in values["waiting"]]
            self._tracks[key] = _Track(**values)

    @property
    def runs(self) -> list[Hashable]:
        """The keys of the runs in progress."""
        return list(self._tracks)

    def _take(self, track: _Track, starts_us: Sequence[int], answers: Answers, first: int, end: int) -> list[Smoothed]:
        if first == end:
            return []
        evidence = answers.is_evidence[first:end].tolist()
        indices = answers.best[first:end].tolist()
        starts = [int(start) for start in starts_us[first:end]]
        track.last_us = starts[-1]
        if self.kind == "duration":
            found: list[Smoothed] = []
            for start, index, counts in zip(starts, indices, evidence, strict=True):
                found += self._last(track, start, index, counts)
            return found
        rows = answers.probabilities[first:end].tolist()
        for start, index, counts, row in zip(starts, indices, evidence, rows, strict=True):
            fit = self._fit(row) if counts else [1.0] * len(row)
            before = self._after(track.filtered[-1]) if track.filtered else self._prior
            joint = [value * share for value, share in zip(fit, before, strict=True)]
            total = sum(joint)
            track.filtered.append([value / total for value in joint])
            track.fits.append(fit)
            track.waiting.append((start, index < 0))
        return self._ready(track, len(track.waiting) - LAG)

    def _fit(self, row: list[float]) -> list[float]:
        """How well each activity fits a window, the best one 1."""
        even = DOUBT / len(row)
        ratios = [((1 - DOUBT) * value + even) / share for value, share in zip(row, self._prior, strict=True)]
        best = max(ratios)
        return [math.pow(ratio / best, self._power) for ratio in ratios]

    def _after(self, now: list[float]) -> list[float]:
        """Probabilities a step later, before its window is known."""
        return [_sum_of_products(now, column) for column in self._into]

    def _ready(self, track: _Track, count: int) -> list[Smoothed]:
        """Answer the first `count` waiting windows by the `LAG` ones after each."""
        if count <= 0:
            return []
        found = [
            (start, NO_SIGNAL if absent else self._activities[index])
            for (start, absent), index in zip(
                track.waiting[:count], self._decide(track.filtered, track.fits, count), strict=True
            )
        ]
        del track.waiting[:count], track.filtered[:count], track.fits[:count]
        return found

    def _decide(self, filtered: list[list[float]], fits: list[list[float]], count: int) -> list[int]:
        if count == 1:
            return [_largest(self._posterior(filtered[0], fits[1 : LAG + 1]))]
        past, future = np.array(filtered).T, np.array(fits).T
        columns = [list(future[:, later : later + count]) for later in range(1, LAG + 1)]
        posterior = self._posterior(list(past[:, :count]), columns)
        decided: list[int] = np.stack(posterior).argmax(axis=0).tolist()
        return decided

    def _posterior(self, filtered: list[_Values], later: Sequence[list[_Values]]) -> list[_Values]:
        """Proportional to each activity's probability given the windows up to one and those after it."""
        behind: list[_Values] | None = None
        for fit in reversed(later):
            weighed = fit if behind is None else [a * b for a, b in zip(fit, behind, strict=True)]
            behind = [_sum_of_products(row, weighed) for row in self._steps]
        return filtered if behind is None else [a * b for a, b in zip(filtered, behind, strict=True)]

    def _finish(self, track: _Track) -> list[Smoothed]:
        if self.kind == "duration":
            return self._settle(track)
        found = []
        for row, (start, absent) in enumerate(track.waiting):
            index = _largest(self._posterior(track.filtered[row], track.fits[row + 1 :]))
            found.append((start, NO_SIGNAL if absent else self._activities[index]))
        return found

    def _last(self, track: _Track, start: int, index: int, counts: bool) -> list[Smoothed]:
        """One window, by `duration`."""
        if counts and track.current < 0:
            track.current = index
        if counts and index == track.current:
            settled = self._settle(track)
            return [*settled, (start, self._activities[index])]
        if counts and index != track.other:
            settled = self._settle(track)
            track.other, track.lasted, track.waiting = index, 1, [(start, False)]
        else:
            settled = []
            track.lasted += counts
            track.waiting.append((start, index < 0))
        if track.other < 0:
            return [*settled, *self._settle(track, otherwise=index)]
        if len(track.waiting) < self._least[track.other]:
            return settled
        # Windows that are no evidence do not prolong the delay: they count towards neither.
        if track.lasted >= self._least[track.other]:
            track.current = track.other
        return [*settled, *self._settle(track)]

    def _settle(self, track: _Track, *, otherwise: int = -1) -> list[Smoothed]:
        """Give all waiting windows the activity that counts; `otherwise`: where none does yet."""
        index = track.current if track.current >= 0 else otherwise
        found = [
            (start, NO_SIGNAL if absent or index < 0 else self._activities[index]) for start, absent in track.waiting
        ]
        track.waiting, track.other, track.lasted = [], -1, 0
        return found


class Smoothing:
    """Smooths whole segments at once: for the nightly job, by the code of the stream."""

    def __init__(self, smoother: Smoother) -> None:
        self._smoother = smoother

    def __call__(self, starts_us: NDArray[np.int64], segments: NDArray[np.integer], answers: Answers) -> list[str]:
        """The smoothed activity of each window, (N,).

        Args:
            starts_us: int64 (N,), start of each window, µs, increasing within a segment.
            segments: (N,), the segment of each window; those of a segment follow one another.
            answers: to the windows.
        """
        found: list[Smoothed] = []
        edges = np.flatnonzero(np.diff(segments)) + 1
        for rows in np.split(np.arange(len(segments)), edges) if len(segments) else []:
            found += self._smoother.push("", starts_us[rows].tolist(), answers.rows(rows))
            found += self._smoother.flush("")
        return [activity for _, activity in found]


def _sum_of_products(one: Sequence[_Values], other: Sequence[_Values]) -> _Values:
    """Σ one·other, always in this order: a library's sum may group otherwise for another number of windows."""
    total = one[0] * other[0]
    for a, b in zip(one[1:], other[1:], strict=True):
        total = total + a * b
    return total


def _largest(values: list[float]) -> int:
    return max(range(len(values)), key=values.__getitem__)
