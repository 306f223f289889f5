"""The names of subjects and sessions in the inbox: kept if the inbox can have them, and never made equal."""

from __future__ import annotations

import datetime as dt
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from har.errors import ConflictingRecordingError, FileNameError
from har.importing._staged import Staged
from har.log_lines import NAME_RULE
from har.recordings._inbox import SUFFIXES
from har.recordings.layouts import RawRecording
from har.recordings.layouts._names import lost_letters, name_key, plain, valid_session, valid_subject


class Subjects:
    """The subjects of one import, with the spellings that they have in the source."""

    def __init__(self) -> None:
        self._spellings: defaultdict[str, dict[str, str]] = defaultdict(dict)

    def name(self, raw: RawRecording) -> str:
        """The name of the recording's subject in the inbox.

        Raises:
            FileNameError: nothing of the name can be kept, or it is too long.
            ConflictingRecordingError: an earlier subject's name became the same.
        """
        name = plain(raw.subject)
        if lost_letters(raw.subject) or not valid_subject(name):
            raise FileNameError(
                where=raw.where,
                expected=f"a subject of {NAME_RULE}",
                got=repr(raw.subject),
                remedy="Rename the folder or file, or name the subject with -o subject-is=….",
            )
        # Composed and decomposed letters are one spelling: macOS decomposes names of files.
        spelling = unicodedata.normalize("NFC", raw.subject).strip()
        self._spellings[name_key(name)].setdefault(spelling, name)
        self._require_one_spelling(raw.where, name)
        return name

    def conflicts(
        self, staged: Sequence[Staged], inbox: Path | None
    ) -> Iterator[tuple[Staged, ConflictingRecordingError]]:
        """The recordings of subjects that only the rules for names, or a file system that ignores case, make equal."""
        present = {name_key(name): name for name in (_inbox_subjects(inbox) if inbox else ())}
        for one in staged:
            name = one.file.subject
            try:
                self._require_one_spelling(one.source, name)
            except ConflictingRecordingError as error:
                yield one, error
                continue
            if present.get(name_key(name), name) != name:
                yield one, _equal(one.source, f"{name!r}, while the inbox has {present[name_key(name)]!r}")

    def _require_one_spelling(self, where: str, name: str) -> None:
        names = self._spellings[name_key(name)]
        if len(names) > 1:
            raise _equal(where, f"{' and '.join(map(repr, names))}, which would be one subject, {name!r}")

    def renamed(self, staged: Sequence[Staged]) -> dict[str, str]:
        """The names in the inbox by the spelling in the source, of those that differ."""
        keys = {name_key(one.file.subject) for one in staged}
        spellings = [item for key in keys for item in self._spellings[key].items()]
        return {spelling: name for spelling, name in sorted(spellings) if spelling != name}


def session_name(raw: RawRecording) -> str:
    """The name of the recording's session in the inbox.

    Raises:
        FileNameError: it is too long.
    """
    name = plain(raw.session, underscore=True)
    if not valid_session(name):
        raise FileNameError(
            where=raw.where,
            expected=f"a session of {NAME_RULE}, or '_'",
            got=repr(raw.session),
            remedy="Rename the file, or take a shorter part of the path: -o 'pattern={subject}/{session}_*.csv'.",
        )
    return name


def taken(staged: Sequence[Staged], inbox: Path) -> Iterator[tuple[Staged, ConflictingRecordingError]]:
    """The recordings with an assigned date on which the inbox has other recordings of the subject.

    They would lie at the same time, and labels by time could not tell them apart.
    """
    own: defaultdict[tuple[dt.date, str], set[str]] = defaultdict(set)
    for one in staged:
        own[one.file.date, one.file.subject].add(one.file.path.stem)
    present = {date: _files(inbox / date.isoformat()) for date in {one.file.date for one in staged}}
    for one in staged:
        if one.clock == "utc":
            continue
        others = [path.name for path in present[one.file.date] if path.stem.startswith(f"{one.file.subject}_")]
        others = sorted(name for name in others if Path(name).stem not in own[one.file.date, one.file.subject])
        if others:
            yield (
                one,
                ConflictingRecordingError(
                    where=one.source,
                    expected=f"no other recording of {one.file.subject!r} on {one.file.date}, the assigned date",
                    got=f"{len(others)} in the inbox, such as {others[0]}",
                    remedy=f"Assign other dates: --first-day {_free_day(inbox)}.",
                ),
            )


def _free_day(inbox: Path) -> dt.date:
    """The day after the newest folder of the inbox."""
    dates = []
    for folder in inbox.iterdir():
        try:
            dates.append(dt.date.fromisoformat(folder.name))
        except ValueError:
            continue  # no folder of a day
    return max(dates) + dt.timedelta(days=1)


def _inbox_subjects(inbox: Path) -> set[str]:
    folders = [folder for folder in inbox.iterdir() if folder.is_dir()] if inbox.is_dir() else []
    return {path.stem.partition("_")[0] for folder in folders for path in _files(folder)}


def _files(folder: Path) -> list[Path]:
    found = folder.iterdir() if folder.is_dir() else iter(())
    return [path for path in found if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")]


def _equal(where: str, got: str) -> ConflictingRecordingError:
    return ConflictingRecordingError(
        where=where,
        expected="subjects whose names differ in letters or digits, not only in case, blanks or signs",
        got=got,
        remedy="If they are two people, rename one of them; if they are one, write the name in one way.",
    )
