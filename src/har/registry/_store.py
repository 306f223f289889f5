"""The registry of one project: register versions, move aliases, read the promotion log."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from har.console import whoami
from har.errors import NoChampionError, RegistryError
from har.files import file_sha256
from har.recipe import Recipe
from har.registry._alias_moves import AliasMoves
from har.registry._artifact import ModelFile
from har.registry._backend import locked
from har.registry._catalog import ARTIFACT, CHALLENGER, CHAMPION, PREVIOUS, Catalog, Version, as_text
from har.registry._copy import copy_database
from har.registry._promotions import Promotion
from har.storage import Location

_FROM_METADATA = ("git_commit", "data_version", "split_id", "network")


class Registry:
    """The registered model `name` in the MLflow folder `folder`; the first `register` creates it.

    MLFLOW_TRACKING_URI can name another backend (Postgres, an MLflow server); the promotion log stays in `folder`.
    Model files are below `folder`, or at `artifacts` on object storage, from where each is downloaded once.
    Several processes may use one registry: there is a lock for registering and one for moving aliases.

    Before a version is registered, given an alias or its files are read, the promotion log and MLflow are compared: a
    database that was emptied would otherwise count from 1 again, and one that was restored would serve another version.

    Raises (any method):
        RegistryError: MLflow fails, it and the promotion log disagree, or another process holds the lock for too long.
        StoreError: object storage refuses.
    """

    def __init__(self, folder: Path, name: str, *, artifacts: Location | None = None) -> None:
        self.folder = Path(folder).resolve()
        self.name = name
        self._catalog = Catalog(self.folder, name, artifacts)
        self._moves = AliasMoves(self.folder, self._catalog)

    def register(
        self,
        model: Path,
        *,
        params: Mapping[str, Any],
        metrics: Mapping[str, float],
        recipe: Recipe,
        report: Path | None,
        extra_artifacts: Iterable[Path] = (),
        tags: Mapping[str, Any],
    ) -> Version:
        """Store a trained model file with its recipe, metrics and files.

        The version appears last, in one step; a call that is killed before leaves a run marked KILLED and no version.
        Registering the same file with the same recipe again returns the existing version.

        Args:
            model: `model.onnx`, exported by this project.
            params: shown in MLflow; values that are too long for it are cut (the recipe has them in full).
            metrics: a number per name; `har reproduce` compares them.
            recipe: the model's.
            report: an HTML report, if there is one.
            extra_artifacts: more files to store with the version; `artifact` returns them by name.
            tags: seed, git_dirty …; those in the model file's metadata are added.

        Raises:
            ModelError: the model file cannot be loaded or fails.
            ModelMismatchError: the model belongs to another project.
        """
        checked = ModelFile.check(Path(model), project=self.name)
        artifacts = {Path(path).name: Path(path) for path in (*extra_artifacts, *([report] if report else []))}
        for path in artifacts.values():
            _require_file(path)
        recipe_text = json.dumps(recipe.to_json(), indent=2, sort_keys=True)
        registration = hashlib.sha256(f"{checked.sha256}\n{recipe_text}".encode()).hexdigest()
        known = {name: getattr(checked.metadata, name) for name in _FROM_METADATA}
        fixed = {"sha256": checked.sha256, "registration": registration}
        fixed |= {f"{ARTIFACT}{name}": file_sha256(path) for name, path in artifacts.items()}
        all_tags = {name: as_text(value) for name, value in {**known, **tags, **fixed}.items()}
        self._moves.require_agreement()
        with self._catalog.registry_errors(), locked(self.folder / "register.lock", timeout_s=600):
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

    def require_place(self) -> None:
        """Refuse now what `register` would refuse about object storage, after a long training."""
        with self._catalog.registry_errors():
            self._catalog.require_place()

    def versions(self) -> list[Version]:
        """All usable versions, newest first."""
        self._moves.settle()
        with self._catalog.registry_errors():
            rows = self._catalog.rows()
            aliases = self._catalog.aliases()
            return [self._catalog.version(row, aliases) for row in rows]

    def version(self, number: int | str) -> Version:
        """One version by number or alias.

        Raises:
            UnknownVersionError: there is none; lists the versions.
        """
        self._moves.settle()
        with self._catalog.registry_errors():
            return self._catalog.version(self._catalog.row(number), self._catalog.aliases())

    def champion(self) -> Version:
        """The champion, the version that serves.

        Raises:
            NoChampionError: there is none yet.
        """
        self._moves.require_agreement()
        with self._catalog.registry_errors():
            aliases = self._catalog.aliases()
            if CHAMPION not in aliases:
                raise self._no_champion()
            return self._catalog.version(self._catalog.row(aliases[CHAMPION]), aliases)

    def model_path(self, version: int | str) -> Path:
        """The local path of the version's `model.onnx`; its hash is checked.

        Raises:
            UnknownVersionError: no such version.
            ModelError: the file is missing or was changed.
        """
        self._moves.require_agreement_here()
        with self._catalog.registry_errors():
            return self._catalog.verified(self._catalog.row(version))

    def artifact(self, version: int | str, name: str) -> Path:
        """The local path of a file that was registered with the version; its hash is checked.

        Args:
            version: its number or alias.
            name: such as "reference.json" or "report.html".

        Raises:
            UnknownVersionError: no such version.
            RegistryError: no file of that name was registered with it, or the file is missing or was changed.
        """
        self._moves.require_agreement_here()
        with self._catalog.registry_errors():
            return self._catalog.artifact(self._catalog.row(version), name)

    def recipe(self, version: int | str) -> Recipe:
        """The recipe that the version was trained from.

        Raises:
            UnknownVersionError: no such version.
            RegistryError: the recipe lacks a field, or has one that only a newer release knows.
        """
        return Recipe.from_json(self.recipe_values(version), where=f"recipe of version {version}")

    def recipe_values(self, version: int | str) -> dict[str, Any]:
        """The recipe as JSON values, exactly as the release that registered the version wrote them.

        Raises:
            UnknownVersionError: no such version.
        """
        with self._catalog.registry_errors():
            return self._catalog.recipe_values(self._catalog.row(version))

    def attach(self, version: int, path: Path) -> None:
        """Store one more file with a registered version, such as its card; `artifact` returns it by name.

        Attaching the same file again changes nothing.

        Raises:
            UnknownVersionError: no such version.
            RegistryError: the version has another file of this name.
        """
        _require_file(path)
        digest = file_sha256(path)
        with self._catalog.registry_errors(), locked(self.folder / "register.lock", timeout_s=600):
            row = self._catalog.row(version)
            known = row.tags.get(f"{ARTIFACT}{path.name}")
            if known is None:
                self._catalog.attach(row, path, digest)
            elif known != digest:
                raise RegistryError(
                    where=f"version {version}, {path.name}",
                    expected=f"the file that it has (SHA-256 {known[:12]}…), or another name",
                    got=f"other content ({digest[:12]}…)",
                    remedy="Files of a version never change: choose another name.",
                )

    def set_tags(self, version: int, tags: Mapping[str, str]) -> None:
        """Add tags to a registered version, such as the bentos that were built of it.

        Raises:
            UnknownVersionError: no such version.
            RegistryError: the tag was written at registration and cannot be changed.
        """
        with self._catalog.registry_errors():
            row = self._catalog.row(version)
            for name in tags:
                if name in ("sha256", "registration", "status", *_FROM_METADATA) or name.startswith(ARTIFACT):
                    raise RegistryError(
                        where=f"version {version}, tag {name!r}",
                        expected="a tag that can be changed",
                        got="one that was written at registration",
                        remedy="Choose another name.",
                    )
            self._catalog.set_tags(row, tags)

    def set_challenger(self, version: int, *, reason: str = "registered", who: str = "") -> Promotion:
        """Give the version the alias `challenger`.

        Raises:
            UnknownVersionError: no such version.
            RegistryError: the version is the champion.
        """

        def plan(before: dict[str, int]) -> dict[str, int]:
            if before.get(CHAMPION) == version:
                raise RegistryError(
                    where=f"version {version}",
                    expected="another version than the champion",
                    got="the champion",
                    remedy="The version serves already: there is nothing to do.",
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
        """Make the version champion and the former champion `previous`; promoting the champion changes nothing.

        Raises:
            UnknownVersionError: no such version.
            ModelError: the model file is missing or was changed; no alias was moved.
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
            NoChampionError: there is no champion or no previous version.
            ModelError: the previous version's model file is missing or was changed; no alias was moved.
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
        """Record that the version must not serve, and remove its alias `challenger`.

        Raises:
            UnknownVersionError: no such version.
            RegistryError: the version is the champion.
        """

        def plan(before: dict[str, int]) -> dict[str, int]:
            if before.get(CHAMPION) == version:
                raise RegistryError(
                    where=f"version {version}",
                    expected="another version than the champion",
                    got="the champion",
                    remedy="Take it out of service with har rollback, or promote another version.",
                )
            return {name: number for name, number in before.items() if (name, number) != (CHALLENGER, version)}

        return self._moves.move(
            "reject", version, plan, reason=reason, who=who or whoami(), figures=figures, by_gate=by_gate
        )

    def note_release(self, version: int, *, reason: str, who: str, figures: Mapping[str, Any]) -> Promotion:
        """Write a step of the version's release into the promotion log; no alias is moved.

        Args:
            version: that is released.
            reason: what happened, in a sentence.
            who: the judge, or a person.
            figures: what was compared; with a `record`, the same one is written once.

        Raises:
            UnknownVersionError: no such version.
        """
        record = figures.get("record")
        for entry in reversed(self.log()):
            if record is not None and entry.action == "release" and entry.figures.get("record") == record:
                return entry
        return self._moves.move("release", version, dict, reason=reason, who=who, figures=figures)

    @contextmanager
    def held_still(self) -> Iterator[None]:
        """Hold both locks: nobody registers or promotes a version during the block."""
        with locked(self.folder / "register.lock", timeout_s=600), self._moves.held_still():
            yield

    def copy_database(self, target: Path) -> None:
        """Copy the database into the folder `target`; `held_still` makes the promotion log agree with it.

        Raises:
            BackupError: it cannot be copied from here.
        """
        copy_database(self.folder, target)

    def log(self) -> list[Promotion]:
        """Every decision, oldest first."""
        self._moves.settle()
        return self._moves.log.read(self.name)

    def verify_log(self) -> int:
        """Check that the promotion log was not edited; returns its number of lines.

        Raises:
            RegistryError: a line was changed, removed or added outside of this project; names it.
        """
        self._moves.settle()
        with self._catalog.registry_errors():
            return self._moves.log.verify(self.name, self._catalog.head())

    def verify(self) -> int:
        """Check the promotion log, its agreement with MLflow, and the model files of all versions with an alias.

        Returns:
            The log's number of lines.

        Raises:
            RegistryError: log and MLflow disagree, or the log was edited.
            ModelError: a model file is missing or was changed.
        """
        lines = self.verify_log()
        for version in self.versions():
            if version.aliases:
                self.model_path(version.number)
        return lines

    def require_agreement(self) -> None:
        """Check that the promotion log and MLflow end with the same decision.

        Raises:
            RegistryError: one of them was lost, restored or changed; says what to do.
        """
        self._moves.require_agreement()

    def accept(self, *, reason: str, who: str) -> Path | None:
        """Take registry and promotion log as they are after a loss: set the log aside, and begin a new one.

        Returns:
            The new path of the old log; None if there was none.
        """
        return self._moves.accept(reason=reason, who=who)

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
            where=str(path), expected="a file to store with the version", got="no such file", remedy="Write it first."
        )
