"""Train a registered version again from its recorded commit, data and seed, and compare the metrics.

The data are the lake's, at the recorded versions of its tables. Where it does not have these, the recorded code makes a
lake again from the raw files of the recorded snapshot.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from har.errors import ReproductionError
from har.files import temporary_folder
from har.jobs.snapshot import FILES
from har.lake import Lake
from har.recipe import SOURCES
from har.registry import Registry, worktree
from har.snapshots import TABLE, Snapshots
from har.storage import Location

TIMINGS = "latency"
"""Prefix of metrics that measure the machine and not the model; they are not compared."""


@dataclass(frozen=True)
class Comparison:
    """One metric, recorded and reproduced; None: that side does not have it."""

    metric: str
    recorded: float | None
    reproduced: float | None
    equal: bool


@dataclass(frozen=True)
class Reproduction:
    """The comparison.

    Attributes:
        version: the version that was trained again.
        commit: the commit whose code ran; "": the current code.
        rows: one per metric, without timings.
        notes: limits of the comparison, in sentences.
        tolerance: largest absolute difference that counts as equal.
    """

    version: int
    commit: str
    rows: tuple[Comparison, ...]
    notes: tuple[str, ...]
    tolerance: float

    @property
    def equal(self) -> bool:
        """Whether every metric equals the recorded one."""
        return all(row.equal for row in self.rows)


def reproduce(
    registry: Registry,
    version: int | str,
    *,
    root: Path,
    lake: Path | Location,
    tolerance: float = 1e-6,
    snapshots: Snapshots | None = None,
    from_snapshot: bool = False,
) -> Reproduction:
    """Train a version again and compare its metrics.

    Args:
        registry: has the version.
        version: its number or alias.
        root: the project's folder, in the git repository that holds the recorded commit.
        lake: where the lake is, which may have moved; the recipe has the version to read.
        tolerance: largest absolute difference that counts as equal.
        snapshots: where the raw data are, if the lake does not have the recorded version; None: the lake alone counts.
        from_snapshot: use the snapshot, whatever the lake has.

    Raises:
        UnknownVersionError: no such version.
        ReproductionError: the commit or the data are not available, or the training failed.
        SnapshotError: the snapshot cannot be fetched, or lacks a file.
    """
    recorded = registry.version(version)
    # As it was written: the recorded commit may know fewer fields than this release.
    place = lake if isinstance(lake, Location) else Location(str(lake.resolve()))
    recipe = _at(place, registry.recipe_values(recorded.number))
    commit = str(recipe.get("git_commit", recorded.tags.get("git_commit", "")))
    notes = []
    if not commit:
        notes.append("No commit was recorded: the current code was run.")
    if _is_true(recipe.get("git_dirty", recorded.tags.get("git_dirty", False))):
        notes.append("The code had uncommitted changes when this version was trained; the commit was run without them.")
    with _source(root, commit) as source, temporary_folder("reproduced") as folder:
        if snapshots is not None and (from_snapshot or not _lake_has(place, recipe, registry, recorded.number)):
            _require_snapshot(recipe, version=recorded.number)
            files = _recorded_files(registry, recorded.number)
            raw = _raw_files(snapshots.at(recipe["settings"]), recipe, files, folder, version=recorded.number)
            recipe |= _remake(source, recipe, raw, folder / "lake", version=recorded.number)
            notes.append(f"The lake was made again from the snapshot of commit {commit[:12]}: {len(files)} recordings.")
        drop_in = _drop_in(registry, recorded.number, recipe, folder) if recipe.get("network_source") else None
        metrics = _train(source, recipe, folder, drop_in, version=recorded.number)
    return Reproduction(
        version=recorded.number,
        commit=commit,
        rows=compare(recorded.metrics, metrics, tolerance),
        notes=tuple(notes),
        tolerance=tolerance,
    )


def compare(recorded: Mapping[str, float], reproduced: Mapping[str, float], tolerance: float) -> tuple[Comparison, ...]:
    """Compare the metrics, in alphabetical order, without timings; two NaN are equal."""
    names = sorted(name for name in {*recorded, *reproduced} if not name.startswith(TIMINGS))
    return tuple(
        Comparison(name, recorded.get(name), reproduced.get(name), _same(recorded, reproduced, name, tolerance))
        for name in names
    )


def _same(recorded: Mapping[str, float], reproduced: Mapping[str, float], name: str, tolerance: float) -> bool:
    if name not in recorded or name not in reproduced:
        return False
    one, other = recorded[name], reproduced[name]
    return one == other or (math.isnan(one) and math.isnan(other)) or abs(one - other) <= tolerance


@contextmanager
def _source(root: Path, commit: str) -> Iterator[Path]:
    """The project's folder at the recorded commit; without one, as it is now."""
    if commit:
        with worktree(root, commit) as tree:
            yield tree
    else:
        yield root.resolve()


def _at(lake: Location, recipe: Mapping[str, Any]) -> dict[str, Any]:
    """The recipe with the lake where it is now, and the object storage of now, if the recorded commit knew any."""
    values = {**recipe, "lake": str(lake)}
    if not lake.is_local and "storage" in recipe["settings"]:
        values["settings"] = {**recipe["settings"], "storage": asdict(lake.service)}
    return values


def _lake_has(lake: Location, recipe: Mapping[str, Any], registry: Registry, version: int) -> bool:
    """Whether the lake is the one of the recipe, and has got so far, as its log and its list of files tell."""
    if not lake.is_local and "storage" not in recipe["settings"]:
        return False  # the recorded commit reads folders only
    here = Lake(lake, ())
    if here.samples.version() < int(recipe["lake_version"]):
        return False
    if not recipe.get("snapshot"):  # there is nothing else to train on
        return True
    listed = int(recipe["recordings_version"])
    if here.recordings.version() < listed:
        return False
    rows = here.recordings.read(columns=["file", "sha256"], version=listed)
    return dict(rows.unique().iter_rows()) == _recorded_files(registry, version)


def _require_snapshot(recipe: Mapping[str, Any], *, version: int) -> None:
    if not recipe.get("snapshot"):
        raise ReproductionError(
            where=f"version {version}",
            expected=f"a lake with samples@{recipe['lake_version']}, or a snapshot that holds its raw data",
            got=f"neither ({recipe.get('snapshot_lacks') or 'it was trained before there were snapshots'})",
            remedy="Bring the lake here that it was trained on (paths.lake in har.toml), or reproduce there.",
        )


def _recorded_files(registry: Registry, version: int) -> dict[str, str]:
    path = registry.artifact(version, FILES)
    return {str(name): str(sha256) for name, sha256 in json.loads(path.read_text(encoding="utf-8")).items()}


def _raw_files(
    snapshots: Snapshots, recipe: Mapping[str, Any], files: Mapping[str, str], folder: Path, *, version: int
) -> tuple[Path, Path | None]:
    """Copy the recordings, and the table of labels if one was used, from the recorded snapshot."""
    commit = str(recipe["git_commit"])
    pointers = snapshots.pointers(commit)
    found = {name: pointer.oid for name, pointer in pointers.items()}
    if found != recipe["snapshot"]:
        raise ReproductionError(
            where=f"version {version}",
            expected=f"commit {commit[:12]} to have the snapshot {recipe['snapshot']}",
            got=f"{found}",
            remedy="The registry and this repository are not of the same project: reproduce in the clone it is of.",
        )
    snapshots.copy(pointers["inbox"], folder / "inbox", only=files)
    if int(recipe.get("labels_version", -1)) < 0 or "labels" not in pointers:
        return folder / "inbox", None
    snapshots.copy(pointers["labels"], folder / "labels", only={TABLE: ""})
    return folder / "inbox", folder / "labels" / TABLE


def _remake(
    source: Path, recipe: Mapping[str, Any], raw: tuple[Path, Path | None], lake: Path, *, version: int
) -> dict[str, Any]:
    """Make a lake of these files with the code in `source`; what changes in the recipe."""
    inbox, labels = raw
    with temporary_folder("recipe") as folder:
        (folder / "recipe.json").write_text(json.dumps(recipe))
        arguments = [str(folder / "recipe.json"), str(inbox), str(labels or "-"), str(lake)]
        done = _run(source, "har.jobs._remake", arguments)
    if done.returncode:
        raise ReproductionError(
            where=f"version {version}",
            expected="all of its recordings to be ingested again",
            got=f"exit status {done.returncode}:\n{_last_lines(done.stderr)}\n",
            remedy="Fix the error above; the recordings are those of the snapshot, and the code that of the commit.",
        )
    versions = json.loads(done.stdout.strip().splitlines()[-1])
    labelled = versions["labels"] if labels else -1
    return {
        "lake": str(lake),
        "lake_version": versions["samples"],
        "recordings_version": versions["recordings"],
        "labels_version": labelled,
    }


def _drop_in(registry: Registry, version: int, recipe: dict[str, Any], folder: Path) -> Path:
    """Write the files of the version's drop-in network; the folder that the network is found from.

    They come from the registry: the recorded commit may lack them, or have others.
    """
    root = folder / "network"
    sources = json.loads(registry.artifact(version, SOURCES).read_text(encoding="utf-8"))
    for name, text in sources.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="")
    if recipe["network"] not in sources and recipe["network"].endswith(".py"):  # it was outside of the project's folder
        recipe["network"] = Path(recipe["network"]).name
    return root


def _train(
    source: Path, recipe: Mapping[str, Any], folder: Path, drop_in: Path | None, *, version: int
) -> dict[str, float]:
    """Run `python -m har.experiment` with the code in `source`; returns the metrics that it wrote."""
    (folder / "recipe.json").write_text(json.dumps(recipe, indent=2, sort_keys=True))
    out = folder / "out"
    out.mkdir()
    arguments = [str(folder / "recipe.json"), str(out), *([str(drop_in)] if drop_in else [])]
    finished = _run(source, "har.experiment", arguments)
    missing = [name for name in ("metrics.json", "model.onnx") if not (out / name).is_file()]
    if finished.returncode or missing:
        raise ReproductionError(
            where=f"version {version}",
            expected="har.experiment to write metrics.json and model.onnx",
            got=f"exit status {finished.returncode}, {' and '.join(missing) or 'nothing'} missing:\n"
            f"{_last_lines(finished.stderr)}\n",
            remedy="Fix the error above; what was vacuumed from the lake comes from the snapshot with --from-snapshot.",
        )
    return {name: float(value) for name, value in json.loads((out / "metrics.json").read_text()).items()}


def _run(source: Path, module: str, arguments: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a module of the code in `source`."""
    # The current HAR_ variables would change the recorded settings.
    environment = {name: value for name, value in os.environ.items() if not name.upper().startswith("HAR_")}
    paths = [str(source / "src"), *filter(None, [environment.get("PYTHONPATH")])]
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=source,
        env={**environment, "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )


def _last_lines(text: str) -> str:
    return "\n".join(text.strip().splitlines()[-20:]) or "(no output)"


def _is_true(value: object) -> bool:
    return str(value).lower() in ("true", "1")
