"""A lake in a bucket: its figures follow it, and `make clean-data` asks about its tables and deletes nothing else."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from s3_loop_support import record, write_project
from s3_support import bucket, needs_moto

from har.jobs.ingest import ingest
from har.project import open_project
from har.storage import Location
from infra.local.clean import main
from infra.observability.figures import LakeFigures

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300), needs_moto]


def rows(figures: LakeFigures) -> dict[str, float]:
    return {one.labels["table"]: one.value for gauge in figures() for one in gauge.samples if "table_rows" in one.name}


def test_tables_of_a_bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    def answer(text: str) -> int:
        stdin = io.StringIO(text)
        monkeypatch.setattr(stdin, "isatty", lambda: True)
        monkeypatch.setattr("sys.stdin", stdin)
        return main()

    place = bucket(monkeypatch, prefix="study")
    root = write_project(tmp_path / "project", place)
    monkeypatch.setenv("HAR_ROOT", str(root))
    record(root, ("2024-01-01",), ("s01",))
    project = open_project()
    figures = LakeFigures(project.lake)
    assert set(rows(figures).values()) == {0}
    assert ingest(project).samples == 3000
    assert rows(figures)["samples"] == 3000
    Location(f"{place}/lake/notes.txt", place.service).write_bytes(b"somebody else's")

    assert answer("no\n") == 1
    told = capsys.readouterr().out
    assert f"{place}/lake/samples (outside of the project: others may use it): " in told
    assert "objects, 0." in told
    assert open_project().lake.samples.count() == 3000
    assert answer("yes\n") == 0
    assert [entry.name for entry in place.list()] == ["lake/notes.txt"]
    assert not (root / "data" / "inbox").exists()
