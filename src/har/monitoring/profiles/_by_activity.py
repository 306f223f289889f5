"""Counts of some windows' features in bins, by predicted activity: how one day is compared with others of its mix.

A profile's sketches hold all activities together, and a day with more walking would look like drift of a subject who
walks more on that day. Counts in bins that are known beforehand are a tenth of a profile's bytes, and cost a fraction
of its time, which a sketch per activity would multiply.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from har.errors import MonitoringError

MOST_WINDOWS = 1024
"""Of more windows every second, third … is counted: neighbours are alike, and alarm levels are not learned for more."""


@dataclass(frozen=True, eq=False)
class ByActivity:
    """Some windows' features, counted.

    Attributes:
        activities: those that were predicted, sorted, K.
        edges_id: of the bins' edges, see `Bins.id`; only counts of the same edges can be compared.
        counts: windows per activity, feature and bin, int64 (K, F, B); values that are not finite are left out.
        sums: sums of the finite values, float64 (K, F).
    """

    activities: tuple[str, ...]
    edges_id: str
    counts: NDArray[np.int64]
    sums: NDArray[np.float64]

    @property
    def windows(self) -> int:
        """How many were counted."""
        return int(self.counts.sum(-1).max(1, initial=0).sum())

    def to_bytes(self) -> bytes:
        """A line of JSON, then counts and sums, little-endian. The lake's table compresses it."""
        head = {"activities": self.activities, "edges": self.edges_id, "shape": self.counts.shape}
        return b"\n".join(
            [json.dumps(head).encode(), self.counts.astype("<u4").tobytes() + self.sums.astype("<f8").tobytes()]
        )

    @classmethod
    def from_bytes(cls, content: bytes, *, where: str) -> ByActivity:
        """Read what `to_bytes` wrote.

        Raises:
            MonitoringError: it did not write this.
        """
        try:
            line, _, values = content.partition(b"\n")
            head = json.loads(line)
            activities, features, bins = map(int, head["shape"])
            cells = activities * features * bins
            if len(values) != 4 * cells + 8 * activities * features or len(head["activities"]) != activities:
                raise ValueError(f"{len(values)} bytes for the shape {head['shape']}")
            counts = np.frombuffer(values, "<u4", cells).astype(np.int64)
            sums = np.frombuffer(values, "<f8", activities * features, 4 * cells).astype(np.float64)
            names = tuple(map(str, head["activities"]))
            return cls(
                names,
                str(head["edges"]),
                counts.reshape(activities, features, bins),
                sums.reshape(activities, features),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise MonitoringError(
                where=where,
                expected="counts by activity as this version writes them",
                got=f"{type(error).__name__}: {error}",
                remedy="Score the day again: har score --rescore.",
            ) from error

    def on(self, activities: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Counts (K, F, B) and sums (K, F) in the order of these activities; others are left out."""
        counts = np.zeros((len(activities), *self.counts.shape[1:]), np.int64)
        sums = np.zeros((len(activities), self.counts.shape[1]))
        for row, name in enumerate(self.activities):
            if name in activities:
                place = activities.index(name)
                counts[place], sums[place] = self.counts[row], self.sums[row]
        return counts, sums


class Bins:
    """Bins of some features, whose windows are counted.

    Attributes:
        features: F names.
        id: identifies features and edges: equal ones have the same.

    Args:
        features: F names.
        edges: where each feature is cut, float64 (F, B - 1), increasing; a bin holds what lies above its lower edge, up
            to the upper one.
    """

    def __init__(self, features: Sequence[str], edges: NDArray[np.float64]) -> None:
        self.features = tuple(features)
        cuts = edges.astype(np.float32)
        # The largest float32 that is not above the edge: a float32 is above the one exactly if it is above the other.
        self._cuts = np.where(cuts > edges, np.nextafter(cuts, np.float32(-np.inf)), cuts)
        self.id = hashlib.sha256(json.dumps(self.features).encode() + edges.astype("<f8").tobytes()).hexdigest()[:16]

    def count(
        self, features: NDArray[np.float32], answers: NDArray[np.integer], activities: Sequence[str]
    ) -> ByActivity:
        """Count N windows, or every second, third … so that they are at most `MOST_WINDOWS`.

        Args:
            features: float32 (N, F).
            answers: per window the place of its predicted activity in `activities`.
            activities: K names, sorted.
        """
        step = -(-len(features) // MOST_WINDOWS) or 1
        values, answers = np.ascontiguousarray(features[::step].T), answers[::step].astype(np.int64)
        columns, bins = len(self._cuts), self._cuts.shape[1] + 1
        code = np.zeros(values.shape, np.uint8)
        for cut in self._cuts.T:
            code += values > cut[:, None]
        places = answers * (columns * bins) + np.arange(0, columns * bins, bins)[:, None] + code
        finite = np.isfinite(values)
        if not finite.all():
            places, values = places[finite], np.where(finite, values, np.float32(0))
        counts = np.bincount(places.ravel(), minlength=len(activities) * columns * bins)
        there = np.unique(answers)
        sums = [values[:, answers == place].sum(1, dtype=np.float64) for place in there]
        return ByActivity(
            tuple(activities[place] for place in there),
            self.id,
            counts.reshape(len(activities), columns, bins)[there],
            np.array(sums).reshape(len(there), columns),
        )
