"""The parts of a job travel: in other processes they do what they do in this one."""

from __future__ import annotations

import pickle
import shutil

import polars as pl
import pytest
from run_support import in_processes, ingest, monitor, score, train

from har.jobs import in_turn, once
from har.project import open_project
from har.settings import Settings

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]


def tables(settings: Settings) -> list[pl.DataFrame]:
    lake = open_project(settings.root).lake
    return [
        lake.samples.read().sort("date", "subject", "session", "time"),
        lake.predictions.read().sort("date", "subject", "session", "start"),
        lake.scores.read().drop("seconds", "scored_at", "samples_version").sort("date", "subject"),
        lake.profiles.read().drop("made_at").sort("date", "subject"),
    ]


@pytest.mark.release
def test_other_processes_write_the_same_tables(two_days: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("har.jobs.ingest.CHUNK_BYTES", 1)
    monkeypatch.setattr("har.jobs.score.CHUNK_SAMPLES", 1)
    ingest()
    train()
    # Chunks of one subject-day each.
    chunks = score()
    assert chunks.partitions == 12
    here = tables(two_days)
    for table in open_project().lake.samples, open_project().lake.recordings:
        shutil.rmtree(table.path)
    for name in ("predictions", "scores", "profiles"):
        shutil.rmtree(getattr(open_project().lake, name).path)
    assert len(ingest(each=in_processes).landed) == 18
    elsewhere = score(each=in_processes)
    assert (elsewhere.partitions, elsewhere.windows) == (chunks.partitions, chunks.windows)
    assert all(page.exists() for page in elsewhere.summaries)
    for ours, theirs in zip(here, tables(two_days), strict=True):
        assert theirs.equals(ours)
    assert monitor(each=in_processes, send=_nowhere).days == ()


def _nowhere(event: object) -> str:
    return ""


def test_a_project_travels_as_its_settings_and_is_opened_once(two_days: Settings) -> None:
    project = open_project()
    project.lake.samples.version()
    sent = pickle.dumps(project)
    assert len(sent) < 10_000
    one, other = pickle.loads(sent), pickle.loads(sent)  # noqa: S301  written two lines above
    assert one is other
    assert one.settings == project.settings


def test_in_turn_the_first_part_that_fails_ends_the_job() -> None:
    def work(number: int) -> int:
        if number == 2:
            raise ValueError("two")
        return number

    results = in_turn(work, [0, 1, 2, 3])
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ValueError, match="two"):
        next(results)
    assert once(in_turn, work, 7) == 7
    assert list(in_turn(work, [])) == []
