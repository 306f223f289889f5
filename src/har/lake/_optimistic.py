"""Writers of a table on object storage, which has no locks: commit, unless somebody else has; then look again.

A commit is one object that the store takes only if there is none of its number yet (If-None-Match). Each attempt reads
the newest version, decides what to write, and commits as exactly the next one; of two writers at once one fails, reads
what the other wrote, and decides anew. So nothing that was committed is ever overwritten unseen.
"""

from __future__ import annotations

import datetime as dt
import json
import random
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any, TypeVar
from uuid import uuid4

from deltalake import CommitProperties, DeltaTable
from deltalake.exceptions import CommitFailedError, DeltaError

from har.errors import LakeBusyError, LakeConflictError, LakeError
from har.lake._reader import Reader
from har.schema import Partition
from har.storage import Location

T = TypeVar("T")
Marked = Callable[[dict[str, str]], CommitProperties]
"""Makes the properties of a commit of what it shall note."""
Write = Callable[[DeltaTable | None, Marked], DeltaTable | None]
"""Writes to an open table (None: before the first write); returns the table at its new version, None if unchanged."""

_ATTEMPTS = 30
_STEPS = 12
_LONGEST_PAUSE_S = 2.0
_MARK = "har.commit"


@dataclass
class _Step:
    """What one thread does as one step: `base` is the version at its beginning, `own` what it has committed since."""

    base: int
    whole: bool
    own: set[int] = field(default_factory=set)


class Optimistic:
    """The writers' side of one table on object storage.

    Args:
        where: the table.
        reader: of the table.
    """

    def __init__(self, where: Location, reader: Reader) -> None:
        self._where = where
        self._reader = reader

    def step(self, work: Callable[[], T], *, whole: bool) -> T:
        """Run `work` again as long as others commit between what it reads and what it writes.

        Args:
            work: reads the table, then writes to it; may run several times.
            whole: any commit of others counts; else only one that changed a partition that `work` writes.

        Raises:
            LakeConflictError: they did at each attempt.
        """
        steps: dict[str, _Step] = _running.__dict__
        if str(self._where) in steps:  # a step within a step
            return work()
        for attempt in range(_STEPS):
            snapshot = self._reader.open()
            steps[str(self._where)] = _Step(-1 if snapshot is None else snapshot.version, whole)
            try:
                return work()
            except LakeConflictError:
                if attempt == _STEPS - 1:
                    raise
            finally:
                del steps[str(self._where)]
            _pause(attempt)
        raise AssertionError("the last attempt returns or raises")

    def commit(self, write: Write, partitions: Collection[Partition]) -> tuple[int, int]:
        """Write as the version after the newest one.

        Args:
            write: reads the table at the version that it is given, and writes once; may run several times.
            partitions: those that it writes.

        Returns:
            The version before the write (-1: no table), and after it.

        Raises:
            LakeConflictError: within a step: others have changed one of the partitions since the step began.
            LakeBusyError: others were faster at each attempt.
            StoreError: the store refuses.
        """
        self._where.require_reachable()
        self._where.require_conditional_put()
        self._reader.open()  # refuses what another engine wrote in a way that we would misread
        for attempt in range(_ATTEMPTS):
            before, mark = -1, uuid4().hex
            try:
                with self._reader.newest.writing() as table:
                    before = -1 if table is None else table.version()
                    self._require_unchanged(before, frozenset(partitions))
                    written = write(table, _marked(mark))
            except (OSError, DeltaError) as error:
                if isinstance(error, LakeError):
                    raise
                # The answer to a commit that succeeded can be lost; the client then repeats it, and is refused.
                ours = self._version_of(mark, before)
                if ours is not None:
                    return before, self._committed(ours)
                if not isinstance(error, CommitFailedError):
                    raise
            else:
                return before, before if written is None else self._committed(written.version())
            _pause(attempt)
        raise LakeBusyError(
            where=str(self._where),
            expected="a moment without other writers",
            got=f"commits of others before each of {_ATTEMPTS} attempts",
            remedy="Nothing was written. Wait for the other runs to finish, then run the same command again.",
        )

    def noted(self, version: int, name: str) -> int:
        """A figure that a commit notes about itself."""
        lines = map(json.loads, self._log(version).read_bytes().splitlines())
        return int(next(line["commitInfo"] for line in lines if "commitInfo" in line)["operationMetrics"][name])

    def _committed(self, version: int) -> int:
        step = _running.__dict__.get(str(self._where))
        if step is not None:
            step.own.add(version)
        return version

    def _require_unchanged(self, newest: int, partitions: frozenset[Partition]) -> None:
        step: _Step | None = _running.__dict__.get(str(self._where))
        if step is None:
            return
        for version in sorted({*range(step.base + 1, newest + 1)} - step.own):
            changed = self._changed(version)
            if changed is None or (step.whole and changed) or changed & partitions:
                raise LakeConflictError(
                    where=str(self._where),
                    expected=f"version {step.base}, which this run had read",
                    got=f"version {version} of another writer at each of {_STEPS} attempts",
                    remedy="Nothing was written. Wait for the other run to finish, then run the same command again.",
                )

    def _changed(self, version: int) -> frozenset[Partition] | None:
        """The partitions of whose rows a commit changed some; None: it cannot be read any more."""
        try:
            lines = self._log(version).read_bytes().splitlines()
        except FileNotFoundError:
            return None
        actions = [action[kind] for action in map(json.loads, lines) for kind in ("add", "remove") if kind in action]
        changing = [action for action in actions if action.get("dataChange", True)]
        if not all("partitionValues" in action for action in changing):
            return None
        return frozenset(_partition(action["partitionValues"]) for action in changing)

    def _version_of(self, mark: str, before: int) -> int | None:
        """The version that was committed with this mark although the client says that it failed."""
        for version in (before + 1, before + 2):  # the first write makes two
            try:
                if mark.encode() in self._log(version).read_bytes():
                    return version
            except FileNotFoundError:
                return None
        return None

    def _log(self, version: int) -> Location:
        return self._where / f"_delta_log/{version:020}.json"


def _marked(mark: str) -> Marked:
    def properties(notes: dict[str, str]) -> CommitProperties:
        return CommitProperties(custom_metadata={**notes, _MARK: mark}, max_commit_retries=0)

    return properties


def _partition(values: dict[str, Any]) -> Partition:
    date = values.get("date")
    return (dt.date.fromisoformat(date) if date else dt.date.min), values.get("subject") or ""


def _pause(attempt: int) -> None:
    longest = min(_LONGEST_PAUSE_S, 0.05 * 2**attempt)
    time.sleep(random.uniform(longest / 4, longest))  # noqa: S311  no secret


_running = threading.local()
"""The steps of each thread, by the table's address."""
