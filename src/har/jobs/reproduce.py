"""Train a registered version again from its recorded commit, data and seed, and compare the metrics."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from har.errors import ReproductionError
from har.files import temporary_folder
from har.registry import Registry, worktree

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
    registry: Registry, version: int | str, *, root: Path, lake: Path, tolerance: float = 1e-6
) -> Reproduction:
    """Train a version again and compare its metrics.

    Args:
        registry: has the version.
        version: its number or alias.
        root: the project's folder, in the git repository that holds the recorded commit.
        lake: the lake's folder, which may have moved; the recipe has the version to read.
        tolerance: largest absolute difference that counts as equal.

    Raises:
        UnknownVersionError: no such version.
        ReproductionError: the commit is not available, or the training failed.
    """
    recorded = registry.version(version)
    # As it was written: the recorded commit may know fewer fields than this release.
    recipe = {**registry.recipe_values(recorded.number), "lake": str(lake.resolve())}
    commit = str(recipe.get("git_commit", recorded.tags.get("git_commit", "")))
    notes = []
    if not commit:
        notes.append("No commit was recorded: the current code was run.")
    if _is_true(recipe.get("git_dirty", recorded.tags.get("git_dirty", False))):
        notes.append("The code had uncommitted changes when this version was trained; the commit was run without them.")
    with _source(root, commit) as source, temporary_folder("reproduced") as folder:
        metrics = _train(source, recipe, folder, version=recorded.number)
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


def _train(source: Path, recipe: Mapping[str, Any], folder: Path, *, version: int) -> dict[str, float]:
    """Run `python -m har.experiment` with the code in `source`; returns the metrics that it wrote."""
    (folder / "recipe.json").write_text(json.dumps(recipe, indent=2, sort_keys=True))
    out = folder / "out"
    out.mkdir()
    # The current HAR_ variables would change the recorded settings.
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
        output = "\n".join(finished.stderr.strip().splitlines()[-20:]) or "(no output)"
        raise ReproductionError(
            where=f"version {version}",
            expected="har.experiment to write metrics.json and model.onnx",
            got=f"exit status {finished.returncode}, {' and '.join(missing) or 'nothing'} missing:\n{output}\n",
            remedy="Fix the error above; data that was vacuumed from the lake cannot be trained on again.",
        )
    return {name: float(value) for name, value in json.loads((out / "metrics.json").read_text()).items()}


def _is_true(value: object) -> bool:
    return str(value).lower() in ("true", "1")
