"""Lost commits and damaged files of the lake: who notices, and how the rows come back."""

from __future__ import annotations

import datetime as dt
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from har.dataset import load_windows
from har.errors import LakeDamageError
from har.jobs.check import check, take_as_it_is
from har.jobs.ingest import IngestReport, ingest
from har.lake import Lake, Table, losses, require_samples, to_score_again
from har.project import Project
from har.settings import Settings

DAY = dt.date(2024, 1, 1)
NEXT = dt.date(2024, 1, 2)
SCHEMA = pl.Schema({"date": pl.Date, "subject": pl.String, "value": pl.Int64})


def rows(date: dt.date, subject: str, *values: int) -> pl.DataFrame:
    return pl.DataFrame({"date": date, "subject": subject, "value": list(values)}, schema=SCHEMA)


def newest_commit(table: Table) -> Path:
    return max((table.path / "_delta_log").glob("*.json"))


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 16
    path.write_bytes(bytes(content))


SPOIL: dict[str, Callable[[Path], object]] = {
    "gone": Path.unlink,
    "empty": lambda path: path.write_bytes(b""),
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "half": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "flipped": flip_a_bit,
}


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("har.lake._intact._PAUSE_S", 0.01)


@pytest.fixture
def full(put: Callable[..., Path], settings: Settings) -> Project:
    """Two days of two subjects, one file a day each, ingested in two commits."""
    project = Project(settings)
    for seed, date in enumerate((DAY, NEXT)):
        for subject in ("s01", "s02"):
            put(date.isoformat(), subject, "a", "PEN", seconds=10, seed=seed)
        ingest(project, date=date)
    return project


def samples(project: Project) -> pl.DataFrame:
    return project.lake.samples.read().sort("date", "subject", "session", "time")


def ingest_again(project: Project) -> IngestReport:
    return ingest(Project(project.settings))


@pytest.mark.parametrize("recorded", [True, False], ids=["recorded", "of an older release"])
@pytest.mark.parametrize("how", ["gone", "empty"])
def test_a_lost_commit_is_noticed_and_its_files_are_loaded_again(full: Project, how: str, recorded: bool) -> None:
    before = samples(full)
    if not recorded:
        (full.lake.samples.path.parent / ".samples.commits").unlink()
    SPOIL[how](newest_commit(full.lake.samples))
    assert len(samples(full)) == len(before) / 2
    assert "2024-01-02, subject s01" in str(losses(full.lake)[0])
    assert {loss.remedy for loss in losses(full.lake)} <= {
        "Make them again: `har ingest`.",
        "Make the rows again: `har ingest`.",
    }
    with pytest.raises(LakeDamageError, match=r"2024-01-02, subject s01: .*and 1 more such subject-days.*har ingest"):
        require_samples(full.lake)
    require_samples(full.lake, [(DAY, "s01")])

    report = ingest_again(full)
    assert report.restored == report.landed == ["2024-01-02/s01_a.csv", "2024-01-02/s02_a.csv"]
    assert report.known == ["2024-01-01/s01_a.csv", "2024-01-01/s02_a.csv"]
    assert samples(full).equals(before)
    assert losses(full.lake) == []
    assert ingest_again(full).landed == []


def test_a_loss_that_no_count_shows_is_made_good(full: Project, put: Callable[..., Path]) -> None:
    put("2024-01-02", "s01", "a", "ROW", seconds=10, seed=7)
    ingest(full, replace=True)
    replaced = samples(full)
    SPOIL["gone"](newest_commit(full.lake.samples))
    put("2024-01-03", "s09", "a", "PEN", seconds=10)  # its commit takes the number of the lost one
    ingest(full, date=dt.date(2024, 1, 3))
    assert any("a commit that changed it is gone" in str(loss) for loss in losses(full.lake))
    ingest_again(full)
    assert samples(full).filter(pl.col("subject") != "s09").equals(replaced)
    assert losses(full.lake) == []


@pytest.mark.parametrize("how", ["zeros", "half"])
def test_an_unreadable_commit_is_set_aside_on_request(full: Project, how: str) -> None:
    before = samples(full)
    commit = newest_commit(full.lake.samples)
    SPOIL[how](commit)
    with pytest.raises(LakeDamageError, match=r"_delta_log: expected a log .*har check --repair"):
        ingest_again(full)
    assert any("--repair" in finding.remedy for finding in check(full).findings)
    report = check(full, mend=True)
    assert report.done == (f"samples: {commit.name} renamed to {commit.name}.damaged",)
    assert all("har ingest" in finding.remedy for finding in report.findings)
    assert len(ingest_again(full).restored) == 2
    assert samples(full).equals(before)
    assert check(full).findings == ()


@pytest.mark.parametrize("spoiled", ["checkpoint", "hint", "checkpoint gone"])
def test_damaged_checkpoints_are_set_aside_on_request(full: Project, spoiled: str) -> None:
    from deltalake import DeltaTable

    table = full.lake.samples
    before = samples(full)
    DeltaTable(str(table.path)).create_checkpoint()
    log = table.path / "_delta_log"
    [checkpoint] = log.glob("*.checkpoint.parquet")
    if spoiled == "checkpoint":
        checkpoint.write_bytes(b"PAR1 no more")
    elif spoiled == "hint":
        (log / "_last_checkpoint").write_text(json.dumps({"version": 99, "size": 1}))
    else:
        checkpoint.unlink()
    with pytest.raises(LakeDamageError, match="har check --repair"):
        table.read()
    report = check(full, mend=True)
    assert report.findings == ()
    assert any("_last_checkpoint renamed" in line for line in report.done)
    assert samples(full).equals(before)


@pytest.mark.parametrize("how", ["gone", "half", "flipped"])
def test_a_damaged_file_is_named_with_its_partition_and_loaded_again(full: Project, how: str) -> None:
    before = samples(full)
    [file] = full.lake.samples.path.glob("date=2024-01-02/subject=s02/*.parquet")
    SPOIL[how](file)
    with pytest.raises(LakeDamageError, match=rf"samples, 2024-01-02, subject s02: .*{file.name}.*har ingest"):
        load_windows(full.lake, full.settings)
    with pytest.raises(LakeDamageError, match=r"subject s02"):
        partitions, columns = full.lake.samples.partitions(), ["session", *full.lake.channels]
        list(full.lake.samples.each(None, partitions, columns, verify=True))
    if how != "flipped":  # the log tells the size
        assert f"samples, 2024-01-02, subject s02: {file}" in str(losses(full.lake)[0])
    assert any(str(file) in line for line in check(full, mend=True).done)
    assert ingest_again(full).restored == ["2024-01-02/s02_a.csv"]
    assert samples(full).equals(before)
    assert check(full, mend=True).findings == ()


def test_a_file_that_is_gone_from_the_disk_and_the_inbox_is_given_up_on_request(full: Project) -> None:
    SPOIL["gone"](newest_commit(full.lake.samples))
    shutil.rmtree(full.settings.path("inbox") / "2024-01-02")
    assert ingest_again(full).landed == []
    assert check(full).findings
    report = check(full, accept=True)
    assert report.findings == ()
    assert "recordings: 2 files count as not ingested" in report.done
    assert full.lake.recordings.partitions() == full.lake.samples.partitions() == [(DAY, "s01"), (DAY, "s02")]


def test_what_no_command_makes_again_stops_the_next_write(tmp_path: Path) -> None:
    table = Table(tmp_path / "labels", SCHEMA)
    table.add(rows(DAY, "a", 1), ["value"])
    table.add(rows(NEXT, "b", 2), ["value"])
    whole = newest_commit(table).read_bytes()
    path = newest_commit(table)
    path.unlink()
    for write in (
        lambda: table.add(rows(NEXT, "c", 3), ["value"]),
        lambda: table.replace(rows(NEXT, "c", 3), [(NEXT, "c")]),
        lambda: table.amend(rows(DAY, "a", 1), ["value"]),
    ):
        with pytest.raises(LakeDamageError, match=r"version 1.*2024-01-02 subject b.*backup.*har check --accept"):
            write()
    path.write_bytes(whole)  # the backup
    assert table.lost() == set()
    assert table.add(rows(NEXT, "c", 3), ["value"]) == 1
    assert sorted(table.read()["value"]) == [1, 2, 3]


def test_a_log_that_is_gone_is_not_taken_for_a_new_table(lake: Lake) -> None:
    names = ("start", "end", "received_at")
    row = {"date": DAY, "subject": "s01", "activity": "PEN", "request_id": None, "feedback_id": "f"}
    stamp = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
    lake.labels.add(pl.DataFrame([{**row, **dict.fromkeys(names, stamp)}], lake.labels.schema), ["feedback_id"])
    shutil.rmtree(lake.labels.path / "_delta_log")
    with pytest.raises(LakeDamageError, match=r"labels.*expected the log of a table that was written before"):
        lake.labels.read()
    assert "labels" in str(losses(lake)[0])
    shutil.move(lake.labels.path, lake.folder / "old-labels")
    assert take_as_it_is(lake) == ["labels: losses in 1 subject-days are accepted"]
    assert lake.labels.read().is_empty()


def test_lost_predictions_are_scored_again(lake: Lake) -> None:
    scores = {"date": [DAY, DAY], "subject": ["a", "b"], "windows": [2, 0], "samples_version": [-1, -1]}
    columns = [pl.lit(None, dtype).alias(name) for name, dtype in lake.scores.schema.items() if name not in scores]
    frame = pl.DataFrame(scores).with_columns(columns).select(lake.scores.schema.names())
    lake.scores.replace(frame, [(DAY, "a"), (DAY, "b")])
    assert to_score_again(lake) == {(DAY, "a")}
    assert "0 predictions, where `scores` counts 2" in str(losses(lake)[0])


def test_a_process_between_its_two_commits_is_no_loss(full: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    lost = full.lake.samples.read(partitions=[(NEXT, "s01")])
    full.lake.samples.replace(lost[:0], [(NEXT, "s01")])
    assert full.lake.samples.lost() == set()

    def commit_the_rest(_seconds: float) -> None:
        full.lake.samples.replace(lost, [(NEXT, "s01")])

    monkeypatch.setattr("har.lake._intact.sleep", commit_the_rest)
    require_samples(full.lake)
