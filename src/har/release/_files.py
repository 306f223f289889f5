"""What is known about releases in a folder: the present one's state, its history, and what people order.

`release.json` is replaced as a whole and written by whoever watches the release; `releases.jsonl` has a line for each
step of each release and is only appended to; people's orders lie in `release-orders/` until they are carried out.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from filelock import FileLock, Timeout

from har.errors import ReleaseError
from har.files import append_line, json_lines, locked, make_folder, write_atomically
from har.release._states import Measure, State

Command = Literal["abort", "pause", "resume", "promote", "finish"]
"""`promote`: the next step, in place of the judge; `finish`: at once to everybody."""

_SOON_S = 0.3
"""How long a command waits for whoever watches to be between two steps of its loop."""


@dataclass(frozen=True)
class Order:
    """What a person wants of the present release."""

    release: str
    command: Command
    who: str
    why: str
    path: Path = field(default=Path(), compare=False)


@dataclass(frozen=True)
class Record:
    """One line of the history: something that happened to a release.

    Attributes:
        id: of the line.
        when: seconds since 1970.
        release: the release's id.
        version: that is released.
        former: that served before.
        what: started, advanced, held, promoted, ended, paused, resumed.
        step: name of the step.
        share: of the subjects whom the new version serves from now on.
        verdict: about the step; "" where nothing was judged.
        measures: that were compared.
        missing: what was not there, in sentences.
        sentence: what happened, and why.
        outcome: of an end.
        who: decided it: a person, or "the judge".
    """

    id: str
    when: float
    release: str
    version: int
    former: int
    what: str
    step: str
    share: float
    sentence: str
    verdict: str = ""
    measures: tuple[Measure, ...] = ()
    missing: tuple[str, ...] = ()
    outcome: str = ""
    who: str = ""
    champion_before: int = 0


@dataclass(frozen=True)
class Releases:
    """The files of a project's releases.

    Attributes:
        folder: of the bentos.
    """

    folder: Path

    @property
    def path(self) -> Path:
        """Of the present release's state."""
        return self.folder / "release.json"

    @property
    def history(self) -> Path:
        """Of all steps of all releases."""
        return self.folder / "releases.jsonl"

    def state(self) -> State | None:
        """The present release, or the last one; None before the first.

        Raises:
            ReleaseError: the file cannot be read.
        """
        try:
            return State.from_json(self.path.read_text(encoding="utf-8"), where=str(self.path))
        except FileNotFoundError:
            return None

    def save(self, state: State) -> State:
        """Write the state; returns it."""
        write_atomically(self.path, state.to_json())
        return state

    @contextmanager
    def watching(self, *, wait_s: float = 1.0) -> Iterator[None]:
        """Be the one that watches the release; the lock is free as soon as this process ends, however it ends.

        Raises:
            ReleaseError: another process watches one.
        """
        busy = ReleaseError(
            where=str(self.path),
            problem="another process watches a release",
            remedy="See har release status; wait for its end, or har release abort.",
        )
        with locked(self._lock, timeout_s=wait_s, busy=busy):
            yield

    def is_watched(self) -> bool:
        """Whether a process watches the release at this moment."""
        if not self._lock.exists():
            return False
        try:
            with FileLock(self._lock, timeout=0):
                return False
        except Timeout:
            return True

    @contextmanager
    def one_hand(self) -> Iterator[bool]:
        """Let nobody else touch the traffic during the block; yields False if the other one did not let go soon.

        Whoever watches renews the canary's share all the time: a command to withdraw must not come in between its look
        at the orders and its renewal.
        """
        make_folder(self.folder)
        lock = FileLock(self.folder / "release-hand.lock", timeout=_SOON_S)
        try:
            lock.acquire()
        except Timeout:
            yield False
            return
        with lock:
            yield True

    def order(self, release: str, command: Command, *, who: str, why: str) -> None:
        """Leave an order for whoever watches the release."""
        path = self._orders / f"{time.time_ns()}-{command}.json"
        write_atomically(path, json.dumps({"release": release, "command": command, "who": who, "why": why}))

    def orders(self, release: str) -> list[Order]:
        """The orders for a release that were not carried out yet, oldest first; those for others are removed."""
        found = []
        for path in sorted(self._orders.glob("*.json")):
            try:
                order = Order(**json.loads(path.read_text(encoding="utf-8")), path=path)
            except FileNotFoundError:
                continue
            if order.release == release:
                found.append(order)
            else:
                path.unlink(missing_ok=True)
        return found

    def add(self, record: Record) -> None:
        """Append a line to the history, and sync it to disk."""
        make_folder(self.folder)
        append_line(self.history, json.dumps(asdict(record), ensure_ascii=False))

    def records(self) -> list[Record]:
        """The history, oldest first; a line that was cut off by a crash is left out."""
        found = []
        for content in json_lines(self.history):
            try:
                lists = {name: tuple(content[name]) for name in ("measures", "missing")}
                found.append(Record(**{**content, **lists}))
            except (TypeError, KeyError):  # half a line that is JSON, too
                continue
        return found

    @property
    def history_bytes(self) -> int:
        """Size of the history's file; 0: there is none."""
        return self.history.stat().st_size if self.history.exists() else 0

    def written(self) -> str:
        """Id of the last record that was brought to the lake and to the promotion log."""
        try:
            return self._written.read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            return ""

    def note_written(self, record: Record) -> None:
        """Note that a record, and all before it, need not be brought there again."""
        write_atomically(self._written, record.id)

    def unwritten(self) -> list[Record]:
        """Records that were not brought to the lake and the promotion log yet, oldest first."""
        records, last = self.records(), self.written()
        place = next((number for number, record in enumerate(records, 1) if record.id == last), 0)
        return records[place:]

    @property
    def _lock(self) -> Path:
        return self.folder / "release.lock"

    @property
    def _orders(self) -> Path:
        return self.folder / "release-orders"

    @property
    def _written(self) -> Path:
        return self.folder / "releases.written"
