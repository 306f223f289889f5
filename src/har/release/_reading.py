"""Follows the prediction log while a release runs: pairs what both versions said about the same windows.

Only what is new is read. The journal's files are kept open, so that `har collect`, which moves them away, takes nothing
from the release; what was collected before the reader began is read from the lake.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from har.journal import FEEDBACK, SHADOWS, WINDOWS, Entries, Reader
from har.lake import Lake
from har.log_lines import AUTHENTICATED
from har.plausibility import NO_SIGNAL
from har.release._paired import Paired
from har.release._tally import Answers, Tally
from har.schema import REJECTED, TIME

_BLOCK_BYTES = 4_000_000
_IDLE = 60
"""A file in which nothing came for so many calls is closed, and opened again when it has grown: a process may have only
so many open files."""
_WAIT_US = 120_000_000
"""A window waits so long for the other version's answer."""
_KEPT_WINDOWS = 2_000_000
"""Windows that feedback can still be about; older ones are forgotten."""

_ANSWER = {"activity": pl.String(), "confidence": pl.Float32()}
_SHADOW_COLUMNS = ("shadow_version", "shadow_activity", "shadow_confidence")
_KEY = ["request_id", "window"]
_WINDOWS = pl.Schema(
    {"request_id": pl.String(), "window": pl.Int32(), "subject": pl.String(), "start": TIME, "end": TIME}
    | {"received_at": TIME, "version": pl.Int32()}
    | _ANSWER
)
_SHADOWS = pl.Schema(
    {"request_id": pl.String(), "window": pl.Int32(), "received_at": TIME, "version": pl.Int32()} | _ANSWER
)
_KEPT = pl.Schema(
    {"key": pl.UInt64(), "code": pl.Int64(), "middle": TIME, "new": pl.Int64(), "former": pl.Int64()}
    | {"labelled": pl.Boolean()}
)


@dataclass
class _File:
    """A file of the journal: how much of it is read, the part of a line at its end, and how long nothing came."""

    descriptor: int | None
    read: int = 0
    rest: bytes = b""
    lines: int = 0
    idle: int = 0


@dataclass
class PairedReader:
    """The evidence that the prediction log holds about a release.

    Args:
        journal: folder of the log.
        activities: the project's, null class included.
        new, former: the two versions' numbers in the registry.
        since_us: when the release began, in microseconds since 1970.
        lake: where earlier lines were collected to; None: only the journal is read.
    """

    journal: Path
    activities: tuple[str, ...]
    new: int
    former: int
    since_us: int
    lake: Lake | None = None
    faults: int = field(default=0, init=False)
    """Lines that could not be read."""
    _files: dict[str, _File] = field(default_factory=dict, init=False)
    _opened: set[str] = field(default_factory=set, init=False)
    _windows: pl.DataFrame = field(default_factory=_WINDOWS.to_frame, init=False, repr=False)
    _shadows: pl.DataFrame = field(default_factory=_SHADOWS.to_frame, init=False, repr=False)
    _kept: pl.DataFrame = field(default_factory=_KEPT.to_frame, init=False, repr=False)
    _claims: pl.DataFrame = field(default_factory=FEEDBACK.to_frame, init=False, repr=False)
    _last_us: dict[str, int] = field(default_factory=dict, init=False)
    _began: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        names = (*self.activities, NO_SIGNAL)
        self._tally = Tally(names)
        self._codes = {name: code for code, name in enumerate(names)}

    def update(self) -> None:
        """Read what was written since the last call.

        Raises:
            LakeError: the lake cannot be read; only the first call reads it.
        """
        self._open_files()
        reader = Reader()
        for name in list(self._files):
            self._read_file(name, reader)
        new = reader.tables()
        if not self._began and self.lake is not None:
            # A file that is still written to may have been collected in part.
            known = _collected(self.lake, self.since_us)
            fresh = [
                frame.join(seen.select(key).unique(), on=key, how="anti")
                for frame, seen, key in zip(
                    (new.windows, new.shadows, new.feedback),
                    (known.windows, known.shadows, known.feedback),
                    ("request_id", "request_id", "feedback_id"),
                    strict=True,
                )
            ]
            self._take(known)
            new = Entries(*fresh)
        self._began = True
        self._take(new)

    def paired(self, *, step_us: int = 0) -> Paired:
        """The evidence so far.

        Args:
            step_us: when the present step began: its subjects are counted from then on.
        """
        return self._tally.paired(seen=sum(last >= step_us for last in self._last_us.values()))

    def close(self) -> None:
        """Close the files."""
        for file in self._files.values():
            if file.descriptor is not None:
                os.close(file.descriptor)
        self._files.clear()

    def _open_files(self) -> None:
        for path in sorted(self.journal.glob("[!.]*.jsonl")):
            known = self._files.get(path.name)
            if known is None and path.name in self._opened:
                continue
            try:
                if known is not None and (known.descriptor is not None or path.stat().st_size <= known.read):
                    continue
                descriptor = os.open(path, os.O_RDONLY)
            except FileNotFoundError:  # collected at this moment
                continue
            self._opened.add(path.name)
            file = self._files.setdefault(path.name, _File(None))
            file.descriptor, file.idle = descriptor, 0
            os.lseek(descriptor, file.read, os.SEEK_SET)

    def _read_file(self, name: str, reader: Reader) -> None:
        file = self._files[name]
        if file.descriptor is None:
            return
        file.idle += 1
        while content := os.read(file.descriptor, _BLOCK_BYTES):
            *lines, file.rest = (file.rest + content).split(b"\n")
            self.faults += len(reader.read(lines, first=file.lines + 1))
            file.lines += len(lines)
            file.read += len(content)
            file.idle = 0
        collected = os.fstat(file.descriptor).st_nlink == 0
        if collected or file.idle > _IDLE:
            os.close(file.descriptor)
            file.descriptor = None
        if collected:
            del self._files[name]

    def _take(self, entries: Entries) -> None:
        since = pl.lit(self.since_us).cast(TIME)
        recent = pl.col("received_at") >= since
        both = [self.new, self.former]
        windows = entries.windows.filter(recent & pl.col("fallback").is_null()).rename({"model_version": "version"})
        shadows = entries.shadows.rename({name: name.removeprefix("shadow_") for name in _SHADOW_COLUMNS})
        of_both = pl.col("version").is_in(both)
        windows = pl.concat([self._windows, windows.select(_WINDOWS.names()).filter(of_both)])
        shadows = pl.concat([self._shadows, shadows.filter(recent & of_both).select(_SHADOWS.names())])
        pairs = windows.join(shadows, on=_KEY, suffix="_2", maintain_order="left").filter(
            pl.col("version") != pl.col("version_2")
        )
        if len(pairs):
            self._add(pairs)
        self._windows, self._shadows = _waiting(windows, pairs), _waiting(shadows, pairs)
        trusted = entries.feedback.filter(recent & pl.col("source").fill_null("").str.contains(AUTHENTICATED))
        self._claims = pl.concat([self._claims, trusted])
        if len(self._claims):
            open_since = max(self._last_us.values(), default=0) - _WAIT_US
            unbound = self._claims.filter(~self._label(self._claims))
            self._claims = unbound.filter(pl.col("received_at") >= pl.lit(open_since).cast(TIME))

    def _add(self, pairs: pl.DataFrame) -> None:
        """Count windows that both versions answered; those without a signal had no model's answer."""
        names = list(self._codes)
        by_new = pl.col("version") == self.new
        known = pl.col("activity").is_in(names) & pl.col("activity_2").is_in(names)
        signal = (pl.col("activity") != NO_SIGNAL) & (pl.col("activity_2") != NO_SIGNAL)
        rows = pairs.filter(known & signal).with_columns(
            pl.col("activity", "activity_2").replace_strict(self._codes, return_dtype=pl.Int64)
        )
        if not len(rows):
            return
        for subject, last_us in rows.group_by("subject").agg(pl.col("received_at").max().to_physical()).iter_rows():
            self._last_us[subject] = max(self._last_us.get(subject, 0), last_us)
        codes = {subject: self._tally.code(subject) for subject in rows["subject"].unique(maintain_order=True)}
        columns = {
            "code": pl.col("subject").replace_strict(codes, return_dtype=pl.Int64),
            "new": pl.when(by_new).then("activity").otherwise("activity_2"),
            "former": pl.when(by_new).then("activity_2").otherwise("activity"),
            "sure": pl.when(by_new).then("confidence").otherwise("confidence_2"),
            "former_sure": pl.when(by_new).then("confidence_2").otherwise("confidence"),
            "key": pl.col("request_id").hash(),
            "middle": pl.col("start") + (pl.col("end") - pl.col("start")) / 2,
            "labelled": pl.lit(False),
        }
        rows = rows.select("request_id", **columns)
        values = {name: rows[name].to_numpy() for name in ("code", "new", "former", "sure", "former_sure")}
        self._tally.add(Answers(*values.values()), requests=rows["request_id"].n_unique())
        self._kept = pl.concat([self._kept, rows.select(_KEPT.names()).cast(_KEPT)]).tail(_KEPT_WINDOWS)

    def _label(self, claims: pl.DataFrame) -> pl.Series:
        """Bind claims of a true activity to windows that have none yet; which of the claims found some."""
        kept = self._kept.with_row_index("row")
        bound = []
        for claim in claims.iter_rows(named=True):
            if claim["request_id"] is not None:
                about = pl.col("key") == pl.Series([claim["request_id"]]).hash()[0]
            else:
                code = self._tally.known(claim["subject"])
                about = (pl.col("code") == code) & pl.col("middle").is_between(
                    claim["start"], claim["end"], closed="left"
                )
            rows = kept.filter(about & ~pl.col("labelled"))
            bound.append(len(rows) > 0)
            if len(rows):
                truth = self._codes.get(claim["activity"], -1)  # of an activity that neither version knows
                new, former = (rows[name].to_numpy() == truth for name in ("new", "former"))
                self._tally.label(rows["code"].to_numpy(), new, former)
                kept = kept.with_columns(pl.col("labelled") | pl.col("row").is_in(rows["row"].implode()))
        self._kept = kept.drop("row")
        return pl.Series(bound, dtype=pl.Boolean)


def _waiting(frame: pl.DataFrame, pairs: pl.DataFrame) -> pl.DataFrame:
    """Rows that were not paired yet, and are recent."""
    if not len(frame):
        return frame
    left = frame.join(pairs.select(_KEY), on=_KEY, how="anti")
    return left.filter(pl.col("received_at") >= frame["received_at"].max() - pl.duration(microseconds=_WAIT_US))


def _collected(lake: Lake, since_us: int) -> Entries:
    """What `har collect` has already moved to the lake."""
    since = pl.lit(since_us).cast(TIME)
    recent = pl.col("received_at") >= since
    requests = lake.requests.collect(lake.requests.scan().filter(recent).select(pl.exclude("features")))
    labels = lake.labels.collect(lake.labels.scan().filter(recent))
    feedback = labels.filter(pl.col("review").ne_missing(REJECTED)).select(FEEDBACK.names())
    if not len(requests):
        return Entries(WINDOWS.to_frame(), SHADOWS.to_frame(), feedback)
    asked = pl.col("request_id").is_not_null() & (pl.col("date") >= requests["date"].min())
    answers = lake.predictions.collect(lake.predictions.scan().filter(asked))
    rows = (
        requests.join(answers.drop("model_version"), on=["date", "subject", "request_id", "start"])
        .sort("received_at", "request_id", "start")
        .with_columns(pl.int_range(pl.len(), dtype=pl.Int32).over("request_id").alias("window"))
        .with_columns(pl.lit(None, WINDOWS["features"]).alias("features"))
    )
    shadows = rows.filter(pl.col("shadow_version").is_not_null()).select(SHADOWS.names())
    return Entries(rows.select(WINDOWS.names()), shadows, feedback)
