"""Compare the clocks of an accelerometer and a gyroscope that recorded one movement in files of their own.

In: both sensors' stamps and values. Out: how far the gyroscope's clock is ahead, and its stamps on the accelerometer's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from har.errors import RecordingTimeError

SAME_S = 0.1
"""Clocks this close count as one: the comparison is not finer, and a window of seconds does not notice."""

UNCOMPARED = "the clocks of the two sensors were not compared: too short, or too little movement"

_GRID_HZ = 50.0
_SMOOTH = 5
"""Samples of the grid over which jerk and angular acceleration are averaged."""
_FLOOR = 0.05
_WINDOW_S = 60.0
_SHORTEST_S = 20.0
_LEAST_SEARCH_S = 1.0
_SEARCH_S = (10.0, 120.0)
"""The search goes to four times the setting, within these limits."""
_WINDOWS = 24
_CANDIDATES = 4
_AGREES = 0.6
_BETTER = 0.1
_DRIFT = 1e-4
"""Crystals differ by less than 100 parts per million."""
_DRIFT_FROM_S = 1800.0
_DRIFT_STEP_S = 0.05


@dataclass(frozen=True, eq=False)
class Track:
    """One sensor's samples.

    Attributes:
        times_us: int64 (n,), increasing.
        values: (n, 3), in any unit.
    """

    times_us: NDArray[np.int64]
    values: NDArray[np.floating]


@dataclass(frozen=True)
class ClockOffset:
    """How far the gyroscope's clock is ahead of the accelerometer's: `seconds` + `drift` · (time - `middle_us`).

    Attributes:
        seconds: at `middle_us`.
        drift: seconds per second; 0 for recordings of less than half an hour.
        middle_us: µs.
        largest_s: the largest distance within the recording.
        agreement: mean correlation of the two movements at this offset, and …
        unmoved: … with the stamps as they are.
    """

    seconds: float
    drift: float
    middle_us: int
    largest_s: float
    agreement: float
    unmoved: float

    @property
    def clear(self) -> bool:
        """Whether the movements agree at this offset, and better than with the stamps as they are."""
        return self.agreement >= _AGREES and self.agreement >= self.unmoved + _BETTER

    def corrected(self, stamps_us: NDArray[np.int64]) -> NDArray[np.int64]:
        """The gyroscope's stamps on the accelerometer's clock."""
        ahead = self.seconds + self.drift * (stamps_us - self.middle_us) / 1e6
        return stamps_us - np.round(1e6 * ahead).astype(np.int64)


def clock_offset(acceleration: Track, rotation: Track, search_s: float) -> ClockOffset | None:
    """Measure the offset of the two clocks by cross-correlation; None: the recording is too short, or nothing moves.

    What jerks a sensor also turns it faster or slower: the logarithms of |da/dt| and |dω/dt|, averaged over a tenth of
    a second, rise and fall together, in whichever units and however the two sensors are mounted. They are correlated in
    up to 24 windows of a minute with much movement; the offset, and in recordings of half an hour or more its drift,
    is where the mean correlation is highest.

    Args:
        acceleration: of the accelerometer.
        rotation: of the gyroscope.
        search_s: the largest offset that is looked for.
    """
    ends = [(float(one.times_us[0]), float(one.times_us[-1])) for one in (acceleration, rotation) if len(one.times_us)]
    if len(ends) < 2:
        return None
    first, last = max(start for start, _ in ends) / 1e6, min(end for _, end in ends) / 1e6
    length = min(_WINDOW_S, max(_SHORTEST_S, (last - first) / 2))
    search = min(search_s, (last - first - length) / 2)
    if search < _LEAST_SEARCH_S:
        return None
    starts = _starts(acceleration, first + search, last - search - length, length)
    found = [
        (start + length / 2, curve)
        for start in starts
        if (curve := _curve(acceleration, rotation, start, length, search)) is not None
    ]
    if not found:
        return None
    centres, curves = np.array([centre for centre, _ in found]), np.array([curve for _, curve in found])
    return _best(centres, curves, (first, last), search)


def on_one_clock(
    acceleration: Track,
    rotation: Track,
    *,
    largest_s: float,
    where: str,
    other: str,
) -> tuple[NDArray[np.int64], str]:
    """The gyroscope's stamps on the accelerometer's clock, and what was done, in words; "": the clocks are the same.

    Args:
        acceleration: of the accelerometer.
        rotation: of the gyroscope.
        largest_s: the largest offset that is corrected; 0: both files' stamps are trusted, nothing is compared.
        where: the accelerometer's file, for messages.
        other: the gyroscope's.

    Raises:
        RecordingTimeError: the clocks are further apart.
    """
    if not largest_s:
        return rotation.times_us, ""
    search = min(max(4 * largest_s, _SEARCH_S[0]), max(_SEARCH_S[1], largest_s))
    found = clock_offset(acceleration, rotation, search)
    if found is None or max(found.agreement, found.unmoved) < _AGREES:
        return rotation.times_us, UNCOMPARED
    if not found.clear or found.largest_s <= SAME_S:
        return rotation.times_us, ""
    if found.largest_s > largest_s:
        raise RecordingTimeError(
            where=where,
            expected=f"clocks of the two sensors at most {largest_s:g} s apart (recordings.max_clock_offset_s)",
            got=f"movements that agree if the stamps of {other} are moved by {-found.seconds:+.2f} s "
            f"(correlation {found.agreement:.2f}, as stamped {found.unmoved:.2f})",
            remedy=f"If both files are of one recording, add -o max-offset={np.ceil(found.largest_s):.0f}; else "
            "correct accelerometer-file and gyroscope-file. -o max-offset=0 takes the stamps as they are.",
        )
    drift = f", and {1e6 * found.drift:+.0f} ppm of the time," if found.drift else ""
    return found.corrected(
        rotation.times_us
    ), f"the gyroscope was moved by {-found.seconds:+.2f} s{drift} to the accelerometer's clock"


def _starts(acceleration: Track, first: float, last: float, length: float) -> list[float]:
    """Where windows begin, in s: of a few places in each part of the recording the one with most movement."""
    places = np.linspace(first, last, max(1, min(_WINDOWS * _CANDIDATES, int((last - first) / length) + 1)))
    chosen = []
    for group in np.array_split(places, min(_WINDOWS, len(places))):
        moved = []
        for start in group:
            rows = slice(*np.searchsorted(acceleration.times_us, [start * 1e6, (start + length) * 1e6]).tolist())
            moved.append(
                float(acceleration.values[rows].std(axis=0).sum()) if rows.stop - rows.start > _SMOOTH else -1.0
            )
        if max(moved) > 0:
            chosen.append(float(group[int(np.argmax(moved))]))
    return chosen


def _curve(
    acceleration: Track, rotation: Track, start: float, length: float, search: float
) -> NDArray[np.float64] | None:
    """Correlation in one window by how far the gyroscope's clock is ahead, from -search to +search; None: stillness."""
    reach, count = round(search * _GRID_HZ), round(length * _GRID_HZ)
    one = _changes(acceleration, start, count)
    other = _changes(rotation, start - reach / _GRID_HZ, count + 2 * reach)
    one = one - one.mean()
    size = 1 << (len(other) + count).bit_length()
    product = np.fft.irfft(np.fft.rfft(other, size) * np.conj(np.fft.rfft(one, size)), size)[: 2 * reach + 1]
    sums, squares = (np.concatenate([[0], np.cumsum(values)]) for values in (other, np.square(other)))
    mean = (sums[count:] - sums[:-count]) / count
    variance = (squares[count:] - squares[:-count]) / count - np.square(mean)
    spread = one.std()
    if spread < 1e-6 or variance.max() < 1e-12:
        return None
    return np.asarray(product / count / spread / np.sqrt(np.maximum(variance, 1e-3 * variance.max())))


def _changes(track: Track, start: float, count: int) -> NDArray[np.float64]:
    """Logarithm of how fast a sensor's vector changes, on the grid from `start` on, (count,)."""
    grid = (start + np.arange(count) / _GRID_HZ) * 1e6
    low, high = np.searchsorted(track.times_us, [grid[0], grid[-1]])
    rows = slice(max(0, int(low) - 1), int(high) + 1)
    stamps = track.times_us[rows].astype(np.float64)
    vector = np.stack([np.interp(grid, stamps, track.values[rows, axis]) for axis in range(3)])
    speed = np.linalg.norm(np.gradient(vector, axis=1), axis=0)
    speed = np.convolve(speed, np.full(_SMOOTH, 1 / _SMOOTH), "same")
    return np.asarray(np.log(speed + _FLOOR * speed.mean() + 1e-12))


def _best(
    centres: NDArray[np.float64], curves: NDArray[np.float64], ends: tuple[float, float], search: float
) -> ClockOffset:
    """The offset and drift at which the mean of the curves is highest."""
    middle, reach = sum(ends) / 2, curves.shape[1] // 2
    half = (ends[1] - ends[0]) / 2
    drifts = np.zeros(1)
    if 2 * half >= _DRIFT_FROM_S and len(centres) > 2:
        steps = int(np.ceil(_DRIFT * half / _DRIFT_STEP_S))
        drifts = np.linspace(-_DRIFT, _DRIFT, 2 * steps + 1)
    lags = np.arange(-reach, reach + 1)
    best = (-np.inf, 0.0, 0)
    for drift in drifts.tolist():
        moved = np.round(drift * (centres - middle) * _GRID_HZ).astype(int)
        places = lags[:, None] + moved + reach
        inside = ((places >= 0) & (places <= 2 * reach)).all(axis=1)
        if not inside.any():
            continue
        mean = np.full(len(lags), -np.inf)
        mean[inside] = curves[np.arange(len(centres)), places[inside]].mean(axis=1)
        top = int(np.argmax(mean))
        best = max(best, (float(mean[top]), -abs(drift), top), key=lambda one: one[:2])
        if best[1] == -abs(drift) and best[2] == top:
            chosen, peak = drift, mean
    top = best[2]
    seconds = (top - reach + _vertex(peak, top)) / _GRID_HZ
    largest = abs(seconds) + abs(chosen) * half
    return ClockOffset(seconds, chosen, round(1e6 * middle), largest, best[0], float(curves[:, reach].mean()))


def _vertex(curve: NDArray[np.float64], top: int) -> float:
    """How far the vertex of the parabola through a peak and its neighbours is from the peak, -0.5..0.5."""
    if not 0 < top < len(curve) - 1 or not np.isfinite(curve[top - 1 : top + 2]).all():
        return 0.0
    left, middle, right = curve[top - 1 : top + 2].tolist()
    bend = left - 2 * middle + right
    return 0.0 if bend >= 0 else 0.5 * (left - right) / bend
