"""All errors that this project raises deliberately.

    HarError
    ├── SettingsError (ValueError)                har.toml or a HAR_ variable is wrong
    ├── RecordingError (ValueError)               one file; it goes to quarantine, the others are ingested
    │   ├── EmptyRecordingError                   no bytes, or a header only
    │   ├── NotARecordingError                    binary, Git-LFS pointer, foreign layout
    │   ├── FileNameError                         not <date>/<subject>_<session>.<ext>
    │   ├── MissingColumnError                    a time or sensor column is absent
    │   ├── MalformedRowError                     truncated row, text in a number column
    │   ├── NonFiniteError                        NaN or infinite values
    │   ├── RecordingTimeError                    time runs backwards, or is outside of the file's date
    │   ├── UnitError                             the values cannot be in the declared unit
    │   ├── RangeError                            the values exceed the sensor's full scale
    │   ├── UnknownActivityError                  a label har.toml does not list
    │   ├── DuplicateRecordingError               the same bytes, or samples, as another session
    │   ├── ConflictingRecordingError             the same session with other content
    │   ├── OddEntryError                         a link, pipe or unreadable name in the inbox; it stays there
    │   └── UnexpectedError                       the program itself failed on the file
    ├── StorageError (OSError)                    a file or folder cannot be written
    │   └── LakeError                             the tables cannot be read or written
    │       ├── LakeBusyError (TimeoutError)      another writer holds the table
    │       │   └── LakeConflictError             another writer changed what a step had read
    │       ├── LakeDamageError                   commits, files or rows are missing or damaged
    │       └── StoreError                        object storage refuses or does not answer
    ├── EngineError (RuntimeError)                the workers of a job are missing, wrong or gone
    │   └── PartsError                            parts of a job failed; the others are done
    ├── SnapshotError (RuntimeError)              raw data cannot be taken into DVC, listed or restored
    ├── ServerError (RuntimeError)                a part of the local stack that does not start, or ended by itself
    ├── ServiceError (OSError)                    a service that scores for this project cannot be reached, or fails
    ├── NotEnoughDataError (LookupError)          no samples, no labels or too few subjects
    ├── TrainingError (RuntimeError)
    │   └── ParityError                           the exported file disagrees with torch
    ├── ModelError (ValueError)                   model.onnx
    │   ├── ModelMismatchError                    made for other channels, units, rate or activities
    │   └── DeadlineError (TimeoutError)          a call that took too long
    ├── WindowError (ValueError)                  an array that is no window
    ├── RequestError (ValueError)                 an HTTP request is refused
    ├── PackagingError (RuntimeError)             a bento cannot be built, or its answers differ from its model's
    ├── ScanError (RuntimeError)                  an image's packages cannot all be looked up
    ├── ReleaseError (RuntimeError)               a release that cannot begin, or was taken back
    ├── MonitoringError (ValueError)              a profile, reference or report cannot be read or compared
    ├── LabelError (ValueError)                   a table of labels cannot be imported
    ├── EnvelopeError (ValueError)                a message of a stream is refused
    ├── SourceError (OSError)                     the broker that messages come from cannot be reached
    ├── StateError (OSError)                      the hot store or the history is away
    ├── BackupError (ValueError)                  a backup cannot be made, read or restored
    ├── EvaluationError (ValueError)              outcomes cannot be evaluated or compared
    └── RegistryError (LookupError)
        ├── NoChampionError
        ├── UnknownVersionError
        ├── GateError                             a promotion that the gate refuses
        └── ReproductionError                     a retrained model differs from the recorded one

Every message reads "WHERE: expected …, but got …. REMEDY." or, where there is no value to show, "WHERE: PROBLEM.
REMEDY."; the parts are attributes, too.
"""

from __future__ import annotations

import difflib
import re
import traceback
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any, Self, overload

_LONGEST = 1000
"""A message quotes at most so many letters of a file."""
_PASSWORD = re.compile(r"(://[^:/@\s]*):\S*@")


def closest(name: str, known: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """The entry of `known` whose spelling is closest to `name`, ignoring case; None if none is similar enough."""
    entries = {entry.lower(): entry for entry in reversed([*known])}
    matches = difflib.get_close_matches(name.lower(), entries, n=1, cutoff=cutoff)
    return entries[matches[0]] if matches else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`Did you mean '…'?` with the closest entry of `known`, or nothing if none is similar enough."""
    match = closest(name, known)
    return "" if match is None else f"Did you mean {match!r}?"


def reason(error: BaseException) -> str:
    """Why another library or the operating system refused, in one line of 200 characters at most."""
    if isinstance(error, HarError):
        return error.got or error.problem
    text = (error.strerror if isinstance(error, OSError) else None) or str(error).strip()
    return text.splitlines()[0][:200] if text else type(error).__name__


class HarError(Exception):
    """The root of the tree.

    Messages may be logged, so passwords in addresses are removed from `where`, `got` and `problem`.

    Args:
        expected: what would have been right.
        got: the value or state instead.
        problem: in place of these two, what happened, such as "did not finish within 300 s".
        remedy: what the user can do, in a sentence.
        where: the file and line, setting, field or part of the program.
    """

    @overload
    def __init__(self, *, expected: str, got: str, remedy: str, where: str = "") -> None: ...
    @overload
    def __init__(self, *, problem: str, remedy: str, where: str = "") -> None: ...
    def __init__(self, *, expected: str = "", got: str = "", problem: str = "", remedy: str, where: str = "") -> None:
        where, got, problem = (_PASSWORD.sub(r"\1:…@", text) for text in (where, got, problem))
        self.expected = expected
        self.got = got
        self.problem = problem
        self.where = where
        self.remedy = remedy
        text = problem or f"expected {expected}, but got {got}"
        super().__init__(f"{where}{': ' if where else ''}{text}. {remedy}")

    def __reduce__(self) -> tuple[Callable[[], HarError], tuple[()]]:
        """Pickle the parts; the default would call the class with the message alone."""
        return partial(type(self), **self.parts()), ()

    def parts(self) -> dict[str, Any]:
        """The arguments that make this error again."""
        what = {"problem": self.problem} if self.problem else {"expected": self.expected, "got": self.got}
        return {**what, "where": self.where, "remedy": self.remedy}


class SettingsError(HarError, ValueError):
    """har.toml or a HAR_ variable has a value that this project cannot use."""


class RecordingError(HarError, ValueError):
    """One file cannot be ingested.

    `line` is the one-based line of a text file (its header is line 1) or row of a Parquet file; 0: the file as a whole.
    """

    def __init__(self, *, expected: str, got: str, remedy: str, where: str = "", line: int = 0) -> None:
        self.line = line
        # A file may have a header of megabytes.
        got = got if len(got) <= _LONGEST else f"{got[:_LONGEST]}…"
        super().__init__(expected=expected, got=got, remedy=remedy, where=where)

    def parts(self) -> dict[str, Any]:
        """As of `HarError`, with the line."""
        return {**super().parts(), "line": self.line}


class EmptyRecordingError(RecordingError):
    """No bytes, or a header without rows."""

    @classmethod
    def no_bytes(cls, where: str) -> EmptyRecordingError:
        """The file is empty, or holds white space only."""
        return cls(where=where, expected="a recording", got="an empty file", remedy="Export or copy it again.")

    @classmethod
    def no_rows(cls, where: str) -> EmptyRecordingError:
        """The file is a table, and has no rows."""
        return cls(where=where, expected="rows", got="a table without any", remedy="Export it again.")


class NotARecordingError(RecordingError):
    """Binary content, a Git-LFS pointer, or a layout no reader knows."""

    @classmethod
    def git_lfs_pointer(cls, where: str, *, line: int = 1) -> NotARecordingError:
        """The file is the pointer that Git LFS leaves where the content was not downloaded."""
        return cls(
            where=where,
            expected="a recording",
            got="a Git-LFS pointer to one",
            remedy="Run `git lfs pull` in the repository that the file comes from, then copy or import it again.",
            line=line,
        )

    @classmethod
    def apple_double(cls, where: str) -> NotARecordingError:
        """The file holds the attributes that macOS stores beside a copied file."""
        return cls(
            where=where,
            expected="a recording",
            got="an AppleDouble file, which macOS leaves beside a copied file",
            remedy="Delete it; if the recording itself is missing, copy it again.",
        )

    @classmethod
    def damaged_parquet(cls, where: str, error: Exception) -> NotARecordingError:
        """Polars cannot read the file as Parquet."""
        return cls(
            where=where,
            expected="a Parquet file",
            got=reason(error),
            remedy="The file is damaged, or of another format: export or copy it again.",
        )

    @classmethod
    def missing(cls, where: str, needed: str, remedy: str) -> NotARecordingError:
        """A file that belongs to the recording is not there."""
        return cls(where=where, expected=needed, got="no such file", remedy=remedy)


class FileNameError(RecordingError):
    """The path does not name date, subject and session."""

    @classmethod
    def not_as_published(cls, where: str, *, expected: str, got: str) -> FileNameError:
        """A file of a published data set was renamed or moved."""
        return cls(where=where, expected=expected, got=got, remedy="Keep the names of files and folders as published.")


class MissingColumnError(RecordingError):
    """A time or sensor column is absent."""

    @classmethod
    def of(cls, where: str, column: str, header: Iterable[str], remedy: str, line: int = 1) -> MissingColumnError:
        """A file with the columns `header` lacks `column`."""
        present = ", ".join(name or "(unnamed)" for name in [*header][:30])
        return cls(
            where=where,
            expected=f"a column {column!r}",
            got=f"the columns {present or '(none)'}",
            remedy=f"{did_you_mean(column, header)} {remedy}".strip(),
            line=line,
        )


class MalformedRowError(RecordingError):
    """A row is cut short, has too many fields, or holds text where a number belongs."""


class NonFiniteError(RecordingError):
    """A sensor value is missing, NaN or infinite."""


class RecordingTimeError(RecordingError):
    """Time runs backwards, or is outside of the file's date."""


class UnitError(RecordingError):
    """The values cannot be in the declared unit."""


class RangeError(RecordingError):
    """The values exceed the sensor's full scale."""


class UnknownActivityError(RecordingError):
    """A label that har.toml does not list."""


class DuplicateRecordingError(RecordingError):
    """The same bytes, or the same samples, were ingested under another session."""


class ConflictingRecordingError(RecordingError):
    """The same session, or other samples of the same time and placement, were ingested before."""


class OddEntryError(RecordingError):
    """An entry of the inbox that is never opened, moved or followed, or a file that cannot be read or moved."""

    @classmethod
    def left(cls, where: str, expected: str, got: str, remedy: str) -> OddEntryError:
        """The entry stays where it is."""
        return cls(where=where, expected=expected, got=got, remedy=f"It was left as it is. {remedy}")


class UnexpectedError(RecordingError):
    """The program itself failed on the file, with an error that it does not expect: a bug."""

    @classmethod
    def of(cls, where: str, error: BaseException) -> UnexpectedError:
        """Name the type of the error and the line of code at which it was raised."""
        frames = traceback.extract_tb(error.__traceback__)
        own = [frame for frame in frames if "site-packages" not in frame.filename] or frames
        at = f" (at {Path(own[-1].filename).name}, line {own[-1].lineno}, in {own[-1].name})" if own else ""
        return cls(
            where=where,
            expected="a file that can be read, or a refusal that names its line",
            got=f"{type(error).__name__}: {reason(error)}{at}",
            remedy="There is not enough memory for it: split the file, or close other programs, and put it back."
            if isinstance(error, MemoryError)
            else "This is a bug in the program: please report it with the file. Other files are not affected.",
        )


class StorageError(HarError, OSError):
    """A file or folder cannot be written: no space, no access, a read-only disk."""

    @classmethod
    def refused(cls, path: object, error: Exception) -> Self:
        """The disk refuses to write `path`."""
        return cls(
            where=str(path),
            expected="a path that can be written",
            got=reason(error),
            remedy="Free space or grant write access, then run the same command again: nothing was left half-written.",
        )


class LakeError(StorageError):
    """The tables cannot be read or written."""

    @classmethod
    def unreadable(cls, path: object, error: Exception) -> LakeError:
        """The disk refuses to read `path`."""
        return cls(
            where=str(path),
            expected="a file that can be read",
            got=reason(error),
            remedy="Check that the file exists and that you may read it, then run the same command again.",
        )


class LakeBusyError(LakeError, TimeoutError):
    """Another writer holds the table."""


class LakeConflictError(LakeBusyError):
    """Another writer changed what a step had read, and did so at each attempt; nothing of it was written."""


class StoreError(LakeError):
    """Object storage refuses, or does not answer."""


class LakeDamageError(LakeError):
    """Commits, files or rows that a table should hold are missing or damaged; trying again does not help."""


class EngineError(HarError, RuntimeError):
    """The workers of a job are missing, have another version, or are gone."""


class PartsError(EngineError):
    """Parts of a job failed, while the others are done: `names` and `causes` are those that failed."""

    def __init__(self, *, names: tuple[str, ...] = (), causes: tuple[BaseException, ...] = (), **parts: Any) -> None:
        self.names, self.causes = names, causes
        super().__init__(**parts)

    def parts(self) -> dict[str, Any]:
        """As of `HarError`, with what failed."""
        return {**super().parts(), "names": self.names, "causes": self.causes}

    @classmethod
    def of(
        cls, names: tuple[str, ...], causes: tuple[BaseException, ...], *, total: int, untried: int = 0
    ) -> PartsError:
        """Of `total` parts these failed; some may not have been tried after too many that did."""
        more = f" and {len(names) - 10} more" if len(names) > 10 else ""
        left = f"; {untried} were not tried" if untried else ""
        first = str(causes[0]) or type(causes[0]).__name__
        return cls(
            names=names,
            causes=causes,
            where=", ".join(names[:10]) + more,
            problem=f"{len(names)} of {total} parts failed{left}. The first: {first.rstrip('.')}",
            remedy="What is done stays. Mend the cause, then run the same command again for the rest.",
        )


class SnapshotError(HarError, RuntimeError):
    """Raw data cannot be taken into DVC, listed or restored; neither they nor an earlier snapshot were changed."""


class ServerError(HarError, RuntimeError):
    """A part of the local stack does not start, or ended by itself."""


class ServiceError(HarError, OSError):
    """The batch service cannot be reached, is busy or fails; trying again may help."""


class NotEnoughDataError(HarError, LookupError):
    """No samples, no labels or too few subjects for what was asked."""

    @classmethod
    def no_samples(cls, where: object) -> NotEnoughDataError:
        """The lake's table of samples is empty."""
        return cls(
            where=str(where),
            expected="ingested samples",
            got="an empty table",
            remedy="Put recordings into the inbox and run `har ingest`; `har replay` provides sample recordings.",
        )


class TrainingError(HarError, RuntimeError):
    """Training cannot continue."""


class ParityError(TrainingError):
    """The exported file's outputs differ from the network's."""


class ModelError(HarError, ValueError):
    """A model file that cannot be served."""


class ModelMismatchError(ModelError):
    """A model file was made for other channels, units, rate, window or activities."""


class DeadlineError(ModelError, TimeoutError):
    """The model did not answer in time."""


class WindowError(HarError, ValueError):
    """An array has the wrong shape, type or values for a batch of windows."""


class RequestError(HarError, ValueError):
    """An HTTP request is refused; `status` is the HTTP status code, `where` the field."""

    def __init__(self, *, expected: str, got: str, remedy: str, where: str = "", status: int = 422) -> None:
        self.status = status
        super().__init__(expected=expected, got=got, remedy=remedy, where=where)

    def parts(self) -> dict[str, Any]:
        """As of `HarError`, with the status."""
        return {**super().parts(), "status": self.status}


class PackagingError(HarError, RuntimeError):
    """A bento cannot be built, or its answers differ from its model's."""


class ScanError(HarError, RuntimeError):
    """An image's packages cannot all be looked up in a database of vulnerabilities."""


class ReleaseError(HarError, RuntimeError):
    """A version cannot be released, or its release was taken back."""


class MonitoringError(HarError, ValueError):
    """A profile, a reference or a day's report cannot be read, made or compared."""


class LabelError(HarError, ValueError):
    """A table of labels cannot be imported; no row of it was."""


class EnvelopeError(HarError, ValueError):
    """A message of a stream is refused; `where` is its field.

    `subject`, `device`, `session` and `sequence` are what could be read of it; "" and -1 where nothing could.
    """

    def __init__(
        self,
        *,
        expected: str,
        got: str,
        remedy: str,
        where: str = "",
        subject: str = "",
        device: str = "",
        session: str = "",
        sequence: int = -1,
    ) -> None:
        self.subject, self.device, self.session, self.sequence = subject, device, session, sequence
        # A message may have a field of megabytes.
        got = got if len(got) <= _LONGEST else f"{got[:_LONGEST]}…"
        super().__init__(expected=expected, got=got, remedy=remedy, where=where)

    def parts(self) -> dict[str, Any]:
        """As of `HarError`, with what could be read."""
        read = {"subject": self.subject, "device": self.device, "session": self.session, "sequence": self.sequence}
        return {**super().parts(), **read}


class SourceError(HarError, OSError):
    """A broker that messages come from cannot be reached, or its client is not installed."""


class StateError(HarError, OSError):
    """The hot store or the history cannot be read or written now."""


class BackupError(HarError, ValueError):
    """A backup cannot be made, read or restored."""


class EvaluationError(HarError, ValueError):
    """Outcomes cannot be evaluated or compared."""


class RegistryError(HarError, LookupError):
    """The registry fails or refuses."""


class NoChampionError(RegistryError):
    """No version holds the alias `champion`."""


class UnknownVersionError(RegistryError):
    """No such version is registered."""


class GateError(RegistryError):
    """The gate refuses a promotion."""


class ReproductionError(RegistryError):
    """A retrained model differs from the recorded one."""
