"""The same project with its lake and model files in folders and on object storage, and what its jobs leave."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import polars as pl
from loop_support import write_mean_model
from s3_support import KEYS
from tests_support import HAR_TOML, example_recipe, write_recording

from har.jobs.ingest import ingest
from har.jobs.score import score
from har.lake import Lake
from har.project import Project, open_project
from har.storage import Location

SUBJECTS = ("s01", "s02", "s03")
ACTIVITIES = ("PEN", "ROW")
DAYS = ("2024-01-01", "2024-01-02")
_MEASURED = ("seconds", "samples_version")
"""How long it took; and the first write to object storage makes two versions."""

INGEST = "from har.jobs.ingest import ingest; ingest(open_project())"
SCORE = "from har.jobs.score import score; score(open_project())"


def write_project(root: Path, place: Location | None = None, more: str = "") -> Path:
    """A project with its lake in `place`/lake and its model files in `place`/models; None: in its folder."""
    text = HAR_TOML.replace("epochs = 12", "epochs = 3")
    if place is not None:
        text += f'\n[paths]\nlake = "{place / "lake"}"\n\n[tracking]\nartifacts = "{place / "models"}"\n'
        text += f'\n[storage]\nendpoint = "{place.service.endpoint}"\n'
    root.mkdir(parents=True, exist_ok=True)
    (root / "har.toml").write_text(text + more)
    return root


def record(root: Path, days: tuple[str, ...] = DAYS, subjects: tuple[str, ...] = SUBJECTS) -> None:
    """Two activities of each subject on each day."""
    for day in days:
        for subject in subjects:
            for name in ACTIVITIES:
                write_recording(root / "data" / "inbox", day, subject, name.lower(), name, seconds=30)


def add_champion(project: Project) -> None:
    """Register and promote a model that nobody has trained."""
    model = write_mean_model(project.settings.path("runs") / "model.onnx", project.settings)
    version = project.registry.register(
        model, params={}, metrics={"accuracy": 0.5}, recipe=example_recipe(), report=None, tags={}
    )
    project.registry.promote(version.number, reason="the first", who="test")


def filled(root: Path, place: Location | None = None) -> Project:
    """A project with two days that are ingested and scored."""
    project = open_project(write_project(root, place))
    record(root)
    assert ingest(project).complete
    add_champion(project)
    score(project)
    return project


def start(root: Path, code: str, **variables: str) -> subprocess.Popen[str]:
    """Run code in a process of its own, in which `open_project` is the project of `root`."""
    known = {name: value for name, value in os.environ.items() if not name.startswith(("HAR_", "AWS_", "MLFLOW_"))}
    command = [sys.executable, "-c", f"from har.project import open_project\n{code}"]
    environment = {**known, **KEYS, "HAR_ROOT": str(root), **variables}
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


def require_success(*processes: subprocess.Popen[str]) -> None:
    """Wait until all have ended well."""
    for process in processes:
        _, said = process.communicate(timeout=300)
        assert process.returncode == 0, said


def tables_of(lake: Lake) -> dict[str, pl.DataFrame]:
    """The rows of all tables in an order of their own, without times of the clock and without sketches."""
    return {table.name: _settled(table.read()) for table in lake.tables}


def same_tables(one: dict[str, pl.DataFrame], other: dict[str, pl.DataFrame]) -> bool:
    """Whether two lakes hold the same; says which table differs."""
    differ = [name for name in one if not one[name].equals(other[name])]
    assert not differ, {name: (one[name], other[name]) for name in differ}
    return sum(map(len, one.values())) > 0


def _settled(frame: pl.DataFrame) -> pl.DataFrame:
    left = frame.drop([name for name in frame.columns if name.endswith("_at") or name in _MEASURED])
    left = left.drop([name for name, kind in left.schema.items() if kind == pl.Binary])
    texts = [name for name, kind in left.schema.items() if kind == pl.String and name in ("report", "payload")]
    left = left.with_columns(pl.col(name).map_elements(_without_times, pl.String) for name in texts)
    return left.sort(left.columns) if len(left) else left


def _without_times(text: str) -> str:
    content = json.loads(text)
    return json.dumps({name: value for name, value in content.items() if not name.endswith("_at")}, sort_keys=True)
