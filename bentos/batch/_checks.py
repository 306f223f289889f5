"""Check samples row by row and add their segment; samples that a model cannot score are refused by row and column."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

import numpy as np
import polars as pl
from numpy.typing import NDArray

from har.errors import (
    EmptyRecordingError,
    HarError,
    MalformedRowError,
    NonFiniteError,
    RangeError,
    RecordingError,
    RecordingTimeError,
)
from har.plausibility import RANGE_SLACK, RATE_TOLERANCE
from har.settings import Settings

_SESSION = ("date", "subject", "session")
_FIRST_US, _END_US = 0, 7_258_118_400_000_000
"""The stamps of 1970 to 2199, as the online service takes them; beyond year 9999 no date could be told."""


class Checks:
    """Checks one input batch by batch.

    The rows of a session must be consecutive and in order of time; sessions may come in any order. Between batches, the
    last row and the names of the sessions so far are kept.
    """

    def __init__(self, settings: Settings, *, of: str = "") -> None:
        """Start at row 1.

        Args:
            settings: channels, their full scale, rate, window length and `recordings.max_gap_s`.
            of: what messages call the part of the input that rows are counted in, such as " of date=…".
        """
        self._of = of
        self._channels = settings.sensors.channels
        self._limits = {channel: RANGE_SLACK * limit for channel, limit in settings.sensors.full_scales.items()}
        self._units = dict(zip(self._channels, settings.sensors.units, strict=True))
        self._rate_hz = settings.sensors.rate_hz
        self._length = settings.length
        self._max_gap_us = round(settings.recordings.max_gap_s * 1e6)
        self._rows = 0
        self._sessions: set[tuple[dt.date, str, str]] = set()
        self._last: pl.DataFrame | None = None
        self._run = (0, 0, 0)  # of the run that may continue: its number, first stamp in µs and samples

    def each(self, batches: Iterator[pl.DataFrame]) -> Iterator[pl.DataFrame]:
        """Yield every batch after checking it.

        Args:
            batches: the columns date, subject, session, time (µs, UTC), the channels (float32), perhaps segment.

        Raises:
            RecordingError: names the column and the one-based row.
        """
        for batch in batches:
            if len(batch):
                self._check_values(batch)
                yield self._in_order(batch)
                self._rows += len(batch)
        if not self._rows:
            raise EmptyRecordingError(
                where=f"samples{self._of}",
                expected="rows",
                got="a table without rows",
                remedy="Check the export, or the date that was asked for.",
            )
        self._check_rate(np.array([self._run[1]]), np.array([self._end_us]), np.array([self._run[2]]), np.array([-1]))

    def _check_values(self, batch: pl.DataFrame) -> None:
        for name in batch.columns:
            if name not in self._limits and batch[name].null_count():
                row = int(batch[name].is_null().arg_max() or 0)
                remedy = "Delete the row, or fill the column in."
                if name == "time":
                    remedy = "Delete the row; times of the hour around a clock change need a UTC offset."
                raise self._error(MalformedRowError, row, name, "a value", "none", remedy)
        times = batch["time"].to_physical().to_numpy()
        dated = (times >= _FIRST_US) & (times < _END_US)
        if not dated.all():
            row = int(np.argmin(dated))
            got = f"{times[row]} µs since 1970"
            raise self._error(RecordingTimeError, row, "time", "a time from 1970 to 2199", got, "Correct the stamp.")
        for name, limit in self._limits.items():
            values = batch[name].to_numpy()  # a null becomes NaN
            within = np.abs(values) <= limit
            if within.all():
                continue
            row = int(np.argmin(within))
            if np.isfinite(values[row]):
                raise self._error(
                    RangeError,
                    row,
                    name,
                    f"at most ±{limit:.4g} {self._units[name]}, the sensor's full scale",
                    f"{values[row]:g}",
                    f"Send {name} in {self._units[name]}, or set the sensor's full_scale in har.toml.",
                )
            got = "none" if batch[name][row] is None else str(values[row])
            raise self._error(NonFiniteError, row, name, "a finite number", got, "Delete the row: gaps are handled.")

    def _in_order(self, batch: pl.DataFrame) -> pl.DataFrame:
        given = "segment" in batch.columns
        keys = batch.select(*_SESSION, "time", *(("segment",) if given else ()))
        behind = 0 if self._last is None else 1
        joined = keys if self._last is None else pl.concat([self._last, keys])
        same = joined.select(pl.all_horizontal(pl.col(name) == pl.col(name).shift() for name in _SESSION))
        same_session = same.to_series().fill_null(False).to_numpy()
        times = joined["time"].to_physical().to_numpy()
        steps = np.diff(times, prepend=times[:1])
        self._check_time(joined, same_session, steps, behind)
        self._check_sessions(joined, same_session, behind)
        gaps = same_session & (steps > self._max_gap_us)
        if given:
            other = np.diff(joined["segment"].to_numpy(), prepend=joined["segment"][0]) != 0
            self._check_gaps(gaps & ~other, steps, behind)
            new = ~same_session | other
        else:
            new = ~same_session | gaps
        new[:behind] = False
        runs = self._run[0] + np.cumsum(new)
        self._follow_runs(times, np.flatnonzero(new), behind, int(runs[-1]))
        self._last = joined[-1:]
        return batch if given else batch.with_columns(pl.Series("segment", runs[behind:], pl.Int32))

    def _check_time(self, joined: pl.DataFrame, same: NDArray[np.bool_], steps: NDArray[np.int64], behind: int) -> None:
        wrong = same & (steps <= 0)
        if not wrong.any():
            return
        row = int(np.argmax(wrong))
        before, stamp = (joined["time"][at].isoformat() for at in (row - 1, row))
        what = "the same time again" if steps[row] == 0 else f"{stamp}, earlier by {-steps[row] / 1e6:g} s"
        raise self._error(
            RecordingTimeError,
            row - behind,
            "time",
            f"a stamp after {before} within a session",
            what,
            "Sort the rows by subject, session and time, keep one of each stamp, and name each device's session.",
        )

    def _check_sessions(self, joined: pl.DataFrame, same: NDArray[np.bool_], behind: int) -> None:
        for row in np.flatnonzero(~same[behind:]).tolist():
            key = joined.row(row + behind)[: len(_SESSION)]
            if key in self._sessions:
                raise self._error(
                    RecordingTimeError,
                    row,
                    "session",
                    "all rows of a session one after the other",
                    f"subject {key[1]!r}, session {key[2]!r} of {key[0]} again, after other rows",
                    "Sort the rows by subject, session and time.",
                )
            self._sessions.add(key)

    def _check_gaps(self, wrong: NDArray[np.bool_], steps: NDArray[np.int64], behind: int) -> None:
        if wrong.any():
            row = int(np.argmax(wrong))
            raise self._error(
                RecordingTimeError,
                row - behind,
                "segment",
                f"another segment after a pause of more than {self._max_gap_us / 1e6:g} s",
                f"the same one after {steps[row] / 1e6:g} s",
                "Leave the column segment out: it then follows from the pauses.",
            )

    def _follow_runs(self, times: NDArray[np.int64], starts: NDArray[np.int64], behind: int, number: int) -> None:
        """Check the rate of the runs that end here, and remember the open one; `times` starts in the open run."""
        bounds = np.concatenate([[0] if behind else [], starts, [len(times)]]).astype(np.int64)
        first, last, counts = times[bounds[:-1]], times[bounds[1:] - 1], np.diff(bounds)
        if behind:
            first[0], counts[0] = self._run[1], self._run[2] + counts[0] - 1
        self._check_rate(first[:-1], last[:-1], counts[:-1], bounds[:-2] - behind)
        self._run = number, int(first[-1]), int(counts[-1])
        self._end_us = int(last[-1])

    def _check_rate(
        self,
        first: NDArray[np.int64],
        last: NDArray[np.int64],
        counts: NDArray[np.int64],
        rows: NDArray[np.int64],
    ) -> None:
        """Refuse runs at another rate, whose windows would span another time than those the model was trained on.

        Segments of the lake are within 1 % of the rate; the tolerance of 2 % allows for inaccurate clocks.
        """
        interval = 1e6 / self._rate_hz
        span = last - first
        wrong = np.abs(span - (counts - 1) * interval) > np.maximum(RATE_TOLERANCE * span, interval)
        wrong &= counts >= self._length
        if wrong.any():
            run = int(np.argmax(wrong))
            raise self._error(
                RecordingTimeError,
                int(rows[run]),
                "time",
                f"samples at {self._rate_hz:g} Hz",
                f"{1e6 * (counts[run] - 1) / span[run]:.4g} Hz over {span[run] / 1e6:g} s",
                "Resample the recording; `har ingest` does it for files in the inbox.",
            )

    def _error(
        self, kind: type[RecordingError], row: int, column: str, expected: str, got: str, remedy: str
    ) -> HarError:
        line = self._rows + row + 1
        return kind(where=f"{column}, row {line}{self._of}", expected=expected, got=got, remedy=remedy, line=line)
