"""Which backend serves which subjects: one line of HAProxy's map, so that a single command changes all of it at once.

The proxy computes a subject's bucket as `har.release.bucket` does. It also holds the lease: when nobody renews it in
time, everybody is served by the stable version, whoever has died.
"""

from __future__ import annotations

import math
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from har.errors import ReleaseError
from har.files import write_atomically
from har.release import BUCKETS, buckets

Backend = Literal["blue", "green"]
"""One holds the stable version; the other one the canary, or the former version after a promotion."""
BACKENDS: tuple[Backend, ...] = get_args(Backend)

KEY = "split"
"""The map's only key."""

_NOTHING = "-"
_SALT = re.compile(r"[A-Za-z0-9._-]{1,64}")
_LINE = re.compile(
    rf"{KEY} (?P<share>\d+)\|(?P<until>\d+)\|(?P<salt>[A-Za-z0-9._-]+)"
    r"\|(?P<stable>blue|green)\|(?P<canary>blue|green|-)\|(?P<former>blue|green|-)"
)


@dataclass(frozen=True)
class Split:
    """The rule in force.

    Attributes:
        stable: serves everybody whom the canary does not serve.
        canary: serves the share; None: no version is being released.
        former: serves everybody while no replica of the stable version is usable; None: there is none.
        share: of the subjects whom the canary serves, 0 to 1.
        until: when the share ends unless it is renewed, in seconds since 1970.
        salt: of the release.
    """

    stable: Backend = "blue"
    canary: Backend | None = None
    former: Backend | None = None
    share: float = 0.0
    until: float = 0.0
    salt: str = ""

    @property
    def value(self) -> str:
        """As the map has it: six fields between bars.

        Raises:
            ReleaseError: the salt has characters that the map cannot hold.
        """
        if self.salt and not _SALT.fullmatch(self.salt):
            raise ReleaseError(
                where="salt of the release",
                expected="1 to 64 letters, digits, '.', '_' and '-'",
                got=repr(self.salt),
                remedy="Use the release's id.",
            )
        names = (self.salt, self.stable, self.canary, self.former)
        return "|".join([str(buckets(self.share)), str(math.ceil(self.until)), *(name or _NOTHING for name in names)])

    def write(self, path: Path) -> None:
        """Write the map, from which a restarted proxy takes the rule."""
        write_atomically(path, f"{KEY} {self.value}\n")

    @classmethod
    def read(cls, path: Path) -> Split:
        """The rule in the map's file; the default rule if there is none, or not one that `write` wrote."""
        try:
            match = _LINE.fullmatch(path.read_text(encoding="utf-8").strip())
        except FileNotFoundError:
            match = None
        if match is None:
            return cls()
        names = {name: None if match[name] == _NOTHING else match[name] for name in ("salt", "canary", "former")}
        return cls(
            stable=match["stable"],  # type: ignore[arg-type]
            canary=names["canary"],  # type: ignore[arg-type]
            former=names["former"],  # type: ignore[arg-type]
            share=int(match["share"]) / BUCKETS,
            until=float(match["until"]),
            salt=names["salt"] or "",
        )

    def share_at(self, now: float | None = None) -> float:
        """The share that the canary serves at a time, by default now."""
        held = self.until > (time.time() if now is None else now)
        return self.share if self.canary and held else 0.0


def other(backend: Backend) -> Backend:
    """The one of the two that this is not."""
    return "green" if backend == "blue" else "blue"
