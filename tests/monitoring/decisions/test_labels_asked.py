"""The list of windows to be labelled: least sure first, spread, without those that have a label, once per decision."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import polars as pl
import pytest
from loop_support import fill, score, write_mean_model

from har.lake import Lake
from har.monitoring.decisions import request_labels
from har.settings import Settings

DAYS = (dt.date(2024, 1, 1), dt.date(2024, 1, 2))
SUBJECTS = ["s01", "s02", "s03"]


@pytest.fixture
def scored(lake: Lake, settings: Settings, tmp_path: Path) -> Lake:
    """Two unlabelled days of three subjects and a labelled day of a fourth, all predicted."""
    fill(lake, settings, DAYS, SUBJECTS, labelled=False)
    fill(lake, settings, DAYS[:1], ["s04"])
    score(lake, settings, write_mean_model(tmp_path / "m" / "model.onnx", settings, gain=0.3), 1)
    return lake


def test_spread_over_subjects_activities_and_recordings(scored: Lake, settings: Settings) -> None:
    asked = request_labels(scored, settings, DAYS, "d1", limit=12)
    assert asked["rank"].to_list() == list(range(1, 13))
    assert asked["subject"].value_counts().sort("subject").rows() == [(subject, 4) for subject in SUBJECTS]
    # A turn is one window of every subject; within a turn the least sure comes first.
    turns = asked.with_columns((pl.col("rank") - 1) // 3)
    assert turns.group_by("rank").agg(pl.col("subject").n_unique())["subject"].unique().to_list() == [3]
    assert (turns.group_by("rank").agg(pl.col("confidence").is_sorted()))["confidence"].all()
    for _, own in asked.group_by("subject"):
        assert own.select("date", "session").n_unique() == 4
        assert own["activity"].n_unique() == 2
    near = asked.sort("subject", "start").with_columns(pl.col("start").diff().over("subject", "session", "date"))
    assert near["start"].drop_nulls().is_empty()
    assert asked["reason"][0] == f"The model is {100 * asked['confidence'][0]:.0f} % sure of {asked['activity'][0]}."


def test_every_fourth_request_is_for_a_window_unlike_the_training_data(scored: Lake, settings: Settings) -> None:
    rows = scored.predictions.read()
    # The surest windows of one recording of each of two subjects; uncertainty would ask for them last.
    sure = rows.filter(pl.col("subject").is_in(["s01", "s02"])).sort("confidence").group_by("subject").tail(8)
    strange = sure.select("date", "subject", "session", "start").with_columns(pl.lit(True).alias("odd"))
    marked = rows.join(strange, on=["date", "subject", "session", "start"], how="left").with_columns(
        pl.col("odd").fill_null(False).alias("unknown")
    )
    scored.predictions.replace(marked.drop("odd"), marked.select("date", "subject").unique().rows())
    asked = request_labels(scored, settings, DAYS, "d1", limit=8)
    unlike = asked["reason"].str.starts_with("Unlike all that the model learned from").to_list()
    assert unlike == [True, False, False, False] * 2
    found = asked.filter(pl.Series(unlike)).join(strange, on=["date", "subject", "session", "start"], how="semi")
    assert len(found) == 2
    assert found["subject"].n_unique() == 2
    every = request_labels(scored, settings, DAYS, "d2", limit=10_000)
    assert every.select("date", "subject", "session", "start").is_unique().all()
    assert every["rank"].to_list() == list(range(1, len(every) + 1))


def test_the_first_is_the_least_sure_of_all(scored: Lake, settings: Settings) -> None:
    rows = scored.predictions.read().filter(pl.col("subject") != "s04")
    assert request_labels(scored, settings, DAYS, "d1", limit=1)["confidence"][0] == rows["confidence"].min()


def test_no_two_neighbours_though_the_list_could_be_longer(scored: Lake, settings: Settings) -> None:
    asked = request_labels(scored, settings, DAYS, "d1", limit=10_000)
    # A minute has three times twenty seconds, or four if they begin in the middle of one.
    per_recording = asked.group_by("date", "subject", "session").len()["len"]
    assert per_recording.max() <= 4
    assert len(per_recording) == len(DAYS) * len(SUBJECTS) * 2


def test_what_has_a_label_is_not_asked_for(scored: Lake, settings: Settings) -> None:
    asked = request_labels(scored, settings, DAYS, "d1", limit=10_000)
    assert set(asked["subject"]) == set(SUBJECTS)
    nine = dt.datetime.combine(DAYS[0], dt.time(9), dt.UTC)
    row = {
        "date": DAYS[0],
        "subject": "s01",
        "start": nine,
        "end": nine + dt.timedelta(minutes=1),
        "activity": "PEN",
        "feedback_id": "f1",
        "received_at": nine,
        "review": "imported",
    }
    scored.labels.add(pl.DataFrame([row], scored.labels.schema), ["feedback_id"])
    later = request_labels(scored, settings, DAYS, "d2", limit=10_000)
    gone = asked.join(later, on=["date", "subject", "session", "start"], how="anti")
    assert set(gone.select("date", "subject", "session").rows()) == {(DAYS[0], "s01", "0")}
    only = request_labels(scored, settings, (DAYS[1], DAYS[1]), "d3", limit=10_000)
    assert only["date"].unique().to_list() == [DAYS[1]]


def test_once_per_decision(scored: Lake, settings: Settings) -> None:
    first = request_labels(scored, settings, DAYS, "d1", limit=5)
    again = request_labels(scored, settings, DAYS, "d1", limit=50)
    assert again.rows() == first.rows()
    assert len(scored.label_requests.read()) == 5
    request_labels(scored, settings, DAYS, "d2", limit=5)
    assert scored.label_requests.read()["decision_id"].value_counts().sort("decision_id").rows() == [
        ("d1", 5),
        ("d2", 5),
    ]


def test_nothing_to_ask(lake: Lake, settings: Settings) -> None:
    assert request_labels(lake, settings, DAYS, "d1").is_empty()
    assert lake.label_requests.version() == -1


def test_the_settings_say_how_many(scored: Lake, settings: Settings) -> None:
    assert len(request_labels(scored, settings, DAYS, "d1")) == min(
        50, len(request_labels(scored, settings, DAYS, "d2", limit=1000))
    )
    assert request_labels(scored, settings, DAYS, "d3", limit=0).is_empty()
