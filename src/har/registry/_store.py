"""The registry of one project: versions in, aliases and the promotion log out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from har.errors import NoChampionError, RegistryError
from har.files import file_sha256
from har.registry._artifact import ModelFile
from har.registry._backend import locked
from har.registry._catalog import ARTIFACT, CHALLENGER, CHAMPION, PREVIOUS, Catalog, Version, as_text
from har.registry._moves import Moves
from har.registry._promotions import Promotion, whoami

_FROM_METADATA = ("git_commit", "data_version", "split_id", "network")


class Registry:
    """The registered model `name` in the MLflow folder `folder`; nothing is created before the first `register`.

    MLFLOW_TRACKING_URI, where set, names another backend (Postgres, an MLflow server); the promotion log stays in
    `folder`. Safe between processes: one lock for registering, one for moving aliases.

    Raises (any method):
        RegistryError: MLflow cannot be reached, or another process holds the lock for too long.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = Path(folder).resolve()
        self.name = name
        self._catalog = Catalog(self.folder, name)
        self._moves = Moves(self.folder, self._catalog)

    def register(
        self,
        model: Path,
        *,
        params: Mapping[str, Any],
        metrics: Mapping[str, float],
        recipe: Mapping[str, Any],
        report: Path | None,
        extra_artifacts: Iterable[Path] = (),
        tags: Mapping[str, Any],
    ) -> Version:
        """Store a trained model file with everything it came from.

        The version appears in one step, last; killed before it, a call leaves a run marked KILLED and no version. The
        same file with the same recipe again is the version that there is.

        Args:
            model: `model.onnx`, exported by this project.
            params: shown in MLflow; values longer than it allows are cut (the recipe holds them whole).
            metrics: flat; `reproduce` compares them.
            recipe: everything a retraining needs, as JSON can hold it.
            report: an HTML report, if there is one.
            extra_artifacts: more files to keep with the version, each under its own name; `artifact` gives them back.
            tags: seed, git_dirty …; what the model file's metadata knows is filled in.

        Raises:
            ModelError: a model file that does not load or answer.
            ModelMismatchError: another project's model.
        """
        checked = ModelFile.check(Path(model), project=self.name)
        artifacts = {Path(path).name: Path(path) for path in (*extra_artifacts, *([report] if report else []))}
        for path in artifacts.values():
            _require_file(path)
        recipe_text = json.dumps(recipe, indent=2, sort_keys=True)
        registration = hashlib.sha256(f"{checked.sha256}\n{recipe_text}".encode()).hexdigest()
        known = {name: getattr(checked.metadata, name) for name in _FROM_METADATA}
        fixed = {"sha256": checked.sha256, "registration": registration}
        fixed |= {f"{ARTIFACT}{name}": file_sha256(path) for name, path in artifacts.items()}
        all_tags = {name: as_text(value) for name, value in {**known, **tags, **fixed}.items()}
        with self._catalog.asking(), locked(self.folder / "register.lock", timeout_s=600):
            for row in self._catalog.rows():
                if row.tags.get("registration") == registration:
                    return self.version(int(row.version))
            number = self._catalog.add(
                checked,
                params=params,
                metrics=metrics,
                recipe=recipe_text,
                artifacts=artifacts.values(),
                tags=all_tags,
            )
        return self.version(number)

    def versions(self) -> list[Version]:
        """All usable versions, newest first."""
        self._moves.settle()
        with self._catalog.asking():
            rows = self._catalog.rows()
            aliases = self._catalog.aliases()
            return [self._catalog.version(row, aliases) for row in rows]

    def version(self, number: int | str) -> Version:
        """One version by its number, or by the alias it holds.

        Raises:
            UnknownVersionError: lists those there are.
        """
        self._moves.settle()
        with self._catalog.asking():
            return self._catalog.version(self._catalog.row(number), self._catalog.aliases())

    def champion(self) -> Version:
        """The version that serves.

        Raises:
            NoChampionError: none does yet.
        """
        self._moves.settle()
        with self._catalog.asking():
            aliases = self._catalog.aliases()
            if CHAMPION not in aliases:
                raise self._no_champion()
            return self._catalog.version(self._catalog.row(aliases[CHAMPION]), aliases)

    def model_path(self, version: int | str) -> Path:
        """A local path of the version's `model.onnx`, its bytes checked against what was registered.

        Raises:
            UnknownVersionError: no such version.
            ModelError: the file is gone or was changed.
        """
        self._moves.settle()
        with self._catalog.asking():
            return self._catalog.verified(self._catalog.row(version))

    def artifact(self, version: int | str, name: str) -> Path:
        """A local path of a file that was registered with the version, its bytes checked.

        Args:
            version: its number or alias.
            name: such as "reference.json" or "report.html".

        Raises:
            UnknownVersionError: no such version.
            RegistryError: none of that name was registered with it, or the file is gone or was changed.
        """
        self._moves.settle()
        with self._catalog.asking():
            return self._catalog.artifact(self._catalog.row(version), name)

    def recipe(self, version: int | str) -> dict[str, Any]:
        """The recipe that the version was trained by."""
        with self._catalog.asking():
            return self._catalog.recipe(self._catalog.row(version))

    def set_tags(self, version: int, tags: Mapping[str, str]) -> None:
        """Note something about a version after its registration, such as the bentos that carry it.

        Raises:
            UnknownVersionError: no such version.
            RegistryError: a tag of that name says what was registered, and stays.
        """
        with self._catalog.asking():
            row = self._catalog.row(version)
            for name in tags:
                if name in ("sha256", "registration", "status", *_FROM_METADATA) or name.startswith(ARTIFACT):
                    raise RegistryError(
                        where=f"version {version}, tag {name!r}",
                        expected="a tag that says nothing about where the version came from",
                        got="one that was written at registration",
                        remedy="Choose another name.",
                    )
            self._catalog.set_tags(row, tags)

    def set_challenger(self, version: int, *, reason: str = "registered", who: str = "") -> Promotion:
        """Give the version the alias `challenger`.

        Raises:
            UnknownVersionError: no such version.
            RegistryError: it is the champion.
        """

        def plan(before: dict[str, int]) -> dict[str, int]:
            if before.get(CHAMPION) == version:
                raise RegistryError(
                    where=f"version {version}",
                    expected="a version that could challenge the champion",
                    got="the champion itself",
                    remedy="It serves already: nothing is to be done.",
                )
            return {**before, CHALLENGER: version}

        return self._moves.move("challenge", version, plan, reason=reason, who=who or whoami())

    def promote(
        self,
        version: int,
        *,
        reason: str,
        who: str,
        figures: Mapping[str, Any] | None = None,
        by_gate: bool = False,
    ) -> Promotion:
        """Make the version champion and the champion previous; a version that is champion already stays it.

        Raises:
            UnknownVersionError: no such version.
            ModelError: its file is gone or was changed; nothing moves.
        """

        def plan(before: dict[str, int]) -> dict[str, int]:
            self._catalog.verified(self._catalog.row(version))
            after = {name: number for name, number in before.items() if (name, number) != (CHALLENGER, version)}
            if before.get(CHAMPION) == version:
                return after
            if CHAMPION in before:
                after[PREVIOUS] = before[CHAMPION]
            return {**after, CHAMPION: version}

        return self._moves.move("promote", version, plan, reason=reason, who=who, figures=figures, by_gate=by_gate)

    def rollback(self, *, reason: str, who: str) -> Promotion:
        """Swap champion and previous; a second rollback undoes the first.

        Raises:
            NoChampionError: there is no champion, or nothing to roll back to.
            ModelError: the previous version's file is gone or was changed; nothing moves.
        """

        def plan(before: dict[str, int]) -> dict[str, int]:
            if CHAMPION not in before:
                raise self._no_champion()
            if PREVIOUS not in before:
                raise NoChampionError(
                    where=f"model {self.name!r}",
                    expected="a previous champion to roll back to",
                    got=f"only version {before[CHAMPION]}",
                    remedy="Promote another version: har models lists them, har promote VERSION.",
                )
            self._catalog.verified(self._catalog.row(before[PREVIOUS]))
            return {**before, CHAMPION: before[PREVIOUS], PREVIOUS: before[CHAMPION]}

        return self._moves.move("rollback", None, plan, reason=reason, who=who)

    def reject(
        self,
        version: int,
        reason: str,
        *,
        who: str = "",
        figures: Mapping[str, Any] | None = None,
        by_gate: bool = False,
    ) -> Promotion:
        """Record that the version shall not serve, and take the alias `challenger` from it.

        Raises:
            UnknownVersionError: no such version.
            RegistryError: it is the champion.
        """

        def plan(before: dict[str, int]) -> dict[str, int]:
            if before.get(CHAMPION) == version:
                raise RegistryError(
                    where=f"version {version}",
                    expected="a version that does not serve",
                    got="the champion",
                    remedy="Take it out of service with har rollback, or promote another version.",
                )
            return {name: number for name, number in before.items() if (name, number) != (CHALLENGER, version)}

        return self._moves.move(
            "reject", version, plan, reason=reason, who=who or whoami(), figures=figures, by_gate=by_gate
        )

    def log(self) -> list[Promotion]:
        """Every decision, oldest first."""
        self._moves.settle()
        return self._moves.log.read(self.name)

    def verify_log(self) -> int:
        """The number of lines of an unchanged log.

        Raises:
            RegistryError: a line was changed, removed or added by other means; names it.
        """
        self._moves.settle()
        with self._catalog.asking():
            return self._moves.log.verify(self.name, self._catalog.head())

    def _no_champion(self) -> NoChampionError:
        rows = self._catalog.rows()
        numbers = ", ".join(str(row.version) for row in reversed(rows))
        return NoChampionError(
            where=f"model {self.name!r}",
            expected="a champion",
            got=f"none among the versions {numbers}" if rows else "no registered version",
            remedy="Train one: har train. Or promote one by hand: har promote VERSION."
            if rows
            else "Train one: har train.",
        )


def _require_file(path: Path) -> None:
    if not path.is_file():
        raise RegistryError(
            where=str(path), expected="a file to keep with the version", got="none", remedy="Write it first."
        )
