"""Probation: a promoted model beside its predecessor on the same windows; when it falls under it, and when not."""

from __future__ import annotations

import datetime as dt
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from loop_support import fill, score, write_mean_model
from tests_support import example_recipe

from har.dataset import load_windows
from har.inference import Classifier
from har.lake import Lake
from har.monitoring import DriftReports
from har.monitoring.decisions import LAKE_TO, ProbationVerdict, watch_probation
from har.monitoring.drift import DayReport, reference_of
from har.registry import Registry
from har.registry._backend import DATABASE, connect
from har.settings import Monitoring, Settings

BEFORE = [dt.date(2024, 1, day) for day in (1, 2)]
AFTER = [dt.date(2024, 1, day) for day in range(3, 13)]
SUBJECTS = ["s01", "s02", "s03"]
PROFILED = Monitoring(features=("*.mean",))

Promote = Callable[..., None]


def report(date: dt.date, *, version: int = 2, judged: bool = True, confirmed: bool = False) -> DayReport:
    return DayReport(
        date, version, 3, 174, judged, 0.2, confirmed, confirmed, date if confirmed else None,
        (), (), (), (), None, "", "",
    )  # fmt: skip


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry's database as a first start leaves it; making one takes seconds."""
    folder = tmp_path_factory.mktemp("mlflow")
    connect(folder)
    return folder / DATABASE


@pytest.fixture
def registry(settings: Settings, lake: Lake, database: Path) -> Registry:
    fill(lake, settings, BEFORE, SUBJECTS)
    settings.path("mlflow").mkdir()
    shutil.copy(database, settings.path("mlflow") / DATABASE)
    return Registry(settings.path("mlflow"), settings.project.name)


@pytest.fixture
def promote(registry: Registry, settings: Settings, lake: Lake, tmp_path: Path) -> Promote:
    """Register and promote a model with the reference that it has of the lake as it is now."""

    def add(gain: float = 4.0, *, reference: bool = True, figures: dict[str, str] | None = None) -> None:
        number = len(registry.versions()) + 1
        model = write_mean_model(tmp_path / f"m{number}" / "model.onnx", settings, gain=gain)
        made = tmp_path / f"m{number}" / "reference.json"
        if reference:
            reference_of(Classifier(model, threads=1), load_windows(lake, settings), PROFILED)[0].write(made)
        registry.register(
            model,
            params={},
            metrics={"accuracy": 0.9},
            recipe=example_recipe(seed=number),
            report=None,
            extra_artifacts=[made] if reference else [],
            tags={"trained_to": BEFORE[-1].isoformat()},
        )
        registry.promote(number, reason="test", who="test", figures=figures)

    return add


def watched(
    lake: Lake, settings: Settings, registry: Registry, day: DayReport, **options: int
) -> ProbationVerdict | None:
    return watch_probation(lake, settings, registry, day, **options)


def test_an_equal_model_holds(lake: Lake, settings: Settings, registry: Registry, promote: Promote) -> None:
    promote()
    assert watched(lake, settings, registry, report(BEFORE[-1], version=1)) is None
    promote(5.0)
    fill(lake, settings, AFTER[:1], SUBJECTS)
    found = watched(lake, settings, registry, report(AFTER[0]))
    assert (found.version, found.former, found.since, found.days) == (2, 1, BEFORE[-1], 1)
    assert not found.rollback
    assert found.accuracy == (1.0, 1.0)
    assert (found.windows, found.labelled) == (3 * 58, 3 * 58)
    assert found.score is not None
    assert max(found.score) < 1
    assert found.reasons[0] == "Version 2 holds its probation beside version 1 after 1 judged day."
    assert json.dumps(found.reasons)


def test_worse_answers_are_rolled_back(lake: Lake, settings: Settings, registry: Registry, promote: Promote) -> None:
    promote()
    promote(-4.0)
    fill(lake, settings, AFTER[:1], SUBJECTS)
    found = watched(lake, settings, registry, report(AFTER[0]))
    assert found.rollback
    assert found.accuracy == (0.0, 1.0)
    assert "Accuracy 0.0 % against the former champion's 100.0 % on 174 labelled windows" in found.reasons[1]
    assert "more than 5 points below" in found.reasons[1]


def test_without_labels_confidence_tells(lake: Lake, settings: Settings, registry: Registry, promote: Promote) -> None:
    promote()
    promote(0.2)
    fill(lake, settings, AFTER[:1], SUBJECTS, labelled=False)
    found = watched(lake, settings, registry, report(AFTER[0]))
    assert found.rollback
    assert found.accuracy is None
    assert found.labelled == 0
    assert found.confidence[0] < found.confidence[1] - 0.1
    assert "more than 10 points below" in found.reasons[1]


def test_drift_that_the_former_champion_does_not_see(
    lake: Lake, settings: Settings, registry: Registry, promote: Promote
) -> None:
    """The promoted model was trained on days that no longer come: they are far from its reference, not from the old."""
    promote()
    fill(lake, settings, BEFORE, SUBJECTS, shift=2.0)
    promote()
    fill(lake, settings, AFTER[:1], SUBJECTS, labelled=False)
    alone = watched(lake, settings, registry, report(AFTER[0]))
    assert alone.score[0] > 1 > alone.score[1]
    assert not alone.rollback, "as long as the drift is not confirmed"
    confirmed = watched(lake, settings, registry, report(AFTER[0], confirmed=True))
    assert confirmed.rollback
    assert "(confirmed)" in confirmed.reasons[-1]


def test_drift_that_hits_both_is_no_reason(
    lake: Lake, settings: Settings, registry: Registry, promote: Promote
) -> None:
    promote()
    promote()
    fill(lake, settings, AFTER[:1], SUBJECTS, labelled=False, shift=2.0)
    found = watched(lake, settings, registry, report(AFTER[0], confirmed=True))
    assert found.score[0] == found.score[1] > 1
    assert not found.rollback


def test_a_former_champion_without_a_reference(
    lake: Lake, settings: Settings, registry: Registry, promote: Promote
) -> None:
    promote(reference=False)
    promote()
    fill(lake, settings, AFTER[:1], SUBJECTS)
    found = watched(lake, settings, registry, report(AFTER[0], confirmed=True))
    assert found.score is None
    assert not found.rollback


def test_probation_counts_judged_days_after_the_promotion(
    lake: Lake, settings: Settings, registry: Registry, promote: Promote
) -> None:
    promote()
    promote(figures={LAKE_TO: AFTER[0].isoformat()})
    fill(lake, settings, AFTER[:9], SUBJECTS[:2])
    assert watched(lake, settings, registry, report(AFTER[0])) is None
    assert watched(lake, settings, registry, report(AFTER[1], judged=False)) is None
    days = []
    for date in AFTER[1:9]:
        day = report(date)
        DriftReports(lake).store(day)
        found = watched(lake, settings, registry, day)
        days.append(found.days if found else None)
    assert days == [1, 2, 3, 4, 5, 6, 7, None]
    assert watched(lake, settings, registry, report(AFTER[4], version=1)) is None


def test_so_many_windows_and_the_labelled_ones_first(
    lake: Lake, settings: Settings, registry: Registry, promote: Promote, tmp_path: Path
) -> None:
    promote()
    promote()
    fill(lake, settings, AFTER[:1], SUBJECTS)
    fill(lake, settings, AFTER[1:4], SUBJECTS, labelled=False)
    score(lake, settings, tmp_path / "m2" / "model.onnx", 2)
    for date in AFTER[:3]:
        DriftReports(lake).store(report(date))
    found = watched(lake, settings, registry, report(AFTER[3]), most=200)
    assert (found.windows, found.labelled, found.days) == (4 * 58, 3 * 58, 4)


def test_a_rollback_ends_it(lake: Lake, settings: Settings, registry: Registry, promote: Promote) -> None:
    promote()
    promote(-4.0)
    fill(lake, settings, AFTER[:1], SUBJECTS)
    registry.rollback(reason="probation", who="test")
    assert watched(lake, settings, registry, report(AFTER[0], version=1)) is None
