"""Recipes that grow without losing their keys, a drift's training from recipe to gate, and the reference beside it."""

from __future__ import annotations

import datetime as dt
import json
import sys
from dataclasses import replace
from html import unescape
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from loop_support import fill, write_mean_model

from har.challenge import challenge
from har.dataset import load_windows
from har.errors import MonitoringError, NotEnoughDataError, SettingsError
from har.experiment import Champion, Recipe, make_recipe, run
from har.lake import Lake
from har.monitoring.drift import REFERENCE, REFERENCE_PROFILE, Reference
from har.monitoring.profiles import Profile
from har.sample import SAMPLE_ACTIVITIES
from har.settings import Settings

OLD = [dt.date(2024, 1, 1)]
NEW = [dt.date(2024, 1, 2), dt.date(2024, 1, 3)]
SINCE = NEW[0]
SUBJECTS = [f"s{number:02d}" for number in range(1, 7)]
METRICS = {"latency_us_p50": 90.0, "latency_us_p99": 100.0}

RECORDED = {
    "settings": {
        "recordings": {"time_column": "time"},
        "sensors": {"rate_hz": 50.0},
        "windows": {"length_s": 4.0},
        "activities": {"names": ["PEN", "ABD"]},
        "split": {"held_out": []},
        "training": {"epochs": 15},
        "scoring": {"abstain_below": 0.5},
    },
    "lake": "/somewhere/lake",
    "lake_version": 6,
    "split": {"train": ["s01"], "validation": ["s02"], "held_out": ["s03"]},
    "network": "spectral",
    "seed": 0,
    "git_commit": "0123456789abcdef",
    "git_dirty": False,
}
"""As registered before there were regimes; the key is what that code computed."""


def test_a_recipe_from_before_keeps_its_key() -> None:
    old = Recipe(**RECORDED)
    assert old.key == "17da2db19cda"
    assert (old.regimes, old.labels_version, old.data_version) == ([], -1, "samples@6")
    assert "trained_to" not in old.tags()
    assert Recipe(**json.loads(json.dumps(old.to_json()))) == old


def test_what_is_new_in_a_recipe_decides() -> None:
    old = Recipe(**RECORDED)
    keys = {
        old.key,
        replace(old, regimes=["2024-01-02"]).key,
        replace(old, regimes=["2024-01-03"]).key,
        replace(old, labels_version=0).key,
    }
    assert len(keys) == 4
    assert replace(old, trained_to="2024-01-03").key == old.key
    assert replace(old, trained_to="2024-01-03").tags()["trained_to"] == "2024-01-03"
    assert replace(old, labels_version=2).data_version == "samples@6, labels@2"


def test_a_recipe_is_continued_after_a_drift_only() -> None:
    champion = Recipe(**RECORDED)
    assert champion.continued(None) == {}
    assert champion.continued(SINCE) == {"regimes": [SINCE], "held_out": ["s03"]}
    later = replace(champion, regimes=["2024-01-02"])
    assert later.continued(None)["regimes"] == [SINCE]
    assert later.continued(SINCE)["regimes"] == [SINCE]
    assert later.continued(OLD[0])["regimes"] == [SINCE]
    assert later.continued(NEW[1])["regimes"] == NEW


@pytest.fixture
def drifted(lake: Lake, settings: Settings) -> Lake:
    """A labelled day, and two labelled days since which another channel is moved."""
    fill(lake, settings, OLD, SUBJECTS)
    fill(lake, settings, NEW, SUBJECTS, shift=2.0)
    return lake


def test_the_champions_judges_stay(drifted: Lake, settings: Settings) -> None:
    first = make_recipe(settings, drifted)
    assert first.trained_to == "2024-01-03"
    others = [subject for subject in SUBJECTS if subject not in first.split["held_out"]][:2]
    kept = make_recipe(settings, drifted, regimes=[SINCE], held_out=others)
    assert kept.split["held_out"] == others
    assert kept.regimes == ["2024-01-02"]
    gone = make_recipe(settings, drifted, held_out=[others[0], "s99"])
    assert gone.split["held_out"] == others[:1]
    with pytest.raises(NotEnoughDataError, match=r"did not train on \(s99\), but got none"):
        make_recipe(settings, drifted, held_out=["s99"])


def test_regimes_are_told_by_date(drifted: Lake, settings: Settings) -> None:
    windows = load_windows(drifted, settings)
    recipe = replace(Recipe(**RECORDED), regimes=[day.isoformat() for day in NEW])
    regimes = recipe.regimes_of(windows)
    by_day = {str(day): set(regimes[windows.dates == day].tolist()) for day in np.unique(windows.dates)}
    assert by_day == {"2024-01-01": {0}, "2024-01-02": {1}, "2024-01-03": {2}}


def recipes(lake: Lake, settings: Settings) -> tuple[Recipe, Recipe]:
    """A champion's recipe from before the drift, and its challenger's."""
    new = make_recipe(settings, lake)
    champion = replace(new, lake_version=0)
    return champion, make_recipe(settings, lake, **champion.continued(SINCE))


@pytest.mark.parametrize(
    ("gains", "promote", "said"),
    [
        ((4.0, -4.0), True, "Better on the days since the drift began"),
        ((4.0, 5.0), False, "Not shown to be better on the days since the drift began"),
        ((-4.0, 4.0), False, "Not shown to lie within the margin of -5.0 points on the days before the drift"),
    ],
)
def test_a_challenger_of_a_drift_is_met_on_both_sides(
    drifted: Lake, settings: Settings, tmp_path: Path, gains: tuple[float, float], promote: bool, said: str
) -> None:
    champion, recipe = recipes(drifted, settings)
    models = [write_mean_model(tmp_path / f"{gain}" / "model.onnx", settings, gain=gain) for gain in gains]
    verdict = challenge(models[0], recipe, METRICS, champion=Champion(1, models[1], champion), settings=settings)
    assert verdict.promote is promote
    assert any(said in reason for reason in verdict.reasons), verdict.reasons
    assert verdict.old is not None
    assert verdict.new is not None
    assert verdict.new["windows"] == 2 * verdict.old["windows"]
    # Once the champion knows the regime, the next challenger is met on everything at once.
    known = challenge(models[0], recipe, METRICS, champion=Champion(1, models[1], recipe), settings=settings)
    assert set(known.checks) == {"accuracy", "class_floor", "latency"}


@pytest.mark.parametrize(
    ("section", "change", "word"),
    [
        ("activities", {"names": (*SAMPLE_ACTIVITIES, "JUMPING")}, "other activities"),
        ("windows", {"length_s": 1.0}, "other length"),
    ],
)
def test_a_challenger_made_for_other_windows_or_activities_is_left_to_a_person(
    lake: Lake, settings: Settings, tmp_path: Path, section: str, change: dict[str, object], word: str
) -> None:
    fill(lake, settings, OLD, SUBJECTS)
    other = settings.model_copy(update={section: getattr(settings, section).model_copy(update=change)})
    champion, recipe = make_recipe(settings, lake), make_recipe(other, lake)
    old, new = (write_mean_model(tmp_path / f"{i}" / "model.onnx", of) for i, of in enumerate((settings, other)))
    verdict = challenge(new, recipe, METRICS, champion=Champion(1, old, champion), settings=other)
    assert not verdict.promote
    assert word in verdict.reasons[0]
    assert "har promote" in verdict.reasons[0]
    assert verdict.checks["accuracy"] is False
    assert verdict.checks["latency"] is True
    assert verdict.difference is None


def test_without_new_labels_of_its_judges_it_cannot_be_judged(lake: Lake, settings: Settings, tmp_path: Path) -> None:
    fill(lake, settings, OLD, SUBJECTS)
    champion = make_recipe(settings, lake)
    judges = champion.split["held_out"]
    fill(lake, settings, NEW, judges, labelled=False)
    fill(lake, settings, NEW, [subject for subject in SUBJECTS if subject not in judges])
    recipe = make_recipe(settings, lake, **champion.continued(SINCE))
    model = write_mean_model(tmp_path / "m" / "model.onnx", settings)
    verdict = challenge(model, recipe, METRICS, champion=Champion(1, model, champion), settings=settings)
    assert not verdict.promote
    assert "The new distribution cannot be compared" in verdict.reasons[1]


def test_a_drifts_training_from_feedback_to_reference(lake: Lake, settings: Settings, tmp_path: Path) -> None:
    """The new days have no labels but those that people gave; the model answers with activities, not with pairs."""
    settings = settings.model_copy(update={"training": settings.training.model_copy(update={"epochs": 8})})
    fill(lake, settings, OLD, SUBJECTS)
    champion = make_recipe(settings, lake)
    fill(lake, settings, NEW, SUBJECTS, labelled=False, shift=2.0)
    told = [
        {
            "date": date,
            "subject": subject,
            "start": dt.datetime.combine(date, dt.time(9 + number), dt.UTC),
            "end": dt.datetime.combine(date, dt.time(9 + number, 1), dt.UTC),
            "activity": activity,
            "feedback_id": f"{date}{subject}{number}",
            "received_at": dt.datetime(2024, 2, 1, tzinfo=dt.UTC),
        }
        for date in NEW
        for subject in SUBJECTS
        for number, activity in enumerate(("PEN", "ABD"))
    ]
    lake.labels.add(pl.DataFrame(told, lake.labels.schema), ["feedback_id"])
    recipe = make_recipe(settings, lake, **champion.continued(SINCE))
    assert recipe.data_version.endswith("labels@0")
    made = run(recipe, tmp_path / "run")
    assert made.metrics["accuracy"] > 0.9
    assert made.outcome.probabilities.shape[1] == len(settings.activities.all)
    np.testing.assert_allclose(made.outcome.probabilities.sum(axis=1), 1, atol=1e-5)
    reference = Reference.read(tmp_path / "run" / REFERENCE)
    assert {stratum.regime for stratum in reference.strata} == {0, 1}
    assert "accel_y.mean" in reference.features
    profile = Profile.from_bytes((tmp_path / "run" / REFERENCE_PROFILE).read_bytes(), where="run")
    assert set(reference.features) < set(profile.names)
    assert profile.windows == sum(profile.activities.values()) > 0


@pytest.mark.parametrize(
    ("case", "fact"),
    [
        ("compared", "version 3, on the same held-out windows"),
        ("trained on them", "version 3, not compared: it was trained on "),
        ("other activities", "version 3, not compared: made for other activities"),
    ],
)
def test_the_page_shows_the_champion_beside_the_model(
    lake: Lake, settings: Settings, tmp_path: Path, case: str, fact: str
) -> None:
    """The champion of this test names every window's activity correctly."""
    settings = settings.model_copy(
        update={
            "training": settings.training.model_copy(update={"epochs": 1}),
            "monitoring": settings.monitoring.model_copy(update={"enabled": False}),
            "gates": settings.gates.model_copy(update={"latency_ms": 1e-6}),
        }
    )
    fill(lake, settings, OLD, SUBJECTS)
    recipe = make_recipe(settings, lake)
    names = (*SAMPLE_ACTIVITIES, "JUMPING") if case == "other activities" else settings.activities.names
    made_for = settings.model_copy(update={"activities": settings.activities.model_copy(update={"names": names})})
    sides = {**recipe.split, "train": recipe.split["held_out"]} if case == "trained on them" else recipe.split
    model = write_mean_model(tmp_path / "champion" / "model.onnx", made_for)
    made = run(recipe, tmp_path / "run", champion=Champion(3, model, replace(recipe, split=sides)))
    page = unescape(made.report.read_text(encoding="utf-8")).replace("\N{NO-BREAK SPACE}", " ")
    assert fact in page
    assert ("<small>champion 100.0 %</small>" in page) is (case == "compared")
    change = f"{100 * (made.evaluation.accuracy - 1):+.1f}".replace("-", "−")
    assert (f"accuracy changes by <strong>{change} points</strong>" in page) is (case == "compared")
    assert "over 1e-06 ms (gates.latency_ms); other processes on the machine lengthen it" in page
    if case == "compared":
        alone = run(recipe, tmp_path / "alone").report.read_text(encoding="utf-8")
        assert "hampion" not in alone


def test_what_monitoring_lacks_is_said_before_training(
    drifted: Lake, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = make_recipe(settings, drifted)
    strange = settings.monitoring.model_copy(update={"features": ("*.smell",)})
    with pytest.raises(MonitoringError, match=r"'\*\.smell', which matches none"):
        run(recipe, tmp_path / "run", on_epoch=_must_not_start, monitoring=strange)
    from har.monitoring.profiles import _profile

    for name in [name for name in sys.modules if name.split(".")[0] in ("whylogs", "whylogs_sketching")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "whylogs", None)
    monkeypatch.setitem(sys.modules, "whylogs_sketching", None)
    _profile._whylogs.cache_clear()
    with pytest.raises(MonitoringError, match=r"the package whylogs(.|\n)*monitoring\.enabled = false"):
        run(recipe, tmp_path / "run", on_epoch=_must_not_start)
    _profile._whylogs.cache_clear()
    assert not (tmp_path / "run").exists()


def _must_not_start(_epoch: object) -> None:
    raise AssertionError("training began")


def test_an_activity_without_training_windows_is_on_the_model_page(
    lake: Lake, settings: Settings, tmp_path: Path
) -> None:
    """The lake holds PEN and ABD; har.toml lists seven activities."""
    fill(lake, settings, OLD, SUBJECTS)
    recipe = make_recipe(settings, lake)
    off = settings.monitoring.model_copy(update={"enabled": False})
    made = run(recipe, tmp_path / "run", monitoring=off)
    missing = [name for name in settings.activities.all if name not in ("PEN", "ABD")]
    assert made.missing_activities == tuple(missing) != ()
    assert made.metrics["activities_missing"] == len(missing)
    page = made.report.read_text(encoding="utf-8")
    assert "Never seen in training" in page
    assert ", ".join(missing) in page
    assert f"({made.metrics['windows_trained']:.0f} windows)" in page
    assert f"epoch {made.metrics['epochs_trained']:.0f}: accuracy" in page


def test_an_unknown_network_is_refused_before_anything_is_read(settings: Settings, tmp_path: Path) -> None:
    nowhere = Lake(tmp_path / "nowhere", settings.sensors.channels)
    with pytest.raises(SettingsError, match=r"training\.network: .*'dscn'\. Did you mean 'dscnn'\?"):
        make_recipe(settings, nowhere, network="dscn")
    strange = settings.model_copy(update={"training": settings.training.model_copy(update={"network": "resnet"})})
    with pytest.raises(SettingsError, match="a Python file that holds a network, but got 'resnet'"):
        make_recipe(strange, nowhere)
