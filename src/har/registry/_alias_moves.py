"""Move aliases and write the promotion log together, so that they agree even after the process is killed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from har.errors import RegistryError
from har.registry._backend import is_local, locked
from har.registry._catalog import CHAMPION, Catalog
from har.registry._promotions import Action, Promotion, PromotionLog, now

Plan = Callable[[dict[str, int]], dict[str, int]]
"""Returns the new aliases for the current ones; raises if the move is not allowed."""


class AliasMoves:
    """Moves aliases and writes the log, under a lock between processes."""

    def __init__(self, folder: Path, catalog: Catalog) -> None:
        self._lock = folder / "promotions.lock"
        self._catalog = catalog
        self.log = PromotionLog(folder)

    def move(
        self,
        action: Action,
        version: int | None,
        plan: Plan,
        *,
        reason: str,
        who: str,
        figures: Mapping[str, Any] | None = None,
        by_gate: bool = False,
    ) -> Promotion:
        """Move the aliases by `plan` and log it; if nothing changes, return the entry that set them.

        The entry is about `version`, or, if that is None, about the new champion.
        """
        _require("reason", reason)
        _require("who", who)
        with self._exclusive():
            self.log.verify(self._catalog.name, self._catalog.head())
            before = self._catalog.aliases()
            self._log_foreign_moves(before)
            if version is not None:
                self._catalog.row(version)
            after = plan(before)
            subject = after[CHAMPION] if version is None else version
            if after == before and action in ("challenge", "promote"):
                for entry in reversed(self.log.read(self._catalog.name)):
                    if (entry.action, entry.version) == (action, subject):
                        return entry
            return self._carry_out(
                action, subject, before, after, reason=reason, who=who, figures=figures or {}, by_gate=by_gate
            )

    def settle(self) -> None:
        """Finish a move that a killed process began."""
        if self.log.intent.exists():
            with self._exclusive():
                pass

    def require_agreement(self) -> None:
        """Finish a move that a killed process began, then check that the log and MLflow end with the same decision.

        Raises:
            RegistryError: one of them was lost, restored or changed; says what to do.
        """
        self.settle()
        with self._catalog.registry_errors():
            if self.log.head(self._catalog.name) != self._catalog.head():
                with self._exclusive():  # another process may just be between its two steps
                    self.log.require_head(self._catalog.name, self._catalog.head())

    def require_agreement_here(self) -> None:
        """As `require_agreement`, except on a machine that reads a registry of elsewhere and has no log of it.

        An engine's workers are such: the job that sent them a version's number has compared log and MLflow.
        """
        if is_local() or self.log.path.exists():
            self.require_agreement()

    def accept(self, *, reason: str, who: str) -> Path | None:
        """Set the log aside, and begin a new one with the aliases as they are.

        Returns:
            The new path of the log that was set aside; None if there was none.
        """
        _require("reason", reason)
        with self._catalog.registry_errors(), locked(self._lock):
            path = self.log.set_aside()
            if self._catalog.known:
                self._catalog.set_head("")
                aliases = self._catalog.aliases()
                self._carry_out("noticed", aliases.get(CHAMPION, 0), {}, aliases, reason=reason, who=who)
            return path

    @contextmanager
    def held_still(self) -> Iterator[None]:
        """Hold the lock: nobody moves an alias or writes to the log during the block."""
        with self._exclusive():
            yield

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        """Hold the lock, with the log repaired and interrupted moves finished."""
        with self._catalog.registry_errors(), locked(self._lock):
            self.log.repair()
            if self.log.intent.exists():
                self._finish(self.log.intent.read_bytes())
            yield

    def _log_foreign_moves(self, before: dict[str, int]) -> None:
        """Log changes of the aliases that were not made through this log, such as by hand in MLflow."""
        entries = self.log.read(self._catalog.name)
        expected = entries[-1].aliases if entries else {}
        if expected != before:
            champion = before.get(CHAMPION)
            reason = f"aliases were moved outside of this project: {expected} became {before}"
            self._carry_out("noticed", champion or 0, expected, before, reason=reason, who="unknown")

    def _carry_out(
        self,
        action: Action,
        version: int,
        before: Mapping[str, int],
        after: dict[str, int],
        *,
        reason: str,
        who: str,
        figures: Mapping[str, Any] | None = None,
        by_gate: bool = False,
    ) -> Promotion:
        entry = Promotion(
            when=now(),
            who=who,
            action=action,
            version=version,
            champion_before=before.get(CHAMPION),
            champion_after=after.get(CHAMPION),
            reason=reason,
            figures=dict(figures or {}),
            by_gate=by_gate,
            model=self._catalog.name,
            aliases=after,
        )
        line = self.log.compose(entry, self._catalog.head())
        self.log.write_intent(line)
        self._finish(line)
        return Promotion.from_line(line)

    def _finish(self, line: bytes) -> None:
        """Steps 2 to 5 of a move, see `har.registry._promotions`; each can be repeated."""
        entry = Promotion.from_line(line)
        catalog = self._catalog if entry.model == self._catalog.name else Catalog(self._catalog.folder, entry.model)
        self.log.append(line)
        catalog.set_aliases(entry.aliases)
        catalog.set_head(self.log.head(entry.model))
        self.log.intent.unlink()


def _require(name: str, value: str) -> None:
    if not value.strip():
        raise RegistryError(
            where=name,
            expected="a text for the promotion log",
            got=repr(value),
            remedy=f"Give `{name}`: people read the log when something went wrong.",
        )
