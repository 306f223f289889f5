"""The whole loop with lake, model files and snapshots on one S3 service: the same as in folders."""

from __future__ import annotations

import datetime as dt
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from days_support import FIRST
from days_support import record as record_day
from journal_support import encoded, feedback, prediction
from s3_loop_support import same_tables, tables_of, write_project
from s3_support import bucket, needs_moto
from snapshot_support import ROOT, git, needs_dvc

from har.jobs.check import check
from har.jobs.collect import collect
from har.jobs.ingest import ingest
from har.jobs.monitor import monitor
from har.jobs.reproduce import reproduce
from har.jobs.score import score
from har.jobs.snapshot import take
from har.jobs.train import train
from har.project import Project, open_project
from har.snapshots import Snapshots
from har.storage import Location

pytestmark = [pytest.mark.stack, pytest.mark.release, pytest.mark.timeout(1200), needs_dvc, needs_moto]


@dataclass(frozen=True)
class Outcome:
    """What a loop leaves."""

    tables: dict[str, pl.DataFrame]
    metrics: dict[str, float]


def made(root: Path, place: Location | None) -> Project:
    """A project with its code in git, whose remote for snapshots is in the same bucket, or a folder."""
    write_project(root, place)
    shutil.copytree(ROOT / "src" / "har", root / "src" / "har", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / ".gitignore", root)
    remote = f"s3://{place.bucket}/raw" if place else str(root.parent / f"{root.name}-raw")
    (root / ".dvc").mkdir()
    # No endpoint and no keys: those are in har.toml and in the environment.
    (root / ".dvc" / "config").write_text(
        f"[core]\n    analytics = false\n    remote = store\n['remote \"store\"']\n    url = {remote}\n"
    )
    git(root, "init", "-q", "-b", "main")
    git(root, "add", ".")
    git(root, "commit", "-qm", "as made")
    return open_project(root)


def run(root: Path, place: Location | None, monkeypatch: pytest.MonkeyPatch) -> Outcome:
    """Ingest, snapshot, train, score, monitor, collect, reproduce."""
    monkeypatch.setenv("HAR_ROOT", str(root))
    project = made(root, place)
    settings = project.settings
    for before in (6, 7):
        record_day(root, FIRST - dt.timedelta(days=before))
    assert ingest(project).complete
    take(project, "the first")
    version = train(project).version
    if project.champion is None:
        project.registry.promote(version, reason="to go on", who="test")
    record_day(root, FIRST, tilted=True)
    assert ingest(project).complete
    assert score(project).windows > 0
    assert monitor(project, send=lambda _: "").days
    journal = settings.path("journal")
    journal.mkdir(parents=True)
    lines = [prediction(number, windows=3) for number in range(5)]
    (journal / "2024.jsonl").write_bytes(encoded(*lines, feedback("f1", "PEN", request_id="r1")))
    assert collect(project).predictions == 15
    assert not check(project).findings
    fresh, restored = (
        reproduce(
            project.registry,
            version,
            root=root,
            lake=settings.location("lake"),
            snapshots=Snapshots(settings),
            from_snapshot=from_snapshot,
        )
        for from_snapshot in (False, True)
    )
    for result in (fresh, restored):
        assert result.equal, [row for row in result.rows if not row.equal]
    assert not any("snapshot" in note for note in fresh.notes)
    figures = project.registry.version(version).metrics.items()
    return Outcome(tables_of(project.lake), {name: value for name, value in figures if "latency" not in name})


def test_the_whole_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = bucket(monkeypatch, prefix="study")
    here, there = run(tmp_path / "here", None, monkeypatch), run(tmp_path / "there", place, monkeypatch)
    assert there.metrics == here.metrics
    assert same_tables(there.tables, here.tables)
    names = {entry.name.split("/")[0] for entry in Location(f"s3://{place.bucket}", place.service).list()}
    assert names == {"study", "raw"}
    left: list[Any] = [path.name for path in (tmp_path / "there").iterdir()]
    assert "lake" not in left
    assert not (tmp_path / "there" / "mlruns" / "artifacts").exists()
