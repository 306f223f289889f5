"""The promotion log: one JSON line per decision, appended and never rewritten, each line chained to the one before.

A line names the SHA-256 of the line before it (`previous`), and the registry keeps the hash of a model's last line
elsewhere (its *head*), so an edited, removed or shortened log shows. A move is written in this order, and every step
may be repeated:

1. the line, whole, as the intent file beside the log; 2. the line in the log; 3. the aliases; 4. the head;
5. the intent file is removed. Whoever comes next and finds an intent file does steps 2 to 5 again.
"""

from __future__ import annotations

import getpass
import hashlib
import json
import math
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from har.errors import RegistryError

Action = Literal["challenge", "promote", "reject", "rollback", "noticed"]
"""`noticed`: the aliases were found moved by something else than this project, such as a hand in MLflow's own page."""


@dataclass(frozen=True)
class Promotion:
    """One line of the log.

    Attributes:
        when: UTC.
        who: the person or flow that decided.
        action: what was decided.
        version: the version it is about; 0 if there is none (`noticed` without a champion).
        champion_before: `from` in the file; None: there was none.
        champion_after: `to` in the file.
        reason: in words.
        figures: what the decision rests on.
        by_gate: whether the gate decided, not a person.
        model: the registered model's name.
        aliases: which version held which alias afterwards.
    """

    when: datetime
    who: str
    action: Action
    version: int
    champion_before: int | None
    champion_after: int | None
    reason: str
    figures: dict[str, Any]
    by_gate: bool
    model: str
    aliases: dict[str, int]

    def to_line(self, previous: str) -> bytes:
        """The JSON line without its line feed."""
        content = {
            "when": self.when.isoformat(),
            "who": self.who,
            "action": self.action,
            "version": self.version,
            "from": self.champion_before,
            "to": self.champion_after,
            "reason": self.reason,
            "figures": _plain(self.figures),
            "by_gate": self.by_gate,
            "model": self.model,
            "aliases": self.aliases,
            "previous": previous,
        }
        return json.dumps(content, ensure_ascii=False, allow_nan=False).encode()

    @classmethod
    def from_line(cls, line: bytes) -> Promotion:
        """Read what `to_line` wrote; ValueError, KeyError or TypeError: it did not."""
        content = json.loads(line)
        return cls(
            when=datetime.fromisoformat(content["when"]),
            who=content["who"],
            action=content["action"],
            version=content["version"],
            champion_before=content["from"],
            champion_after=content["to"],
            reason=content["reason"],
            figures=content["figures"],
            by_gate=content["by_gate"],
            model=content["model"],
            aliases=content["aliases"],
        )


class PromotionLog:
    """The file `promotions.jsonl`, with its intent file and the torn ends that were kept aside.

    Writing is for the holder of the registry's lock; reading needs none.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "promotions.jsonl"
        self.intent = folder / "promotions.intent"
        self.torn = folder / "promotions.torn"

    def read(self, model: str) -> list[Promotion]:
        """The model's entries, oldest first; a torn last line is left out.

        Raises:
            RegistryError: a whole line is no entry.
        """
        entries = [self._parse(number, line) for number, line in enumerate(self.lines(), 1)]
        return [entry for entry in entries if entry.model == model]

    def lines(self) -> list[bytes]:
        """The whole lines, without line feeds."""
        return self._split()[0]

    def mend(self) -> None:
        """Move a torn last line to the file of torn ends, so that the next line starts clean."""
        _, tail = self._split()
        if not tail:
            return
        if _is_entry(tail):  # only its line feed is missing: an editor took it
            _append(self.path, b"\n")
            return
        _append(self.torn, tail + b"\n")
        with self.path.open("r+b") as stream:
            stream.truncate(self.path.stat().st_size - len(tail))
            os.fsync(stream.fileno())

    def compose(self, entry: Promotion, head: str) -> bytes:
        """The entry's line, chained to the last line, or to `head` where the log no longer ends as the registry knows.

        In the second case the chain breaks at this line, and `verify` reports it from then on.
        """
        lines = self.lines()
        last = _digest(lines[-1]) if lines else ""
        return entry.to_line(last if self.head(entry.model) == head else head or "unknown")

    def head(self, model: str) -> str:
        """SHA-256 of the model's last line; "" without one."""
        own = [line for line in self.lines() if _names(line, model)]
        return _digest(own[-1]) if own else ""

    def write_intent(self, line: bytes) -> None:
        """Say what is about to happen, in one atomic step."""
        draft = self.intent.with_suffix(".draft")
        draft.write_bytes(b"")
        _append(draft, line)
        draft.replace(self.intent)

    def append(self, line: bytes) -> None:
        """Write the line, unless it is the last one already."""
        lines = self.lines()
        if not lines or lines[-1] != line:
            _append(self.path, line + b"\n")

    def verify(self, model: str, head: str) -> int:
        """Check the chain and the model's head; the number of lines.

        Raises:
            RegistryError: names the first line that does not follow from the one before.
        """
        previous = ""
        lines = self.lines()
        for number, line in enumerate(lines, 1):
            self._parse(number, line)
            written = json.loads(line).get("previous")
            if written != previous:
                raise RegistryError(
                    where=f"{self.path}, line {number}",
                    expected=f"a line written after {previous[:12] or 'none'} (SHA-256)",
                    got=f"one written after {str(written)[:12] or 'none'}",
                    remedy="The log was changed here or just above; restore promotions.jsonl from a backup.",
                )
            previous = _digest(line)
        if self.head(model) != head:
            raise RegistryError(
                where=str(self.path),
                expected=f"the last line about {model!r} to be {head[:12] or 'none'} (SHA-256), as MLflow recorded",
                got=self.head(model)[:12] or "no line",
                remedy="The last lines were changed or removed; restore promotions.jsonl from a backup.",
            )
        return len(lines)

    def _split(self) -> tuple[list[bytes], bytes]:
        """Whole lines, and what stands after the last line feed."""
        try:
            *lines, tail = self.path.read_bytes().split(b"\n")
        except FileNotFoundError:
            return [], b""
        return lines, tail

    def _parse(self, number: int, line: bytes) -> Promotion:
        try:
            return Promotion.from_line(line)
        except (ValueError, KeyError, TypeError) as error:
            raise RegistryError(
                where=f"{self.path}, line {number}",
                expected="one entry of the promotion log as JSON",
                got=repr(line[:60].decode(errors="replace")),
                remedy="The log was changed by hand; restore promotions.jsonl from a backup.",
            ) from error


def whoami() -> str:
    """`user@host`, for entries that a person causes."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # a container may run under a number that has no name
        user = str(os.getuid()) if hasattr(os, "getuid") else "unknown"
    return f"{user}@{socket.gethostname()}"


def now() -> datetime:
    """The present moment, UTC."""
    return datetime.now(UTC)


def _append(path: Path, content: bytes) -> None:
    with path.open("ab") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def _digest(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()


def _is_entry(line: bytes) -> bool:
    try:
        Promotion.from_line(line)
    except (ValueError, KeyError, TypeError):
        return False
    return True


def _names(line: bytes, model: str) -> bool:
    return _is_entry(line) and Promotion.from_line(line).model == model


def _plain(value: Any) -> Any:
    """The value as JSON can hold it: NumPy numbers as numbers, NaN and infinity as null, the rest as text."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, (bool, int, str)) else str(value)
