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
from har.files import append_line, json_lines, locked, make_folder
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
        append_line(self.path, json.dumps(line))

    def lines(self) -> list[dict[str, Any]]:
        """All lines, oldest first; one that was cut off by a crash is left out."""
        return list(json_lines(self.path))

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
