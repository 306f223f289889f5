"""A sensor that was off or stuck: not trained on, no activity in scores and summaries, no drift, and counted."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest
from inbox_support import inbox_chunks
from tests_support import HAR_TOML, write_recording

from har.cutting import cut_day, signal_rule
from har.dataset import load_windows, window_labels
from har.experiment import Experiment, judge, make_recipe, run
from har.inference import Classifier
from har.jobs.ingest import ingest_files
from har.jobs.score import ChunkReport, chunks_to_score, pending, score_chunk
from har.jobs.summarise import write_summary
from har.lake import Lake
from har.monitoring import Profiler, Profiles
from har.monitoring.decisions import measure_performance, request_labels
from har.plausibility import NO_SIGNAL
from har.predictions import activity_minutes
from har.settings import Settings, load_settings

DAY = dt.date(2024, 1, 1)
SUBJECTS = ("s01", "s02", "s03", "s04")
OFF_S = (10, 30)
"""In both recordings of s01, of 40 s each."""


def switch_off(path: Path, *, zero: bool) -> None:
    """Let a recording's sensor give zeros, or its last value, for twenty seconds."""
    frame = pl.read_csv(path)
    row = pl.int_range(pl.len())
    off = (row >= OFF_S[0] * 50) & (row < OFF_S[1] * 50)
    channels = [name for name in frame.columns if name.startswith(("accel", "gyro"))]
    held = [pl.lit(0.0) if zero else pl.col(name).get(OFF_S[0] * 50 - 1) for name in channels]
    frame.with_columns(
        pl.when(off).then(value).otherwise(pl.col(name)).alias(name) for name, value in zip(channels, held, strict=True)
    ).write_csv(path)


@dataclass(frozen=True)
class Trained:
    """A lake in which a sensor slept, and a model that was trained on it."""

    settings: Settings
    lake: Lake
    experiment: Experiment
    scored: list[ChunkReport]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Train briefly, then score the same day with profiles."""
    root = tmp_path_factory.mktemp("slept")
    (root / "har.toml").write_text(HAR_TOML.replace("epochs = 12", "epochs = 2"))
    settings = load_settings(root)
    for subject in SUBJECTS:
        for name in ("PEN", "ROW"):
            path = write_recording(settings.path("inbox"), str(DAY), subject, name.lower(), name, seconds=40)
            if subject == "s01":
                switch_off(path, zero=name == "PEN")
    lake = Lake(settings.path("lake"), settings.sensors.channels)
    for chunk in inbox_chunks(settings)[0]:
        ingest_files(lake, settings, chunk)
    experiment = run(make_recipe(settings, lake), root / "run")
    classifier = Classifier(experiment.model, threads=1)
    observer = Profiler(lake, settings, classifier.metadata.feature_names, 1)
    chunks = chunks_to_score(lake, pending(lake, 1))
    scored = [score_chunk(lake, settings, classifier, 1, chunk, observer=observer) for chunk in chunks]
    return Trained(settings, lake, experiment, scored)


EACH, SILENT = 19, 11
"""Windows of a recording, and those of which the sensor slept for half or more: from 8 to 28 s, every two seconds."""


def test_training_leaves_these_windows_out_and_counts_them(trained: Trained) -> None:
    windows = load_windows(trained.lake, trained.settings)
    assert windows.without_signal == 2 * SILENT
    assert len(windows) == 8 * EACH - 2 * SILENT
    assert not signal_rule(trained.settings).absent(windows.batch()).any()
    assert trained.experiment.metrics["windows_without_signal"] == 2 * SILENT
    assert f"{2 * SILENT} windows without a signal" in trained.experiment.report.read_text()


def test_labels_are_those_of_the_windows_that_are_trained_on(trained: Trained) -> None:
    windows = load_windows(trained.lake, trained.settings)
    labels = window_labels(trained.lake, trained.settings)
    assert len(labels) == len(windows)
    counts = dict(labels.group_by("subject").len().iter_rows())
    assert counts == {"s01": 2 * (EACH - SILENT), "s02": 2 * EACH, "s03": 2 * EACH, "s04": 2 * EACH}


def test_scoring_answers_no_signal_exactly_there(trained: Trained) -> None:
    rows = trained.lake.predictions.read().sort("subject", "session", "start")
    begin = dt.datetime(2024, 1, 1, 9, tzinfo=dt.UTC)
    seconds = (rows["start"] - begin).dt.total_seconds()
    slept = (rows["subject"] == "s01") & seconds.is_between(OFF_S[0] - 2, OFF_S[1] - 2)
    assert ((rows["activity"] == NO_SIGNAL) == slept).all()
    silent = rows.filter(slept)
    assert (len(silent), silent["confidence"].sum(), silent["abstained"].all()) == (2 * SILENT, 0.0, True)
    assert not set(rows.filter(~slept)["activity"]) & {NO_SIGNAL}
    assert sum(report.without_signal for report in trained.scored) == 2 * SILENT
    assert sum(report.windows for report in trained.scored) == len(rows) == 8 * EACH


def test_the_rule_finds_them_only_where_the_lake_has_flags(trained: Trained) -> None:
    rule, settings = signal_rule(trained.settings), trained.settings
    columns = ["session", "segment", "time", "flags", *trained.lake.channels]
    for partition, frame in trained.lake.samples.each(None, [(DAY, name) for name in SUBJECTS], columns):
        windows, _ = cut_day(partition, frame, settings, trained.lake.channels)
        flagged = frame.sort("session", "time")["flags"].to_numpy() & 2
        share = [flagged[start : start + settings.length].astype(bool).mean() for start in windows.starts]
        assert [one >= 0.5 for one in share] == rule.absent(windows.batch()).tolist()


def test_minutes_without_a_signal_are_apart(trained: Trained) -> None:
    minutes = activity_minutes(trained.lake.predictions.read())
    (own,) = minutes.filter(pl.col("activity") == NO_SIGNAL).iter_rows(named=True)
    # Windows from 8 to 28 s count for two seconds each.
    assert (own["subject"], own["windows"], own["minutes"]) == ("s01", 2 * SILENT, round(2 * SILENT * 2 / 60, 3))
    page = write_summary(trained.lake, trained.settings, DAY)
    assert "For a further 44\xa0s a sensor gave no signal" in page.read_text()
    assert pl.read_parquet(page.with_suffix(".parquet")).equals(minutes)


def test_they_are_in_no_profile_and_counted(trained: Trained) -> None:
    days = {day.subject: day.profile for day in Profiles(trained.lake).of_day(DAY)}
    assert {name: profile.windows for name, profile in days.items()} == {
        "s01": 2 * (EACH - SILENT),
        **dict.fromkeys(SUBJECTS[1:], 2 * EACH),
    }
    assert NO_SIGNAL not in days["s01"].activities
    assert days["s01"].mean("quality.no_signal") == pytest.approx(SILENT / EACH)
    assert days["s02"].mean("quality.no_signal") == 0
    table = dict(trained.lake.profiles.read().select("subject", "windows").iter_rows())
    assert table["s01"] == 2 * EACH


def test_they_are_neither_wrong_nor_asked_about(trained: Trained) -> None:
    settings = trained.settings
    relaxed = settings.model_copy(update={"drift": settings.drift.model_copy(update={"min_windows": 2})})
    found = measure_performance(trained.lake, relaxed, date=DAY, model_version=1, expected=1.0, seen=["s02"], days=1)
    assert found is not None
    assert found.windows == 2 * (EACH - SILENT) + 2 * 2 * EACH
    windows = load_windows(trained.lake, settings)
    outcome = judge(Classifier(trained.experiment.model, threads=1), windows, ("s01",))
    assert len(outcome) == 2 * (EACH - SILENT)
    unlabelled = trained.lake.predictions.read().with_columns(pl.lit(DAY + dt.timedelta(days=1)).alias("date"))
    trained.lake.predictions.replace(unlabelled, [(DAY + dt.timedelta(days=1), name) for name in SUBJECTS])
    asked = request_labels(trained.lake, settings, (DAY + dt.timedelta(days=1),) * 2, "d1", limit=200)
    assert len(asked) and NO_SIGNAL not in set(asked["activity"])
