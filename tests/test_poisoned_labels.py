"""Feedback that lies, from the log to the gate: what it cannot change, and what makes the gate ask a person."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from journal_support import Log, feedback
from loop_support import fill, score, write_mean_model

from har.challenge import challenge
from har.dataset import load_windows, window_labels
from har.evaluation import is_left_to_a_person
from har.experiment import Champion, Recipe, make_recipe
from har.jobs.label import add_labels
from har.jobs.review import review_feedback, reviewable_feedback
from har.lake import Lake
from har.settings import Settings

DAY, NEXT = dt.date(2024, 1, 1), dt.date(2024, 1, 2)
SUBJECTS = [f"s{number:02d}" for number in range(1, 7)]
METRICS = {"latency_us_p50": 90.0, "latency_us_p99": 100.0}
EACH = 2 * 29
"""Windows of a subject-day."""


def lie(log: Log, lake: Lake, day: dt.date, subjects: list[str], activity: str = "ROW") -> None:
    """The same activity for every hour of a day, about everybody."""
    midnight_us = round(dt.datetime.combine(day, dt.time(), dt.UTC).timestamp()) * 1_000_000
    hour_us = 3_600_000_000
    lines = [
        feedback(
            f"{day}{subject}{hour}",
            activity,
            subject=subject,
            start_us=midnight_us + hour * hour_us,
            end_us=midnight_us + (hour + 1) * hour_us,
        )
        for subject in subjects
        for hour in range(24)
    ]
    log.write(*lines)
    log.collect(lake)


@pytest.fixture
def log(settings: Settings) -> Log:
    return Log(settings)


@pytest.fixture
def models(settings: Settings, tmp_path: Path) -> tuple[Path, Path]:
    """A model that is right, and one that is always wrong."""
    right, wrong = (write_mean_model(tmp_path / name / "model.onnx", settings, gain=gain) for name, gain in
                    (("right", 4.0), ("wrong", -4.0)))  # fmt: skip
    return right, wrong


@pytest.fixture
def served(lake: Lake, settings: Settings, models: tuple[Path, Path]) -> Champion:
    """A labelled day, and the champion that was trained on it and has scored it."""
    fill(lake, settings, [DAY], SUBJECTS)
    recipe = make_recipe(settings, lake)
    score(lake, settings, models[0], 1)
    return Champion(1, models[0], recipe, accuracy=1.0)


def test_it_never_replaces_the_labels_of_files(log: Log, lake: Lake, settings: Settings, served: Champion) -> None:
    before = load_windows(lake, settings)
    lie(log, lake, DAY, SUBJECTS)
    everybody = load_windows(lake, settings, unreviewed_of=SUBJECTS)
    np.testing.assert_array_equal(everybody.labels, before.labels)
    assert make_recipe(settings, lake).split == served.recipe.split
    rows = reviewable_feedback(lake, settings)
    assert rows["subject"].to_list() == SUBJECTS
    # Two of 24 hours of each have predictions; the others wait, and will have none.
    assert rows.select("rows", "waiting", "windows", "conflicts", "sure", "denied").unique().rows() == [
        (24, 22, EACH, EACH, EACH, EACH)
    ]


def test_it_judges_nobody(log: Log, lake: Lake, settings: Settings, served: Champion) -> None:
    """On a day without labels it labels the training subjects' windows alone."""
    fill(lake, settings, [NEXT], SUBJECTS, labelled=False)
    score(lake, settings, served.model, 1)
    lie(log, lake, NEXT, SUBJECTS)
    recipe = make_recipe(settings, lake)
    train, judges = recipe.split["train"], [*recipe.split["validation"], *recipe.split["held_out"]]
    windows = load_windows(lake, settings, unreviewed_of=train)
    told = windows.select((windows.labels >= 0) & (windows.dates == np.datetime64(NEXT)))
    assert sorted(set(told.subjects)) == sorted(train)
    assert len(window_labels(lake, settings)) == len(SUBJECTS) * EACH
    assert judges


def test_feedback_against_what_the_model_is_sure_of_stops_the_gate(
    log: Log, lake: Lake, settings: Settings, served: Champion
) -> None:
    fill(lake, settings, [NEXT], SUBJECTS, labelled=False)
    score(lake, settings, served.model, 1)
    honest = challenge(served.model, make_recipe(settings, lake), METRICS, champion=served, settings=settings)
    assert honest.promote, honest.reasons
    lie(log, lake, NEXT, SUBJECTS, "PEN")
    recipe = make_recipe(settings, lake)
    # Half of the movements are what the feedback says: only more than half is a contradiction.
    assert challenge(served.model, recipe, METRICS, champion=served, settings=settings).promote
    strict = settings.model_copy(update={"gates": settings.gates.model_copy(update={"denied_share": 0.4})})
    verdict = challenge(served.model, recipe, METRICS, champion=served, settings=strict)
    assert not verdict.promote
    assert verdict.checks["labels"] is False
    assert is_left_to_a_person(tuple(verdict.reasons))
    assert "feedback that nobody has reviewed" in verdict.reasons[0]
    assert "har promote VERSION" in verdict.reasons[1]
    assert review_feedback(lake, "source=127.0.0.1", "rejected", who="me") == (24 * len(SUBJECTS), 0)
    recipe = make_recipe(settings, lake)
    assert challenge(served.model, recipe, METRICS, champion=served, settings=strict).promote


def accept_all(lake: Lake) -> None:
    rows = lake.labels.read()
    placed = rows["start"].drop_nulls().len()
    assert review_feedback(lake, "all", "accepted", who="somebody in a hurry") == (placed, len(rows) - placed)


def test_a_champion_that_collapses_is_not_replaced_by_itself(
    log: Log, lake: Lake, settings: Settings, served: Champion, models: tuple[Path, Path]
) -> None:
    """Accepted by mistake, the lie makes a wrong model look right: "100 % against 0 %"."""
    swapped = [replace_activity(log, lake, hour, activity) for hour, activity in ((9, "ABD"), (10, "PEN"))]
    assert sum(swapped) == 2 * len(SUBJECTS)
    accept_all(lake)
    recipe = make_recipe(settings, lake)
    verdict = challenge(models[1], recipe, METRICS, champion=served, settings=settings)
    assert verdict.difference == 1.0
    assert (verdict.promote, verdict.checks["labels"], verdict.checks["accuracy"]) == (False, False, True)
    assert "is 0.0 % (116 windows); it was 100.0 %" in verdict.reasons[0]
    review_feedback(lake, "source=127.0.0.1", "rejected")
    recipe = make_recipe(settings, lake)
    verdict = challenge(models[1], recipe, METRICS, champion=served, settings=settings)
    assert (verdict.promote, verdict.difference, "labels" in verdict.checks) == (False, -1.0, False)


def replace_activity(log: Log, lake: Lake, hour: int, activity: str) -> int:
    """Feedback of all subjects about a minute of this hour; returns how many are new."""
    start_us = round(dt.datetime.combine(DAY, dt.time(hour), dt.UTC).timestamp()) * 1_000_000
    about = {"start_us": start_us, "end_us": start_us + 60_000_000}
    log.write(*(feedback(f"{subject}{hour}", activity, subject=subject, **about) for subject in SUBJECTS))
    return log.collect(lake).labels


def test_a_mix_that_jumps_is_left_to_a_person(
    log: Log, lake: Lake, settings: Settings, served: Champion, models: tuple[Path, Path]
) -> None:
    lie(log, lake, DAY, SUBJECTS, "PEN")
    accept_all(lake)
    old = replace(served, accuracy=None)  # registered by a release that kept no figures
    verdict = challenge(models[0], make_recipe(settings, lake), METRICS, champion=old, settings=settings)
    assert not verdict.promote
    assert "ABD from 50.0 % to 0.0 %, PEN from 50.0 % to 100.0 %" in verdict.reasons[0]


def test_a_drift_by_a_persons_labels_is_no_reason_to_doubt(
    lake: Lake, settings: Settings, served: Champion, models: tuple[Path, Path]
) -> None:
    """The champion is wrong on all new days, as it is in a drift; on the days before it is what it was."""
    fill(lake, settings, [NEXT], SUBJECTS, labelled=False)
    told = [
        {"subject": subject, "start": start, "end": start + dt.timedelta(minutes=1), "activity": activity}
        for subject in SUBJECTS
        for hour, activity in ((9, "ABD"), (10, "PEN"))
        for start in [dt.datetime.combine(NEXT, dt.time(hour), dt.UTC)]
    ]
    add_labels(lake, pl.DataFrame(told))
    recipe: Recipe = make_recipe(settings, lake, **served.recipe.continued(NEXT))
    verdict = challenge(models[1], recipe, METRICS, champion=served, settings=settings)
    assert "labels" not in verdict.checks
    assert verdict.checks["accuracy_new"]
    assert not verdict.checks["accuracy_old"]


def test_one_feedback_is_accepted_and_taken_back(log: Log, lake: Lake, settings: Settings, served: Champion) -> None:
    replace_activity(log, lake, 9, "ROW")
    assert review_feedback(lake, "s019", "accepted", who="me") == (1, 0)
    labels = window_labels(lake, settings).filter(pl.col("activity") == "ROW")
    assert set(labels["subject"]) == {"s01"}
    state = {row["subject"]: row["review"] for row in reviewable_feedback(lake, settings).iter_rows(named=True)}
    assert state == {"s01": "accepted", **dict.fromkeys(SUBJECTS[1:])}
    assert lake.labels.read().filter(pl.col("review") == "accepted")["reviewed_by"].to_list() == ["me"]
    assert review_feedback(lake, "subject=s01", "rejected") == (1, 0)
    assert window_labels(lake, settings).filter(pl.col("activity") == "ROW").is_empty()
    assert review_feedback(lake, "all", "accepted") == (len(SUBJECTS) - 1, 0)
