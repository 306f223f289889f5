"""The promotion log: one JSON line per decision; lines are appended and never rewritten.

A line holds the SHA-256 of the line before it (`previous`), and MLflow holds the hash of a model's last line (its
*head*), so that edited or removed lines are detected. A move takes these steps, each of which can be repeated:

1. write the line to the intent file beside the log; 2. append it to the log; 3. move the aliases; 4. update the head;
5. remove the intent file. If a process is killed on the way, the next one finds the intent file and repeats 2 to 5.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from har.errors import RegistryError

ACCEPT = "har models --accept REASON"
"""The command that takes registry and log as they are."""

Action = Literal["challenge", "promote", "reject", "rollback", "noticed", "release"]
"""`noticed`: the aliases had been moved outside of this project, for example by hand in MLflow's page. `release`: a
step of a version's release into the online service, which moves no alias."""


@dataclass(frozen=True)
class Promotion:
    """One line of the log.

    Attributes:
        when: UTC.
        who: the person or flow that decided.
        action: the decision.
        version: the version that the decision is about; 0 for `noticed` without a champion.
        champion_before: the champion before, `from` in the file; None: there was none.
        champion_after: the champion after, `to` in the file.
        reason: in words.
        figures: the numbers behind the decision.
        by_gate: True: the gate decided; False: a person.
        model: the registered model's name.
        aliases: the version that each alias names afterwards.
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
        """Parse a line of `to_line`; raises ValueError, KeyError or TypeError if it is none."""
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
    """The file `promotions.jsonl`, its intent file, and `promotions.torn` for incomplete lines.

    Writers must hold the registry's lock; readers need not.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "promotions.jsonl"
        self.intent = folder / "promotions.intent"
        self.torn = folder / "promotions.torn"

    def read(self, model: str) -> list[Promotion]:
        """The model's entries, oldest first; an incomplete last line is ignored.

        Raises:
            RegistryError: a complete line cannot be parsed.
        """
        entries = [self._parse(number, line) for number, line in enumerate(self.lines(), 1)]
        return [entry for entry in entries if entry.model == model]

    def lines(self) -> list[bytes]:
        """The complete lines, without line feeds."""
        return self._split()[0]

    def repair(self) -> None:
        """Move an incomplete last line to `promotions.torn`, so that the next line starts on its own."""
        _, tail = self._split()
        if not tail:
            return
        if _is_entry(tail):  # only the line feed is missing: an editor removed it
            _append(self.path, b"\n")
            return
        _append(self.torn, tail + b"\n")
        with self.path.open("r+b") as stream:
            stream.truncate(self.path.stat().st_size - len(tail))
            os.fsync(stream.fileno())

    def compose(self, entry: Promotion, head: str) -> bytes:
        """The entry's line with the hash of the last line; or with `head` if the log does not end with that line.

        In the second case the chain is broken at this line, and `verify` will report it.
        """
        lines = self.lines()
        last = _digest(lines[-1]) if lines else ""
        return entry.to_line(last if self.head(entry.model) == head else head or "unknown")

    def head(self, model: str) -> str:
        """SHA-256 of the model's last line; "" if it has none."""
        lines = [line for line in self.lines() if _is_about(line, model)]
        return _digest(lines[-1]) if lines else ""

    def write_intent(self, line: bytes) -> None:
        """Write the line to the intent file, atomically."""
        draft = self.intent.with_suffix(".draft")
        draft.write_bytes(b"")
        _append(draft, line)
        draft.replace(self.intent)

    def append(self, line: bytes) -> None:
        """Append the line, unless it is the last one already."""
        lines = self.lines()
        if not lines or lines[-1] != line:
            _append(self.path, line + b"\n")

    def require_head(self, model: str, head: str) -> None:
        """Check that the log and MLflow end with the same line about the model.

        Raises:
            RegistryError: one of them is older than the other, is empty, or is gone.
        """
        last = self.head(model)
        if last == head:
            return
        if not head:
            known = max(entry.version for entry in self.read(model))
            raise RegistryError(
                where=f"model {model!r}",
                expected=f"MLflow to know its versions, such as {known}, the highest in {self.path}",
                got="a database without them: it is new, empty, or another one than before",
                remedy="Restore mlflow.db, or the address of the database, from a backup. To begin anew with "
                f"version 1: {ACCEPT}.",
            )
        raise RegistryError(
            where=str(self.path),
            expected=f"the last line about {model!r} to be {head[:12]} (SHA-256), as MLflow recorded",
            got=last[:12] or "no line",
            remedy="The last lines were changed or removed, or mlflow.db is of another time: restore promotions.jsonl "
            f"and mlflow.db from one backup. To go on with what there is: {ACCEPT}.",
        )

    def set_aside(self) -> Path | None:
        """Rename the log, so that the next line begins a new one; returns its new path, None if there was none."""
        self.intent.unlink(missing_ok=True)
        if not self.path.exists():
            return None
        target = self.path.with_name(f"promotions-{now():%Y%m%dT%H%M%S%fZ}.jsonl")
        return self.path.replace(target)

    def verify(self, model: str, head: str) -> int:
        """Check the chain and the model's head; returns the number of lines.

        Raises:
            RegistryError: a line does not hold the hash of the line before; names the first one.
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
                    remedy="The log was changed here or just above: restore promotions.jsonl from a backup. To go on "
                    f"with what there is: {ACCEPT}.",
                )
            previous = _digest(line)
        self.require_head(model, head)
        return len(lines)

    def _split(self) -> tuple[list[bytes], bytes]:
        """The complete lines, and the rest after the last line feed."""
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
                remedy="The log was changed by hand: restore promotions.jsonl from a backup. To go on with what "
                f"there is: {ACCEPT}.",
            ) from error


def now() -> datetime:
    """The current time, UTC."""
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


def _is_about(line: bytes, model: str) -> bool:
    return _is_entry(line) and Promotion.from_line(line).model == model


def _plain(value: Any) -> Any:
    """The value for JSON: NumPy numbers as numbers, NaN and infinity as null, other types as text."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, (bool, int, str)) else str(value)
