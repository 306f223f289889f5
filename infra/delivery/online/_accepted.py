"""Vulnerabilities that the project has accepted: each with its package, a reason, and a date at which it counts again.

[[accept]]
id = "PYSEC-2026-17"
package = "onnxruntime"
until = 2027-03-31
reason = "Only reading of untrusted models is affected; the service reads its own, by hash."
"""

from __future__ import annotations

import datetime as dt
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from har.errors import ScanError


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    id: str = Field(min_length=1)
    package: str = Field(min_length=1)
    until: dt.date
    reason: str = Field(min_length=10)


@dataclass
class Accepted:
    """The entries of the file, and which of them were used."""

    today: dt.date
    entries: list[_Entry]
    where: str = ""
    _used: set[int] = field(default_factory=set)

    def reason(self, package: str, ids: list[str]) -> dict[str, Any] | None:
        """Why a vulnerability of this package, known by these ids, is accepted today; None: it is not."""
        for number, entry in enumerate(self.entries):
            if entry.id in ids and canonicalize_name(entry.package) == package:
                self._used.add(number)
                if self.today <= entry.until:
                    return {"until": entry.until.isoformat(), "reason": entry.reason}
        return None

    def unused(self) -> list[str]:
        """What to remove from the file, in sentences."""
        ended = [entry for entry in self.entries if entry.until < self.today]
        unused = [entry for number, entry in enumerate(self.entries) if number not in self._used]
        texts = [f"{self.where}: the acceptance of {entry.id} ended on {entry.until}." for entry in ended]
        return texts + [f"{self.where}: {entry.id} of {entry.package} was not found; remove it." for entry in unused]


def read_accepted(path: Path, *, today: dt.date) -> Accepted:
    """Read the file; without one, nothing is accepted.

    Raises:
        ScanError: it is no TOML, or an entry lacks its id, package, reason or end.
    """
    if not path.exists():
        return Accepted(today, [])
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        if unknown := content.keys() - {"accept"}:
            raise ValueError(f"unknown: {', '.join(sorted(unknown))}")
        return Accepted(today, [_Entry.model_validate(one) for one in content.get("accept", [])], path.name)
    except ValidationError as error:
        first = error.errors()[0]
        got = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        raise _wrong(path, got) from error
    except (OSError, ValueError, TypeError) as error:
        raise _wrong(path, str(error)) from error


def _wrong(path: Path, got: str) -> ScanError:
    return ScanError(
        where=str(path),
        expected="tables [[accept]] with id, package, until (a date) and reason (a sentence)",
        got=got,
        remedy="Correct the entry; an acceptance without a reason or an end is none.",
    )
