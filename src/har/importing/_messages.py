"""What an import says about a file that it refuses: the file's own name, and options of `har import` as the way out."""

from __future__ import annotations

import datetime as dt
import errno
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from har.errors import (
    ConflictingRecordingError,
    HarError,
    LakeError,
    NotARecordingError,
    RangeError,
    RecordingError,
    RecordingTimeError,
    SettingsError,
    UnitError,
    reason,
)
from har.importing._exports import export_among
from har.importing._kinds import hint
from har.importing._passed import Passed
from har.importing._staged import Draft
from har.recordings.layouts import Layout

_PASSED_SHOWN = 5
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


def as_refusal(where: str, layout: Layout, error: BaseException) -> RecordingError | None:
    """The reason to refuse one file; None if the error is not that file's, and ends the import.

    Raises:
        LakeError: the temporary folder is full.
    """
    if isinstance(error, RecordingError):
        return _with_hint(error, hint(Path(where), layout))
    if isinstance(error, (HarError, MemoryError)):
        return None
    if isinstance(error, OSError):
        if error.errno in _DISK:
            raise LakeError.refused(tempfile.gettempdir(), error) from error
        return NotARecordingError(
            where=where,
            expected="a file that can be read",
            got=reason(error),
            remedy="Check that you may read it, and that it is still there.",
        )
    return RecordingError(
        where=where,
        expected="recordings, or a RecordingError that says what is wrong",
        got=f"{type(error).__name__}: {reason(error)}",
        remedy=f"This is a fault in the reader {layout.name}, which did not foresee this file: please report it with "
        "the file, or correct the reader if it is yours.",
    )


def _with_hint(error: RecordingError, sentence: str) -> RecordingError:
    """The error with a sentence in front of its remedy."""
    if not sentence or sentence in error.remedy or "`har import" in error.remedy:
        return error
    return type(error)(**{**error.parts(), "remedy": f"{sentence} {error.remedy}"})


def nothing_found(layout: Layout, path: Path, passed: Sequence[Passed], files: Iterable[Path] = ()) -> HarError:
    """The error for a folder without any file of the layout, whose `files` may be of a health app's export."""
    export = export_among(file.as_posix().casefold() for file in files)
    if export is not None:
        return export.error(str(path))
    others = "; ".join(str(one) for one in passed[:_PASSED_SHOWN])
    return SettingsError(
        where=str(path),
        expected=f"files of the layout {layout.name}: {layout.title}",
        got=others or ("an empty folder" if path.is_dir() else path.name),
        remedy="Check the path; `har import --list` describes the layouts.",
    )


def two_sessions(where: str, other: str, subject: str, session: str, date: dt.date) -> ConflictingRecordingError:
    """The error for a recording whose inbox file another one has already."""
    return ConflictingRecordingError(
        where=where,
        expected=f"one session {session!r} of subject {subject!r} on {date}",
        got=f"another one from {other}",
        remedy="Give them different sessions: -o 'pattern={subject}/{session}.csv', or another pattern that tells them "
        "apart.",
    )


def of_source(draft: Draft, error: RecordingError) -> RecordingError:
    """The error of reading an inbox file, as of the source: the user has no line of the inbox file to mend."""
    where = draft.source
    if isinstance(error, UnitError):
        unit = draft.sensors.get("accelerometer", "")
        return UnitError(
            where=where,
            expected=error.expected,
            got=error.got.split(" when read as")[0] + f" when read as {unit}",
            remedy=_unit_remedy(error),
        )
    if isinstance(error, RangeError):
        sensor = "gyroscope" if "sensors.gyroscope" in error.remedy else "accelerometer"
        unit = "deg/s" if sensor == "gyroscope" else "m/s^2"
        return RangeError(
            where=where,
            expected=error.expected,
            got=f"{error.got} in {error.where.rpartition('column ')[2]}",
            remedy=f"If the values are in {unit}, say so: --unit {sensor}={unit}. If the sensor has a larger "
            f"range, set sensors.{sensor}.full_scale in har.toml.",
        )
    if isinstance(error, RecordingTimeError):
        return RecordingTimeError(
            where=where,
            expected=error.expected,
            got=error.got,
            remedy=error.remedy
            if "-o " in error.remedy
            else "Check the options time and time-unit. If the clock was set, or two recordings were joined, split the "
            "file there.",
        )
    return error


def _unit_remedy(error: UnitError) -> str:
    for unit in ("m/s^2", "mg", "g"):
        if f"look like {unit}:" in error.remedy:
            return f"The values look like {unit}: add --unit accelerometer={unit}."
    return "Name the unit of the values: --unit accelerometer=g, mg or m/s^2; they must include gravity."
