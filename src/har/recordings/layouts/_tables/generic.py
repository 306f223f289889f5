"""What the layouts `csv` and `parquet` share: recordings from the rows of a table, which are read block by block."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from har.errors import EmptyRecordingError, MissingColumnError, RecordingTimeError
from har.recordings.layouts._align import on_stamps_of
from har.recordings.layouts._clocks import Track, on_one_clock
from har.recordings.layouts._layout import Clock, RawRecording, Signal, Source, sample_times
from har.recordings.layouts._sessions import session_bounds, session_name
from har.recordings.layouts._tables.clock import Stamps
from har.recordings.layouts._tables.columns import Columns
from har.recordings.layouts._tables.spool import Spool
from har.recordings.layouts._tables.text import Rows

_MARGIN_S = 10.0
"""The gyroscope's samples up to so long before and after the accelerometer's are looked at: its clock may differ."""
Open = Callable[[Path, Sequence[str], Callable[[Sequence[str]], list[str]]], Iterable[Rows]]
"""Opens a table: its path, the columns of numbers, and a function from its header to further columns. Yields blocks."""


def recordings(path: Path, source: Source, mapping: Columns, read: Open) -> Iterator[RawRecording]:
    """One recording per subject, session, placement and device of a table, split where days or long pauses are.

    Rows keep the order of the file. The values stay on disk; each recording is loaded when it is asked for.

    Raises:
        RecordingError: the path does not match the pattern, a column does not exist, or a stamp is invalid.
    """
    defaults = {**mapping.from_path(path, source), **mapping.constants}
    with ExitStack() as stack:
        if mapping.apart is None or (not mapping.apart.gyroscope and len(mapping.sensors) < 2):
            main, other = _Table(path, source, mapping, read, tuple(mapping.sensors), stack), None
        else:
            partner = source.opens(mapping.apart.gyroscope_of(path))
            main = _Table(path, source, mapping, read, ("accelerometer",), stack)
            other = _Table(partner, source, mapping, read, ("gyroscope",), stack)
            if main.clock != other.clock:
                raise _two_clocks(path, partner)
            defaults = {"session": mapping.apart.session(path), **defaults}
        faults = main.faults + (other.faults if other else Counter())
        for known, rows in main.groups(defaults):
            _require_subject(known, path, mapping)
            bounds = session_bounds(main.times_us[rows], main.clock, source.settings.project.timezone)
            for number, (first, last) in enumerate(pairwise(bounds), 1):
                piece = slice(first, last) if isinstance(rows, slice) else rows[first:last]
                yield _recording(main, other, piece, known, number, faults)
                faults = Counter()  # count the file's faults once only


def _require_subject(known: dict[str, str], path: Path, mapping: Columns) -> None:
    if not known.get("subject", "").strip():
        raise MissingColumnError(
            where=str(path),
            expected=f"a subject in every row of the column {mapping.columns.get('subject')!r}",
            got="an empty field",
            remedy="Fill it, or delete those rows.",
        )


def _recording(
    main: _Table,
    other: _Table | None,
    rows: slice | NDArray[np.int64],
    known: dict[str, str],
    number: int,
    faults: Counter[str],
) -> RawRecording:
    times_us = main.times_us[rows]
    signals = {kind: Signal(spool.take(rows), main.unit(kind)) for kind, spool in main.spools.items()}
    labels: str | pl.Series | None = known.get("activity") or None
    notes = tuple(f"{count:,} {words}" for words, count in main.clock_faults.items())
    if main.labels is not None:
        labels = main.labels[rows].cast(pl.String)
    if other is not None:
        rotation, valid, words = other.rotation_at(times_us, signals["accelerometer"].values, main)
        if not valid.any():
            raise _no_overlap(main, other)
        times_us = times_us[valid]
        signals = {kind: Signal(signal.values[valid], signal.unit) for kind, signal in signals.items()}
        signals["gyroscope"] = Signal(rotation[valid], other.unit("gyroscope"))
        labels = labels.filter(pl.Series(valid)) if isinstance(labels, pl.Series) else labels
        faults = faults + Counter(
            {"samples without a matching sample of the other sensor, left out": int((~valid).sum())}
        )
        notes += (words,) if words else ()
    return RawRecording(
        where=str(main.path),
        subject=known["subject"],
        session=session_name(known.get("session") or main.path.stem, number),
        times_us=times_us,
        clock=main.clock,
        accelerometer=signals.get("accelerometer"),
        gyroscope=signals.get("gyroscope"),
        labels=labels,
        placement=known.get("placement") or "",
        device=known.get("device") or "",
        faults=faults,
        notes=notes,
    )


class _Table:
    """One table: its values on disk, its stamps, labels and fields in memory.

    Attributes:
        times_us: int64 (n,), µs.
        clock: what the stamps count.
        spools: the values by kind of sensor.
        labels: Categorical (n,), or None without a column of activities.
        faults: number of rows left out, by reason.
        clock_faults: number of stamps by what the changes of the zone's clock did to them.
    """

    def __init__(
        self, path: Path, source: Source, mapping: Columns, read: Open, kinds: Sequence[str], stack: ExitStack
    ) -> None:
        self.path = path
        self.source = source
        self.mapping = mapping
        self._stack = stack
        self.spools = {kind: stack.enter_context(Spool(3)) for kind in kinds}
        self.faults: Counter[str] = Counter()
        self.clock_faults: Counter[str] = Counter()
        self._header: Sequence[str] = ()
        texts: dict[str, list[pl.Series]] = {}
        numbers: list[NDArray[np.int64]] = []
        stamps = Stamps(str(path), mapping.clock, source.settings.project.timezone)
        for rows in read(path, mapping.channels(kinds), self._further):
            rows = self._add_stamps(rows, stamps)
            self.faults += rows.faults
            numbers.append(rows.numbers)
            for kind, spool in self.spools.items():
                spool.append(rows.xyz(mapping.sensors[kind]))
            for name, column in mapping.fields(self._header).items():
                text = rows.frame[column].cast(pl.String).cast(pl.Categorical)
                texts.setdefault(name, []).append(text)
        self.times_us, self.clock = self._times(stamps, numbers)
        columns = {name: pl.concat(parts) for name, parts in texts.items()}
        if self.clock == "utc" and mapping.time and (zero := self.times_us == 0).any():
            columns = self._drop_zero(zero, columns)
        self.labels = columns.pop("activity", None) if "activity" not in mapping.constants else None
        columns.pop("activity", None)
        self._keys = pl.DataFrame({name: column for name, column in columns.items() if name not in mapping.constants})
        if not len(self.times_us):
            raise EmptyRecordingError(
                where=str(path), expected="samples", got="no complete row", remedy="Export it again."
            )

    def unit(self, kind: str) -> str:
        """The unit that har.toml gives; `--unit` names another."""
        unit: str = getattr(self.source.settings.sensors, kind).unit
        return unit

    def groups(self, defaults: dict[str, str]) -> Iterator[tuple[dict[str, str], slice | NDArray[np.int64]]]:
        """The fields and rows of each recording, in the order of the file."""
        if not self._keys.width:
            yield defaults, slice(0, len(self.times_us))
            return
        numbered = self._keys.with_row_index("\0row").group_by(self._keys.columns, maintain_order=True)
        for values, group in numbered:
            texts = ["" if value is None else str(value) for value in values]
            rows = group["\0row"].to_numpy().astype(np.int64)
            yield {**defaults, **dict(zip(self._keys.columns, texts, strict=True))}, rows

    def rotation_at(
        self, times_us: NDArray[np.int64], acceleration: NDArray[np.floating], main: _Table
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_], str]:
        """The gyroscope's values at the stamps of the other sensor, where they are valid, and what was done to clocks.

        Raises:
            RecordingTimeError: the clocks are further apart than the option max-offset, or har.toml, allows.
        """
        max_gap_s, largest_s = self.source.settings.recordings.max_gap_s, self.mapping.max_offset_s
        order = np.argsort(times_us, kind="stable")
        margin = round((max_gap_s + max(largest_s, _MARGIN_S)) * 1e6)
        rows = np.flatnonzero((self.times_us >= times_us.min() - margin) & (self.times_us <= times_us.max() + margin))
        rows = rows[np.argsort(self.times_us[rows], kind="stable")]
        stamps, rotation = self.times_us[rows], self.spools["gyroscope"].take(rows)
        stamps, words = on_one_clock(
            Track(times_us[order], acceleration[order]),
            Track(stamps, rotation),
            largest_s=largest_s,
            where=str(main.path),
            other=self.path.name,
        )
        values, valid = np.empty((len(times_us), 3)), np.empty(len(times_us), np.bool_)
        values[order], valid[order] = on_stamps_of(times_us[order], stamps, rotation, max_gap_s)
        return values, valid, words

    def _further(self, header: Sequence[str]) -> list[str]:
        self._header = header
        return [*self.mapping.times(header), *self.mapping.fields(header).values()]

    def _add_stamps(self, rows: Rows, stamps: Stamps) -> Rows:
        columns = self.mapping.times(self._header)
        if not columns:
            return rows
        for name in columns:
            rows = rows.keep(rows.frame[name].is_not_null().to_numpy(), "rows without a stamp")
        text = rows.frame[columns[0]]
        if len(columns) > 1:
            text = rows.frame.select(pl.concat_str(pl.col(columns).cast(pl.String), separator=" ")).to_series()
        stamps.add(text, rows.numbers + rows.first_line)
        return rows

    def _times(self, stamps: Stamps, numbers: list[NDArray[np.int64]]) -> tuple[NDArray[np.int64], Clock]:
        if self.mapping.time:
            times, clock = stamps.result()
            self.faults += stamps.faults
            self.clock_faults = stamps.faults
            return times, clock
        return sample_times(np.concatenate(numbers), self.mapping.rate_hz), "counted"

    def _drop_zero(self, zero: NDArray[np.bool_], columns: dict[str, pl.Series]) -> dict[str, pl.Series]:
        """Leave out rows whose stamp is zero in a file of dates: the device had no time for them."""
        kept = np.flatnonzero(~zero)
        self.faults += Counter({"rows with a zero stamp": int(zero.sum())})
        self.times_us = self.times_us[kept]
        for kind, spool in self.spools.items():
            self.spools[kind] = self._stack.enter_context(Spool(3))
            for part in np.array_split(kept, max(1, len(kept) // 100_000)):
                self.spools[kind].append(spool.take(part))
        return {name: column[kept] for name, column in columns.items()}


def _two_clocks(path: Path, other: Path) -> RecordingTimeError:
    return RecordingTimeError(
        where=str(path),
        expected=f"stamps of the same kind as in {other.name}",
        got="dates in one file, counts from an unknown start in the other",
        remedy="Name a column of stamps that both files have, with -o time=….",
    )


def _no_overlap(main: _Table, other: _Table) -> RecordingTimeError:
    return RecordingTimeError(
        where=str(main.path),
        expected=f"samples of {other.path.name} at the same time",
        got="none: the files cover different times",
        remedy="Check that both files are of one recording, and the options time and time-unit.",
    )
