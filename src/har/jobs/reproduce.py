"""A registered version in, the same version trained again from its recorded commit, data and seed, and compared."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from har.errors import ReproductionError
from har.registry import Registry, worktree

TIMINGS = "latency"
"""Metrics whose name starts so measure the machine, not the model: they are left out."""


@dataclass(frozen=True)
class Comparison:
    """One metric, as recorded and as reproduced; None: that side has none of this name."""

    metric: str
    recorded: float | None
    reproduced: float | None
    equal: bool


@dataclass(frozen=True)
class Reproduction:
    """What came out.

    Attributes:
        version: the version that was trained again.
        commit: whose code ran; "": the current source.
        rows: one per metric, timings left out.
        notes: what limits the comparison, in words.
        tolerance: largest absolute difference that counts as equal.
    """

    version: int
    commit: str
    rows: tuple[Comparison, ...]
    notes: tuple[str, ...]
    tolerance: float

    @property
    def equal(self) -> bool:
        """Whether every metric came out as recorded."""
        return all(row.equal for row in self.rows)


def reproduce(
    registry: Registry, version: int | str, *, root: Path, lake: Path, tolerance: float = 1e-6
) -> Reproduction:
    """Train a version again and compare its metrics.

    Args:
        registry: that knows the version.
        version: its number or alias.
        root: the project's folder, in the git repository that holds the recorded commit.
        lake: the tables, which may have moved since; the recipe names the version to read.
        tolerance: largest absolute difference that counts as equal.

    Raises:
        UnknownVersionError: no such version.
        ReproductionError: the commit is not at hand, or the training failed.
    """
    recorded = registry.version(version)
    recipe = {**registry.recipe(recorded.number), "lake": str(lake.resolve())}
    commit = str(recipe.get("git_commit", recorded.tags.get("git_commit", "")))
    notes = []
    if not commit:
        notes.append("No commit was recorded: the current source was run.")
    if _is_true(recipe.get("git_dirty", recorded.tags.get("git_dirty", False))):
        notes.append("The source differed from its commit when this version was trained; the commit alone was run.")
    with _source(root, commit) as source, tempfile.TemporaryDirectory(prefix="har-reproduced-") as folder:
        metrics = _train(source, recipe, Path(folder), version=recorded.number)
    return Reproduction(
        version=recorded.number,
        commit=commit,
        rows=compare(recorded.metrics, metrics, tolerance),
        notes=tuple(notes),
        tolerance=tolerance,
    )


def compare(recorded: Mapping[str, float], reproduced: Mapping[str, float], tolerance: float) -> tuple[Comparison, ...]:
    """Metric by metric, in alphabetical order, timings left out; two NaN are equal."""
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
    """The project's folder as recorded, or as it is where nothing was recorded."""
    if commit:
        with worktree(root, commit) as tree:
            yield tree
    else:
        yield root.resolve()


def _train(source: Path, recipe: Mapping[str, Any], folder: Path, *, version: int) -> dict[str, float]:
    """Run `python -m har.experiment` on `source`'s own code; the metrics that it wrote."""
    (folder / "recipe.json").write_text(json.dumps(recipe, indent=2, sort_keys=True))
    out = folder / "out"
    out.mkdir()
    # Today's HAR_ variables would change the recorded settings.
    environment = {name: value for name, value in os.environ.items() if not name.upper().startswith("HAR_")}
    paths = [str(source / "src"), *filter(None, [environment.get("PYTHONPATH")])]
    finished = subprocess.run(
        [sys.executable, "-m", "har.experiment", str(folder / "recipe.json"), str(out)],
        cwd=source,
        env={**environment, "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    missing = [name for name in ("metrics.json", "model.onnx") if not (out / name).is_file()]
    if finished.returncode or missing:
        said = "\n".join(finished.stderr.strip().splitlines()[-20:]) or "it said nothing"
        raise ReproductionError(
            where=f"version {version}",
            expected="har.experiment to write metrics.json and model.onnx",
            got=f"exit status {finished.returncode}, {' and '.join(missing) or 'nothing'} missing:\n{said}\n",
            remedy="Mend what its last lines name; data that was vacuumed from the lake cannot be trained on again.",
        )
    return {name: float(value) for name, value in json.loads((out / "metrics.json").read_text()).items()}


def _is_true(value: object) -> bool:
    return str(value).lower() in ("true", "1")
