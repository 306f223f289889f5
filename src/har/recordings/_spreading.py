"""Give rows that share a stamp times of their own: samples of a packet, and stamps of whole seconds or tenths.

Rows of one stamp are samples of a packet, or of a device whose stamps are coarse. They were taken at a steady rate, so
the number of rows since a stamp tells the time. No value is changed, no row is added, and rows keep their order.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NoReturn

import numpy as np
import polars as pl
from numpy.typing import NDArray

from har.errors import RecordingTimeError
from har.recordings._table import Parsed

MOST_DROPPED = 0.02
"""Share of the rows that may be dropped because their stamp has no room for them; with more, the file is refused."""

_LONGEST_S = 60.0  # rows of one stamp may cover a minute
_EXACT_S = 2.0  # where they cover more than this, their number must agree with the rate
_TIGHT, _LOOSE = 0.6, 1.25  # a stamp's rows may be this much closer or wider than the rate says
_LOOKED_AT = 100_000  # rows tell whether they come from one source
_SMOOTH = 15  # stamps in the median that removes the jitter of a transmission
_NEAR = 0.05  # a measured rate this close to the nominal one is the nominal one
_BURST = 0.2  # samples closer than this share of the mean interval were stamped when they arrived, not when taken
_TWO_SOURCES = "Two devices or sensors were written into one file: write one file for each."
_GRIDS_US = (60_000_000, 10_000_000, 1_000_000, 100_000, 10_000)


@dataclass(frozen=True)
class Spread:
    """Rows with times of their own.

    Attributes:
        kept: int64 (n,), which of the given rows are kept.
        times: int64 (n,), their times in µs, strictly increasing.
        duplicates: rows dropped because the row before has the same stamp and content.
        duplicate_stamps: rows dropped because there is no room for them at their stamp.
        moved: kept rows that shared a stamp.
        note: what was done, "" if nothing.
    """

    kept: NDArray[np.int64]
    times: NDArray[np.int64]
    duplicates: int = 0
    duplicate_stamps: int = 0
    moved: int = 0
    note: str = ""


@dataclass(frozen=True)
class _Groups:
    """Rows by stamp: int64 (G,) the first row of each, the number of rows, and the stamp in µs."""

    first: NDArray[np.int64]
    sizes: NDArray[np.int64]
    stamps: NDArray[np.float64]

    @classmethod
    def of(cls, times: NDArray[np.int64], apart_us: float) -> _Groups:
        first = np.append(0, np.flatnonzero(np.diff(times) >= max(apart_us, 1)) + 1)
        return cls(first, np.diff(np.append(first, len(times))), times[first].astype(np.float64))

    @property
    def row(self) -> NDArray[np.int64]:
        """Each row's group, (n,)."""
        return np.repeat(np.arange(len(self.first)), self.sizes)


def spread(
    parsed: Parsed,
    rows: NDArray[np.int64],
    times: NDArray[np.int64],
    values: NDArray[np.float32],
    labels: NDArray[np.int16],
    *,
    nominal_hz: float,
    max_gap_s: float,
) -> Spread:
    """Spread rows of one stamp over the time that they cover.

    Args:
        parsed: the file, for messages.
        rows: (n,) the row of the file for each of the following.
        times: (n,) stamps in µs, sorted.
        values: (C, n), in the same order.
        labels: (n,), in the same order.
        nominal_hz: the project's rate.
        max_gap_s: the longest pause within a segment.

    Raises:
        RecordingTimeError: the stamps do not tell when the rows were taken.
    """
    count = len(times)
    apart_us = _burst_us(times, nominal_hz)
    if (np.diff(times) >= max(apart_us, 1)).all():
        return Spread(np.arange(count), times)
    groups = _Groups.of(times, apart_us)
    equal = np.append(False, (np.diff(values) == 0).all(axis=0) & (np.diff(labels) == 0))
    same = equal & np.append(False, np.diff(times) == 0)
    if _written_repeatedly(groups, same, float(equal[groups.first].mean()), nominal_hz):
        kept = np.flatnonzero(~same)
        duplicates = int(same.sum())
        if duplicates > count / 2:
            _refuse(parsed, rows, groups, f"{count:,} rows of which {duplicates:,} repeat the previous one")
        fewer = times[kept], values[:, kept], labels[kept]
        rest = spread(parsed, rows[kept], *fewer, nominal_hz=nominal_hz, max_gap_s=max_gap_s)
        return replace(rest, kept=kept[rest.kept], duplicates=duplicates)  # the rest has no more repetitions
    return _spread(parsed, rows, values, same, groups, nominal_hz=nominal_hz, max_gap_s=max_gap_s)


def _spread(
    parsed: Parsed,
    rows: NDArray[np.int64],
    values: NDArray[np.float32],
    same: NDArray[np.bool_],
    groups: _Groups,
    *,
    nominal_hz: float,
    max_gap_s: float,
) -> Spread:
    count = len(same)
    rate = _rate(groups, nominal_hz)
    if rate is None:
        _refuse(parsed, rows, groups, f"{count:,} rows with {_stamps(len(groups.first))}")
    covered_s = _refuse_coarse(parsed, rows, groups, rate)
    if covered_s <= _EXACT_S and abs(rate / nominal_hz - 1) < _NEAR:
        rate = nominal_hz  # lost samples make a measured rate too low
    step = 1e6 / rate
    packets = groups.sizes[groups.sizes > 1].sum() > count / 2
    if packets:
        _refuse_interleaved(parsed, rows, groups, values)
    placed = _at_a_steady_rate(parsed, rows, groups, step, max_gap_s) if packets else _between_stamps(groups, step)
    kept, spread_us = placed.rows(groups)
    if not packets and len(kept) < (1 - MOST_DROPPED) * count and groups.sizes.max() <= 3:
        # Stamps a little coarser than the interval: the few rows that share one have no room of their own.
        _refuse_foreign(parsed, rows, groups, values)
        placed = _at_a_steady_rate(parsed, rows, groups, step, max_gap_s)
        kept, spread_us = placed.rows(groups)

    is_dropped = np.ones(count, np.bool_)
    is_dropped[kept] = False
    duplicates = int((is_dropped & same).sum())
    dropped = int(is_dropped.sum()) - duplicates
    if is_dropped.sum() > MOST_DROPPED * count and dropped > 1:
        largest = int(groups.sizes[~placed.fits].max(initial=1))
        got = f"{dropped:,} of {count:,} rows too many for their stamps (up to {largest:,} rows with one stamp)"
        _refuse(parsed, rows, groups, got)
    moved = int(((groups.sizes > 1) & placed.fits)[groups.row[kept]].sum())
    return Spread(kept, spread_us, duplicates, dropped, moved, _note(groups, moved, rate))


@dataclass(frozen=True)
class _Placed:
    """Stamps' rows in time, each (G,): the first row's time, the step to the next in µs, and whether they have room."""

    starts: NDArray[np.float64]
    steps: NDArray[np.float64]
    fits: NDArray[np.bool_]

    def rows(self, groups: _Groups) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The rows that have room, and their times, strictly increasing."""
        row = groups.row
        place = np.arange(len(row)) - groups.first[row]
        times = np.round(self.starts[row] + place * np.where(self.fits, self.steps, 0)[row]).astype(np.int64)
        kept = np.flatnonzero(self.fits[row] | (place == 0))
        latest = np.maximum.accumulate(np.append(times[kept[0]] - 1, times[kept][:-1]))
        kept = kept[times[kept] > latest]
        return kept, times[kept]


def _at_a_steady_rate(
    parsed: Parsed, rows: NDArray[np.int64], groups: _Groups, step: float, max_gap_s: float
) -> _Placed:
    """Place rows by their number, and use the stamps to follow the device's clock and to find losses."""
    interval = 1e6 / (_rate(groups, 1e6 / step) or 1e6 / step)
    taken = _first_sample(groups, interval, step)
    starts = _smooth(groups, taken, interval)
    jitter_s = float(np.quantile(np.abs(starts - taken), 0.95)) / 1e6
    if jitter_s > max(max_gap_s, 2e-6 * step * float(np.median(groups.sizes))):
        _refuse(parsed, rows, groups, f"stamps that are {jitter_s:.2g} s from a steady rate of {1e6 / step:.4g} Hz")
    room = np.append(np.diff(starts), np.inf)
    needed = groups.sizes * step
    # The last stamp has room for as many rows as another one has.
    last = 1.5 * np.quantile(groups.sizes[:-1], 0.95) if len(room) > 1 else 0
    room[-1] = np.inf if groups.sizes[-1] <= max(last, 3) else 0
    slight = (needed - room <= max_gap_s * 1e6 / 4) & (room > needed / 8)
    fits = (room >= _TIGHT * needed) | slight | (groups.sizes == 1)
    return _Placed(starts, np.where(room < _LOOSE * needed, room / groups.sizes, step), fits)


def _between_stamps(groups: _Groups, step: float) -> _Placed:
    """Place rows of one stamp before the next stamp, or after the previous one if they were delayed."""
    room = np.append(np.diff(groups.stamps), step)
    needed = groups.sizes * step
    fits = (room >= _TIGHT * needed) | (groups.sizes == 1)
    steps = np.where(room < _LOOSE * needed, room / groups.sizes, step)
    ends = groups.stamps + (groups.sizes - 1) * np.where(fits, steps, 0)
    before = np.append(np.inf, groups.stamps[1:] - ends[:-1])
    delayed = ~fits & (needed <= _LOOSE * before)
    steps = np.where(delayed, np.where(before < _LOOSE * needed, before / groups.sizes, step), steps)
    return _Placed(groups.stamps - np.where(delayed, (groups.sizes - 1) * steps, 0), steps, fits | delayed)


def _burst_us(times: NDArray[np.int64], nominal_hz: float) -> float:
    """Samples closer than this, in µs, came in one transmission; 0 unless the file is full of such."""
    intervals = np.diff(times)
    # Pauses make the mean longer, so that this is more than the share below.
    if len(intervals) < 10 or (intervals < _BURST * intervals.mean()).mean() < 0.4:
        return 0.0
    longest = np.partition(intervals, -max(3, len(intervals) // 500))[-max(3, len(intervals) // 500)]
    mean = float(intervals[intervals <= 3 * longest].mean())
    close = intervals < _BURST * mean
    if close.mean() < 0.4:
        return 0.0
    groups = _Groups.of(times, _BURST * mean)
    ends = times[np.append(groups.first[1:], len(times)) - 1]
    short = (ends[:-1] - groups.stamps[:-1]) < np.diff(groups.stamps) / 2
    # Recordings of a few seconds with pauses between them have the nominal rate within.
    within = np.log(1e6 / max(float(np.median(intervals[close])), 1) / nominal_hz)
    return _BURST * mean if short.mean() > 0.95 and abs(np.log(1e6 / mean / nominal_hz)) < abs(within) else 0.0


def _written_repeatedly(groups: _Groups, same: NDArray[np.bool_], first_same: float, nominal_hz: float) -> bool:
    """Whether equal rows of a stamp are copies; otherwise they are samples of a sensor at rest, or switched off."""
    extra = int((groups.sizes - 1).sum())
    if same.sum() < 0.9 * extra:
        return False
    intervals = np.diff(groups.stamps)
    if not len(intervals) or (first_same < 0.5 and same.sum() > 0.99 * extra):
        return True
    per_stamp = 1e6 / float(np.median(intervals))
    rate = _rate(groups, nominal_hz) or per_stamp * float(np.median(groups.sizes))
    return bool(abs(np.log(per_stamp / nominal_hz)) <= abs(np.log(rate / nominal_hz)) + 0.05)


def _rate(groups: _Groups, nominal_hz: float) -> float | None:
    """Samples per second, lost ones not counted; None if there are too few stamps to tell."""
    intervals = np.diff(groups.stamps)
    if not len(intervals):
        return None
    rates = groups.sizes[:-1] / intervals * 1e6
    if len(intervals) < 5:
        # The first stamp may have begun before the recording, and the last one ended after it: the fullest one tells.
        if abs(groups.sizes.max() / intervals.min() * 1e6 / nominal_hz - 1) < 2 * _NEAR:
            return nominal_hz
        return float(rates.max()) if len(intervals) > 1 else None
    span = max(1, min(10, len(intervals) // 4))
    windows = (groups.first[span:] - groups.first[:-span]) / (groups.stamps[span:] - groups.stamps[:-span]) * 1e6
    middle = float(np.median(windows))
    usual = np.abs(rates / middle - 1) <= 0.25
    if usual.mean() < 0.8:
        return middle
    return float(groups.sizes[:-1][usual].sum() / intervals[usual].sum() * 1e6)


def _first_sample(groups: _Groups, interval: float, step: float) -> NDArray[np.float64]:
    """When the first row of each stamp was taken, in µs, before jitter is removed."""
    stamps = groups.stamps.copy()
    intervals = np.diff(stamps)
    if len(intervals) >= 10 and np.std(groups.sizes) > 0.1 * np.mean(groups.sizes):
        forward = np.abs(groups.sizes[:-1] * interval - intervals)
        backward = np.abs(groups.sizes[1:] * interval - intervals)
        if np.median(backward) < 0.7 * np.median(forward):  # stamped with the last sample
            return np.maximum.accumulate(stamps - (groups.sizes - 1) * interval)
    grid = next((grid for grid in _GRIDS_US if len(intervals) and (stamps % grid == 0).all()), 0)
    if grid and intervals.min() == grid:
        # After a pause, a coarse stamp begins before its first sample: its rows end at the next stamp.
        after_pause = np.append(np.inf, intervals) > 1.5 * grid
        covered = groups.sizes * step
        partial = after_pause & (np.append(intervals, np.inf) == grid) & (covered < 0.95 * grid)
        stamps += np.where(partial, grid - covered, 0)
    return stamps


def _smooth(groups: _Groups, starts: NDArray[np.float64], interval: float) -> NDArray[np.float64]:
    """Remove jitter: the median over some stamps of how far each is from a steady clock. Steps (losses) stay."""
    clock = groups.first * interval
    offsets = starts - clock
    half = _SMOOTH // 2
    if len(offsets) <= half:
        return starts
    mirrored = pl.Series(np.pad(offsets, half, mode="reflect"))
    smooth = mirrored.rolling_median(_SMOOTH)[_SMOOTH - 1 :].to_numpy()
    return np.asarray(clock + smooth, np.float64)


def _refuse_coarse(parsed: Parsed, rows: NDArray[np.int64], groups: _Groups, rate: float) -> float:
    """Refuse stamps too coarse to place rows by; returns the seconds that a stamp's rows cover."""
    covered_s = groups.sizes / rate
    typical = float(np.average(covered_s, weights=groups.sizes))
    if typical > _LONGEST_S:
        _refuse(parsed, rows, groups, f"stamps that change every {typical:,.0f} s only")
    intervals = np.diff(groups.stamps) / 1e6
    if float(np.median(covered_s)) > _EXACT_S:
        full = np.abs(intervals[1:] / covered_s[1:-1] - 1) <= _NEAR
        if len(full) < 2 or full.mean() < 0.9:
            got = f"stamps {np.median(intervals):g} s apart, too few or too unevenly filled to tell the rate"
            _refuse(parsed, rows, groups, got)
    return typical


def _refuse_interleaved(parsed: Parsed, rows: NDArray[np.int64], groups: _Groups, values: NDArray[np.float32]) -> None:
    """Refuse rows of two sources: each stamp has one row of each, which differ more than those of the next stamp."""
    each = int(np.median(groups.sizes))
    if not 2 <= each <= 4 or (groups.sizes == each).mean() < 0.9 or len(groups.sizes) < 20:
        return
    scaled = _scaled(values[:, :_LOOKED_AT])
    near = float((np.diff(scaled) ** 2).mean())
    far = float(((scaled[:, each:] - scaled[:, :-each]) ** 2).mean())
    if near > 2 * far:
        _refuse(parsed, rows, groups, f"{each} rows per stamp whose values jump to and fro", _TWO_SOURCES)


def _refuse_foreign(parsed: Parsed, rows: NDArray[np.int64], groups: _Groups, values: NDArray[np.float32]) -> None:
    """Refuse rows that differ from the row with their stamp far more than rows with other stamps do."""
    row = groups.row
    steps = (np.diff(_scaled(values)) ** 2).mean(axis=0)
    shared = np.diff(row) == 0
    usual = shared.copy()  # beside a foreign row, the step to the next stamp is foreign too
    usual[1:] |= shared[:-1]
    if not usual.all() and steps[shared].mean() > 4 * steps[~usual].mean():
        got = f"{int(shared.sum()):,} of {len(row):,} rows whose values differ from those of the same stamp"
        _refuse(parsed, rows, groups, got, _TWO_SOURCES)


def _scaled(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(values / np.maximum(values.std(axis=1, keepdims=True), 1e-6), np.float32)


def _stamps(count: int) -> str:
    return "one stamp" if count == 1 else f"{count:,} different stamps"


def _note(groups: _Groups, moved: int, rate: float) -> str:
    if not moved:
        return ""
    shared = groups.sizes[groups.sizes > 1]
    low, high = int(np.quantile(shared, 0.05)), int(np.quantile(shared, 0.95))
    each = f"{low}" if low == high else f"{low} to {high}"
    return f"rows share their stamp with others ({each} per stamp): they were spread over {rate:.4g} Hz"


def _refuse(parsed: Parsed, rows: NDArray[np.int64], groups: _Groups, got: str, remedy: str = "") -> NoReturn:
    row = int(rows[groups.first[int(np.argmax(groups.sizes))]])
    raise RecordingTimeError(
        where=parsed.at(row),
        expected="a stamp for every row, or for every few rows at a steady rate",
        got=got,
        remedy=remedy
        or "Export the stamps with milliseconds; if a spreadsheet saved the file and shortened them (1.71E+12), use "
        "the file as the device wrote it.",
        line=parsed.line(row),
    )
