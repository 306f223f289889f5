"""The parts of a job travel: in other processes they do what they do in this one."""

from __future__ import annotations

import pickle
import shutil
from unittest.mock import ANY

import polars as pl
import pytest
from run_support import in_processes, ingest, monitor, score, train

from har.jobs import in_turn, once
from har.project import open_project
from har.settings import Settings

pytestmark = [pytest.mark.stack, pytest.mark.timeout(900)]


def tables(settings: Settings) -> list[pl.DataFrame]:
    lake = open_project(settings.root).lake
    return [
        lake.samples.read().sort("date", "subject", "session", "time"),
        lake.predictions.read().sort("date", "subject", "session", "start"),
        lake.scores.read().drop("seconds", "scored_at", "samples_version").sort("date", "subject"),
        lake.profiles.read().drop("made_at").sort("date", "subject"),
    ]


@pytest.mark.release
@pytest.mark.parametrize("kind", ["processes", "dask"])
def test_other_processes_write_the_same_tables(two_days: Settings, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr("har.jobs._lanes.LEAST_BYTES", 1)
    monkeypatch.setattr("har.jobs.score.LEAST_SAMPLES", 1)
    reports = [ingest(each=in_turn)]
    train()
    scores = [score(each=in_turn)]
    here = tables(two_days)
    for name in ("samples", "recordings", "predictions", "scores", "profiles"):
        shutil.rmtree(getattr(open_project().lake, name).path)
    monkeypatch.setenv("HAR_ENGINE__KIND", kind)
    monkeypatch.setenv("HAR_ENGINE__WORKERS", "3")
    reports.append(ingest())
    scores.append(score())
    assert (scores[0].partitions, scores[0].windows) == (scores[1].partitions, scores[1].windows) == (12, ANY)
    assert [sorted(report.landed) for report in reports] == [sorted(reports[0].landed)] * 2
    assert reports[0].summary == reports[1].summary
    assert all(page.exists() for page in scores[1].summaries)
    for ours, theirs in zip(here, tables(two_days), strict=True):
        assert theirs.equals(ours)
    assert (ingest().landed, score().windows) == ([], 0)
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
