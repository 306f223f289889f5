"""A channel beside the IMU's, here a barometer, goes the whole way: files, lake, model, score, profile."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from inbox_support import inbox_chunks
from tests_support import HAR_TOML, write_recording

from har.errors import SettingsError
from har.experiment import Experiment, make_recipe, run
from har.inference import Classifier
from har.jobs.ingest import ingest_files
from har.jobs.score import chunks_to_score, pending, score_chunk
from har.lake import Lake
from har.monitoring import Profiler, Profiles
from har.monitoring.profiles import chosen_features
from har.settings import Settings, load_settings

DAY = "2024-01-01"
SUBJECTS = tuple(f"s{number:02d}" for number in range(1, 7))
SLOPE_HPA_S = {"PEN": 0.0, "ABD": 0.05}
"""The same movement; only the barometer tells the second from the first, as on stairs."""


@pytest.fixture(scope="module")
def climbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, Lake, Experiment]:
    """A project with a barometer, its lake, and a model trained on it; treat as read-only."""
    root = tmp_path_factory.mktemp("climbed")
    further = 'rate_hz = 50.0\nfurther = [{ name = "pressure", unit = "hPa" }]'
    (root / "har.toml").write_text(HAR_TOML.replace("rate_hz = 50.0", further))
    settings = load_settings(root)
    for number, subject in enumerate(SUBJECTS):
        for activity, slope in SLOPE_HPA_S.items():
            inbox = settings.path("inbox")
            path = write_recording(inbox, DAY, subject, activity.lower(), activity, like="PEN", seed=number, seconds=60)
            frame = pl.read_csv(path)
            pressure = 1013.25 + slope * np.arange(frame.height) / 50
            frame.with_columns(pl.Series("pressure", pressure).round(2)).write_csv(path)
    lake = Lake(settings.path("lake"), settings.sensors.channels)
    for chunk in inbox_chunks(settings)[0]:
        ingest_files(lake, settings, chunk)
    return settings, lake, run(make_recipe(settings, lake), root / "run")


def test_it_comes_into_the_lake_as_the_files_have_it(climbed: tuple[Settings, Lake, Experiment]) -> None:
    settings, lake, _ = climbed
    assert settings.sensors.channels[-1] == "pressure"
    samples = lake.samples.read()
    assert samples.filter(activity="PEN")["pressure"].unique().to_list() == [1013.25]
    assert samples["flags"].unique().to_list() == [0], (
        "a pressure that stays is no stuck sensor, and a high one not saturated"
    )


def test_the_model_tells_apart_what_only_it_can(climbed: tuple[Settings, Lake, Experiment]) -> None:
    settings, _, experiment = climbed
    assert experiment.metrics["accuracy"] > 0.95
    metadata = Classifier(experiment.model).metadata
    assert (metadata.channels[-1], metadata.units[-1]) == ("pressure", "hPa")
    metadata.require(**settings.model_input, where="here")
    assert any(name.startswith("pressure.") for name in metadata.feature_names)


def test_it_is_scored_and_profiled(climbed: tuple[Settings, Lake, Experiment]) -> None:
    settings, lake, experiment = climbed
    classifier = Classifier(experiment.model)
    observer = Profiler(lake, settings, classifier.metadata.feature_names, 1)
    for chunk in chunks_to_score(lake, pending(lake, 1), limit=20_000):
        score_chunk(lake, settings, classifier, 1, chunk, observer=observer)
    told = lake.predictions.read()
    right = told["activity"].str.to_lowercase() == told["session"]
    assert right.mean() > 0.95  # type: ignore[operator]
    watched = chosen_features(classifier.metadata.feature_names, settings.monitoring)
    assert "pressure.mean" in watched
    (day, *_) = Profiles(lake).of_day(told["date"][0])
    assert day.profile.mean("pressure.mean") == pytest.approx(1013.25 + 0.05 * 15, abs=1.0)


@pytest.mark.parametrize(
    ("further", "words"),
    [
        ('[{ name = "gyro_x", unit = "hPa" }]', "gyro_x"),
        ('[{ name = "pressure" }]', "unit"),
        ('[{ name = "pressure", unit = "hPa" }, { name = "pressure", unit = "hPa" }]', "pressure"),
    ],
    ids=["a sensor's", "without unit", "twice"],
)
def test_a_channel_that_cannot_be_is_refused(project: Path, further: str, words: str) -> None:
    (project / "har.toml").write_text(HAR_TOML.replace("rate_hz = 50.0", f"rate_hz = 50.0\nfurther = {further}"))
    with pytest.raises(SettingsError, match=words):
        load_settings(project)
