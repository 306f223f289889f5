"""Who released what, when and why, and how it ended: a line of JSON per step, beside what it is about."""

from __future__ import annotations

import datetime as dt
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from har.errors import ReleaseError
from har.files import locked, make_folder
from har.registry import whoami

SWITCHING, PROMOTED, ROLLED_BACK, REFUSED = "switching", "promoted", "rolled back", "refused"
_ACTORS = ("GITHUB_ACTOR", "GITLAB_USER_LOGIN")


@dataclass(frozen=True)
class History:
    """The log of one site's releases.

    Attributes:
        path: of the file; a lock lies beside it.
    """

    path: Path

    @contextmanager
    def one_at_a_time(self) -> Iterator[None]:
        """Hold the lock for releasing.

        Raises:
            ReleaseError: another release is under way.
        """
        busy = ReleaseError(
            where=str(self.path), problem="another release is under way", remedy="Wait until it ends, then try again."
        )
        make_folder(self.path.parent)
        with locked(self.path.with_suffix(".lock"), timeout_s=0.1, busy=busy):
            yield

    def add(self, result: str, *, before: str, after: str, why: str, **further: Any) -> None:
        """Append a line, and sync it to disk."""
        line: Mapping[str, Any] = {
            "when": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
            "who": next((os.environ[name] for name in _ACTORS if os.environ.get(name)), None) or whoami(),
            "why": why,
            "from": before,
            "to": after,
            "result": result,
            **further,
        }
        file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(file, "r+b", buffering=0) as stream:
            # A process that was killed while it wrote has left half a line: the next one begins below it.
            torn = stream.seek(0, os.SEEK_END) > 0 and os.pread(file, 1, stream.tell() - 1) != b"\n"
            stream.write((b"\n" if torn else b"") + json.dumps(line).encode() + b"\n")
            os.fsync(file)

    def lines(self) -> list[dict[str, Any]]:
        """All lines, oldest first; one that was cut off by a crash is left out."""
        found = []
        for line in self.path.read_text(encoding="utf-8").splitlines() if self.path.exists() else ():
            try:
                found.append(json.loads(line))
            except ValueError:  # the process was killed while it wrote
                continue
        return found

    def before(self, serving: str) -> str:
        """What served before `serving` was released.

        Raises:
            ReleaseError: no release of it is known, or nothing served before it.
        """
        for line in reversed(self.lines()):
            if line["to"] == serving and line["result"] in (PROMOTED, SWITCHING) and line["from"]:
                return str(line["from"])
        raise ReleaseError(
            where=str(self.path),
            expected=f"the release of {serving or 'what serves'}, with what served before",
            got="none",
            remedy="Release a version: make release VERSION=…; har models lists them.",
        )
