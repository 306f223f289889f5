"""All calls of MLflow: runs, versions, aliases and files of one registered model."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from har.errors import ModelError, RegistryError, UnknownVersionError
from har.files import temporary_folder
from har.registry._artifact import FILE_NAME, FOLDER, ModelFile, stage
from har.registry._backend import DATABASE, artifact_root, connect, is_local, registry_errors
from har.registry._files import Files, Wanted
from har.registry._snapshot import Contents, Row, outdated, read, stamp_of, write
from har.storage import Location

CHAMPION, CHALLENGER, PREVIOUS = ALIASES = ("champion", "challenger", "previous")
RECIPE = "recipe.json"
SNAPSHOT = "versions.json"
"""A cache of the database's content, beside the database; it can be deleted at any time."""
ARTIFACT = "artifact."
"""Prefix of tags that hold the SHA-256 of a file registered with the version."""
_REPORT_FOLDER = "report"
_COMPLETE = {"status": "complete"}
_HEAD = "promotions_head"
_REGISTRAR = "har.registrar"
_PARAMETER_LENGTH = 6000
_BATCH = 100


@dataclass(frozen=True)
class Version:
    """One registered version.

    Attributes:
        number: counted from 1.
        run_id: the MLflow run with its parameters, metrics and files.
        aliases: among champion, challenger, previous.
        created: UTC.
        metrics: recorded at training.
        params: recorded at training, as text.
        tags: git_commit, git_dirty, data_version, split_id, seed, network, sha256 …
    """

    number: int
    run_id: str
    aliases: tuple[str, ...]
    created: datetime
    metrics: dict[str, float]
    params: dict[str, str]
    tags: dict[str, str]

    @property
    def sha256(self) -> str:
        """SHA-256 of the model file."""
        return self.tags["sha256"]

    def has(self, name: str) -> bool:
        """Whether a file of this name is stored with it; `Registry.artifact` returns it."""
        return f"{ARTIFACT}{name}" in self.tags

    def sha256_of(self, name: str) -> str:
        """SHA-256 of a file that is stored with it."""
        return self.tags[f"{ARTIFACT}{name}"]


class Catalog:
    """The registered model `name`; the first `add` creates the folder and its database."""

    def __init__(self, folder: Path, name: str, artifacts: Location | None = None) -> None:
        self.folder = folder
        self.name = name
        self._artifacts = artifacts
        self._files = Files(folder, name, artifacts, lambda: self.client)
        self._connection: Any = None
        self._memory: tuple[str, Contents] | None = None

    @property
    def exists(self) -> bool:
        """Whether there is a database; if not, MLflow, which takes seconds to import, is not needed."""
        return not is_local() or (self.folder / DATABASE).exists()

    @property
    def client(self) -> Any:
        """The MLflow client, connected on first use."""
        if self._connection is None:
            self._connection = connect(self.folder)
        return self._connection

    @contextmanager
    def registry_errors(self) -> Iterator[None]:
        """Raise MLflow's errors as RegistryError."""
        with registry_errors(self.folder):
            yield

    def rows(self) -> list[Row]:
        """The usable versions, newest first."""
        return list(self._contents().rows)

    def _contents(self) -> Contents:
        """MLflow's entries of the model, from the cache if the database is unchanged."""
        if not self.exists:
            return Contents()
        if not is_local():
            return self._fetch({})
        database, snapshot = self.folder / DATABASE, self.folder / SNAPSHOT
        stamp = stamp_of(database)
        if stamp is not None and self._memory is not None and self._memory[0] == stamp:
            return self._memory[1]
        contents = read(snapshot, self.name, stamp)
        if contents is None:
            before = self._memory[1] if self._memory else outdated(snapshot, self.name)
            contents = self._fetch({row.run_id: row for row in before.rows})
            stamp = stamp_of(database) if stamp == stamp_of(database) else None
            if stamp is not None:
                write(snapshot, self.name, stamp, contents)
        self._memory = None if stamp is None else (stamp, contents)
        return contents

    def _fetch(self, before: Mapping[str, Row]) -> Contents:
        """Read from MLflow; from a local database, also each version's run, whose values never change."""
        quote = '"' if "'" in self.name else "'"
        condition = f"name = {quote}{self.name}{quote}"
        if not self.client.search_registered_models(condition):
            return Contents()
        rows, token = [], None
        while True:
            page = self.client.search_model_versions(condition, page_token=token)
            rows += [row for row in page if row.tags.items() >= _COMPLETE.items() and "sha256" in row.tags]
            token = page.token
            if not token:
                break
        found = []
        for row in sorted(rows, key=lambda row: -int(row.version)):
            version = Row(int(row.version), row.run_id, row.creation_timestamp, dict(row.tags))
            if is_local():
                run = before.get(row.run_id)
                known = run is not None and run.metrics is not None and run.params is not None
                metrics, params = (run.metrics, run.params) if run and known else self._values(row.run_id)
                version = replace(version, metrics=metrics, params=params)
            found.append(version)
        model = self.client.get_registered_model(self.name)
        return Contents(
            tuple(found), {name: int(number) for name, number in model.aliases.items()}, dict(model.tags), True
        )

    def _values(self, run_id: str) -> tuple[dict[str, float], dict[str, str]]:
        data = self.client.get_run(run_id).data
        return dict(data.metrics), dict(data.params)

    def row(self, version: int | str) -> Row:
        """The row of one version, by number or alias."""
        wanted = str(self.aliases().get(str(version), version)) if isinstance(version, str) else str(version)
        rows = self.rows()
        for row in rows:
            if str(row.version) == wanted:
                return row
        raise UnknownVersionError(
            where=f"model {self.name!r}",
            expected=f"one of the versions {', '.join(str(row.version) for row in reversed(rows))}"
            if rows
            else "a registered version",
            got=f"{version}" if rows else f"{version}, and none is registered yet",
            remedy="List them: har models." if rows else "Train one: har train.",
        )

    def version(self, row: Row, aliases: Mapping[str, int]) -> Version:
        """A row together with its run's parameters and metrics."""
        if row.metrics is None or row.params is None:
            metrics, params = self._values(row.run_id)
        else:
            metrics, params = dict(row.metrics), dict(row.params)
        return Version(
            number=row.version,
            run_id=row.run_id,
            aliases=tuple(name for name, number in aliases.items() if number == row.version),
            created=datetime.fromtimestamp(row.created_ms / 1000, UTC),
            metrics=metrics,
            params=params,
            tags={name: value for name, value in row.tags.items() if name not in _COMPLETE},
        )

    def aliases(self) -> dict[str, int]:
        """The version that has each alias: champion, challenger, previous."""
        known = self._contents().aliases
        return {name: known[name] for name in ALIASES if name in known}

    def set_aliases(self, wanted: Mapping[str, int]) -> None:
        """Move the aliases. The champion's is set in one step: it always names the old or the new version."""
        before = self.aliases()
        known = {row.version for row in self.rows()}
        for name in (PREVIOUS, CHAMPION, CHALLENGER):
            number = wanted.get(name)
            if number is None and name in before:
                self.client.delete_registered_model_alias(self.name, name)
            elif number is not None and number != before.get(name) and number in known:
                self.client.set_registered_model_alias(self.name, name, str(number))

    @property
    def known(self) -> bool:
        """Whether MLflow has an entry for the model, with or without versions."""
        return self._contents().known

    def head(self) -> str:
        """The hash of the promotion log's last line, as recorded here."""
        return self._contents().tags.get(_HEAD, "")

    def set_head(self, digest: str) -> None:
        """Record the hash of the promotion log's last line."""
        self.client.set_registered_model_tag(self.name, _HEAD, digest)

    def add(
        self,
        model: ModelFile,
        *,
        params: Mapping[str, Any],
        metrics: Mapping[str, float],
        recipe: str,
        artifacts: Iterable[Path],
        tags: Mapping[str, str],
    ) -> int:
        """Store a run, then the version that points to it; returns the version's number."""
        client = self.client
        if not self._contents().known:
            client.create_registered_model(self.name)
        experiment = self._experiment()
        self._end_killed_runs(experiment)
        run = client.create_run(
            experiment,
            run_name=f"{tags['network']} {model.metadata.trained_at}",
            tags={**tags, _REGISTRAR: self._registrar},
        )
        run_id = run.info.run_id
        try:
            self._log_values(run_id, params, metrics)
            with temporary_folder("register") as folder:
                stage(model, folder / FOLDER, run_id=run_id)
                for path in sorted((folder / FOLDER).iterdir()):
                    self._files.store(run, path, FOLDER)
                (folder / RECIPE).write_text(recipe)
                self._files.store(run, folder / RECIPE)
            for path in artifacts:
                self._files.store(run, path, _REPORT_FOLDER)
        except BaseException:
            client.set_terminated(run_id, "FAILED")
            raise
        client.set_terminated(run_id, "FINISHED")
        created = client.create_model_version(
            self.name,
            f"{run.info.artifact_uri}/{FOLDER}",
            run_id,
            tags={**tags, **_COMPLETE},
            await_creation_for=0,
        )
        return int(created.version)

    def verified(self, row: Row) -> Path:
        """The local path of the version's model file, downloaded if needed; its hash is checked."""
        wanted = Wanted(
            f"{FOLDER}/{FILE_NAME}",
            row.tags["sha256"],
            ModelError,
            "the registered model file",
            gone="Restore it from a backup, or train again: har train.",
            changed="The file was changed after training: restore it from a backup, or roll back: har rollback.",
        )
        return self._files.path(row, wanted)

    def artifact(self, row: Row, name: str) -> Path:
        """The local path of a file registered with the version, downloaded if needed; its hash is checked."""
        digest = row.tags.get(f"{ARTIFACT}{name}")
        if digest is None:
            known = ", ".join(sorted(tag.removeprefix(ARTIFACT) for tag in row.tags if tag.startswith(ARTIFACT)))
            raise RegistryError(
                where=f"version {row.version}",
                expected=f"a file {name!r} that was registered with it",
                got=known or "none: an older release registered it without files",
                remedy="Train and promote a version that has one: har train.",
            )
        remedy = "Restore it from a backup, or train again: har train."
        what = f"the registered file {name!r}"
        return self._files.path(
            row, Wanted(f"{_REPORT_FOLDER}/{name}", digest, RegistryError, what, gone=remedy, changed=remedy)
        )

    def attach(self, row: Row, path: Path, digest: str) -> None:
        """Store a file with the run of a version, then its hash with the version."""
        self._files.store(self.client.get_run(row.run_id), path, _REPORT_FOLDER)
        self.set_tags(row, {f"{ARTIFACT}{path.name}": digest})

    def set_tags(self, row: Row, tags: Mapping[str, str]) -> None:
        """Set tags of a version; its other tags stay."""
        for name, value in tags.items():
            self.client.set_model_version_tag(self.name, str(row.version), name, value)

    def recipe_values(self, row: Row) -> dict[str, Any]:
        """The content of a version's recipe.json."""
        return dict(json.loads(self._files.text(row, RECIPE)))

    def require_place(self) -> None:
        """Refuse artifacts on object storage if it refuses them, or if the experiment has another place."""
        if self._artifacts is not None:
            self._artifacts.probe()
            self._experiment()

    def _experiment(self) -> str:
        """The experiment with artifacts in this folder, or at `artifacts`, which never changes of one experiment.

        A project that was moved gets a new one for its new folder; one that leaves a folder for object storage, or the
        reverse, does not, so that nobody has model files in two places without knowing.
        """
        root = artifact_root(self.folder, "" if self._artifacts is None else self._artifacts.address)
        moved = (f"{self.name} ({self.folder})",) if self._artifacts is None else ()
        for name in (self.name, *moved):
            found = self.client.get_experiment_by_name(name)
            if found is None:
                return str(self.client.create_experiment(name, artifact_location=root))
            if root is None or found.artifact_location == root:
                if found.lifecycle_stage == "deleted":
                    self.client.restore_experiment(found.experiment_id)
                return str(found.experiment_id)
            if found.artifact_location.startswith("s3://"):
                break
        raise RegistryError(
            where=f"experiment {self.name!r}",
            expected=f"artifacts under {root}",
            got=f"artifacts under {found.artifact_location}, which MLflow fixes when it makes an experiment",
            remedy="Name that place in tracking.artifacts again; or rename the experiment in MLflow (its page: har "
            "up): the next version makes a new one, and the versions that there are keep their files.",
        )

    @property
    def _registrar(self) -> str:
        return f"{socket.gethostname()}:{self.folder}"

    def _end_killed_runs(self, experiment: str) -> None:
        """Close runs that this folder left running: their processes were killed, for the caller holds the lock."""
        for run in self.client.search_runs([experiment], "attributes.status = 'RUNNING'"):
            if run.data.tags.get(_REGISTRAR) == self._registrar:
                self.client.set_terminated(run.info.run_id, "KILLED")

    def _log_values(self, run_id: str, params: Mapping[str, Any], metrics: Mapping[str, float]) -> None:
        from mlflow.entities import Metric, Param

        stamp_ms = int(datetime.now(UTC).timestamp() * 1000)
        entries = [Metric(name, float(value), stamp_ms, 0) for name, value in metrics.items()]
        settings = [Param(name, as_text(value)[:_PARAMETER_LENGTH]) for name, value in params.items()]
        for start in range(0, max(len(entries), len(settings)), _BATCH):
            part = slice(start, start + _BATCH)
            self.client.log_batch(run_id, metrics=entries[part], params=settings[part])


def as_text(value: Any) -> str:
    """The text of a tag or parameter: text as it is, everything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, default=str)
