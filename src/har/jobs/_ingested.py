"""The files that are in the lake, and how new ones get there: samples first, then their rows in `recordings`."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from har.errors import ConflictingRecordingError, DuplicateRecordingError
from har.jobs._overlaps import Key, Trimmed, around
from har.lake import Lake, Partition, Table
from har.recordings import InboxFile, Part, Quality

_Name = tuple[dt.date, str, str]
"""A file: the date of its folder, subject and session. A file that was cut at midnight has several keys."""


_KEY = ["date", "subject", "session"]


@dataclass(frozen=True)
class Landed:
    """A file to commit: its parts, and the keys that it has in the lake, to be replaced; `again`: the same file."""

    file: InboxFile
    parts: Sequence[Trimmed]
    replaced: Collection[Key] = ()
    again: bool = False


class Ingested:
    """The files in the lake, by name and by content; rows of other dates are looked at when they are needed.

    Attributes:
        placements: the placement by session, for each partition of the dates that were looked at.

    Args:
        lake: has the files.
        dates: of the folders whose files are looked for.
    """

    def __init__(self, lake: Lake, dates: Collection[dt.date]) -> None:
        self.placements: dict[Partition, dict[str, str]] = {}
        self._content: dict[_Name, str] = {}
        self._owner: dict[str, _Name] = {}
        self._keys: dict[_Name, list[Key]] = {}
        self._taken: dict[Key, _Name] = {}
        self._older: set[_Name] = set()
        self._rows = lake.recordings.extract().select(
            "date", "subject", "session", "file", "sha256", "placement", "overlapping"
        )
        self._dates: set[dt.date] = set()
        # A file that was cut has rows on other dates than its folder's.
        folder = pl.col("file").str.split("/").list.first()
        of_files = self._rows.filter(folder.is_in([date.isoformat() for date in dates]))
        self.look_around([*dates, *of_files["date"]])

    def look_around(self, dates: Iterable[dt.date]) -> None:
        """Look at all files with samples of these dates or of the days beside them."""
        wanted = {near for date in set(dates) for near in around(date)} - self._dates
        if not wanted:
            return
        self._dates |= wanted
        for *key, file, sha256, placement, overlapping in self._rows.filter(
            pl.col("date").is_in(list(wanted))
        ).iter_rows():
            date, subject, session = key
            name = _name_of((date, subject, session), file)
            self.placements.setdefault((date, subject), {})[session] = placement or ""
            self._add(name, (date, subject, session), sha256)
            if overlapping is None:
                self._older.add(name)

    def keys(self, file: InboxFile) -> list[Key]:
        """The keys of the file of this name."""
        return self._keys.get(_name(file), [])

    def to_renew(self, file: InboxFile) -> bool:
        """Whether the file of this name was ingested with other content, or before files were cut and compared."""
        return _name(file) in self._older or self._content.get(_name(file), file.sha256) != file.sha256

    def holds(self, file: InboxFile, *, replace: bool) -> bool:
        """Whether this file was ingested under this name.

        Raises:
            ConflictingRecordingError: a file of this name was ingested with other content.
            DuplicateRecordingError: the content was ingested under another name.
        """
        name = _name(file)
        content = self._content.get(name)
        if content == file.sha256:
            return True
        owner = self._owner_of(file.sha256)
        if owner is not None and owner != name:
            raise DuplicateRecordingError(
                where=file.where,
                expected="a recording that is not in the lake yet",
                got=f"the same bytes as session {owner[2]!r} of subject {owner[1]!r} on {owner[0]}",
                remedy="Delete the copy; if the other file has the wrong name, see `har ingest --replace`.",
            )
        if content is not None and not replace:
            raise ConflictingRecordingError(
                where=file.where,
                expected=f"session {name[2]!r} of subject {name[1]!r} on {name[0]} as it was ingested "
                f"(sha256 {content[:12]}…)",
                got=f"other content (sha256 {file.sha256[:12]}…)",
                remedy="If the new file is right, put it back into the inbox and run `har ingest --replace`; "
                "if it is another session, rename it.",
            )
        return False

    def require_free(self, file: InboxFile, parts: Sequence[Part]) -> None:
        """Refuse a part whose key belongs to another file.

        Raises:
            ConflictingRecordingError: there is one.
        """
        for part in parts:
            owner = self._taken.get((part.date, file.subject, part.session))
            if owner is not None and owner != _name(file):
                raise ConflictingRecordingError(
                    where=file.where,
                    expected=f"no session {part.session!r} of subject {file.subject!r} on {part.date} yet: the samples "
                    "of that date would get this name",
                    got=f"one from the file of session {owner[2]!r} in the folder {owner[0]}",
                    remedy="Give the file another session.",
                )

    def add(self, file: InboxFile, parts: Sequence[Part]) -> None:
        """Add a file, in place of the one of its name."""
        name = _name(file)
        for key in self._keys.pop(name, []):
            del self._taken[key]
        for part in parts:
            self._add(name, (part.date, file.subject, part.session), file.sha256)

    def _owner_of(self, sha256: str) -> _Name | None:
        """The file with this content, of whatever date."""
        if sha256 not in self._owner:
            found = self._rows.filter(pl.col("sha256") == sha256).tail(1)
            for date, subject, session, file in found.select(*_KEY, "file").iter_rows():
                return _name_of((date, subject, session), file)
        return self._owner.get(sha256)

    def _add(self, name: _Name, key: Key, sha256: str) -> None:
        self._content[name] = sha256
        self._owner[sha256] = name
        self._keys.setdefault(name, []).append(key)
        self._taken[key] = name


def commit(lake: Lake, landed: Sequence[Landed]) -> None:
    """Write the files' samples, then their rows in `recordings`; what they replace is removed.

    A run that is killed in between is repeated with the same result: files without a row are read again.

    Raises:
        LakeError: a table cannot be written; none is left incomplete.
    """
    now = dt.datetime.now(dt.UTC)
    rows = [_row(one.file, part, now) for one in landed for part in one.parts]
    keys = {(row["date"], row["subject"], row["session"]) for row in rows}.union(*(one.replaced for one in landed))
    partitions = sorted({key[:2] for key in keys})
    fresh = pl.DataFrame(sorted(keys), {name: lake.recordings.schema[name] for name in _KEY}, orient="row")
    frames = [part.part.recording.frame for one in landed for part in one.parts]

    def replace_samples() -> pl.DataFrame:
        stored = lake.samples.readable(partitions)
        samples = pl.concat([_without(stored, fresh), *frames])
        lake.samples.replace(samples.sort(*_KEY, "time"), partitions)
        return stored

    stored = lake.samples.step(replace_samples)
    written = pl.DataFrame(rows, dict(lake.recordings.schema), orient="row")
    recordings = pl.concat([_without(lake.recordings.readable(partitions), fresh), written])
    _forget(lake, set(partitions) - set(recordings.select("date", "subject").iter_rows()))
    _unscore(lake, _changed(stored, landed))
    lake.recordings.replace(recordings.sort(*_KEY), partitions)


def _changed(stored: pl.DataFrame, landed: Sequence[Landed]) -> set[Partition]:
    """Subject-days on which a file that was read again has other samples than were stored.

    The id of their content does not tell: it is made of the files' hashes, which are the same.
    """
    changed: set[Partition] = set()
    for one in landed:
        if not one.again:
            continue
        now = {(part.part.date, one.file.subject, part.part.session): part.part.recording.frame for part in one.parts}
        for date, subject, session in {*one.replaced, *now}:
            same = (pl.col("date") == date) & (pl.col("subject") == subject) & (pl.col("session") == session)
            frame = now.get((date, subject, session), stored.clear())
            if not stored.filter(same).sort("time").equals(frame.sort("time")):
                changed.add((date, subject))
    return changed


def _unscore(lake: Lake, partitions: Collection[Partition]) -> None:
    if partitions and lake.scores.version() >= 0:
        lake.scores.replace(pl.DataFrame(schema=lake.scores.schema), partitions)


def _forget(lake: Lake, emptied: Collection[Partition]) -> None:
    """Remove what was derived from subject-days that have no recording any more; online answers stay."""
    if not emptied:
        return
    keep: dict[str, str | pl.Expr | None] = {"predictions": "request_id", "profiles": pl.col("online"), "scores": None}
    for name, stays in keep.items():
        table: Table = getattr(lake, name)
        if table.version() >= 0:
            table.replace(pl.DataFrame(schema=table.schema), emptied, keep=stays)


def _without(frame: pl.DataFrame, fresh: pl.DataFrame) -> pl.DataFrame:
    return frame.join(fresh, on=_KEY, how="anti")


def _row(file: InboxFile, trimmed: Trimmed, now: dt.datetime) -> dict[str, Any]:
    part, recording = trimmed.part, trimmed.part.recording
    return {
        "date": part.date,
        "subject": file.subject,
        "session": part.session,
        "file": file.where,
        "sha256": file.sha256,
        "ingested_at": now,
        "samples": len(recording.frame),
        "placement": recording.placement,
        "device": recording.device,
        "overlapping": trimmed.overlapping,
        **_stored(recording.quality),
    }


def _stored(quality: Quality) -> dict[str, Any]:
    """The quality as columns of the table `recordings`."""
    apart = ("samples_kept", "longest_gaps", "nonwear", "calibration")
    found = quality.calibration
    return {
        **{name: value for name, value in vars(quality).items() if name not in apart},
        "nonwear": None if quality.nonwear_s is None else [_interval(one) for one in quality.nonwear],
        "calibration_error_mg": found and found.error_mg,
        "calibrated_error_mg": found and found.after_mg,
        "calibration_gain": found and found.gain,
        "calibration_offset_mg": found and found.offset_mg,
    }


def _interval(ends_us: tuple[int, int]) -> dict[str, dt.datetime]:
    start, end = (dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(microseconds=one) for one in ends_us)
    return {"start": start, "end": end}


def _name(file: InboxFile) -> _Name:
    return file.date, file.subject, file.session


def _name_of(key: Key, file: str) -> _Name:
    """The name of a file, from the key and the path of one of its rows; a part on another date names the folder's."""
    date, subject, session = key
    folder = file.partition("/")[0]
    if folder == date.isoformat() or not session.endswith(f"-{folder}"):
        return key
    try:
        return dt.date.fromisoformat(folder), subject, session.removesuffix(f"-{folder}")
    except ValueError:  # a row that another program wrote
        return key
