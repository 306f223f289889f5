"""Samples in a wrong unit are named in the answer or refused; samples of a sensor that was off are no activity."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from batch_support import parquet, recording

from bentos.batch import Scored, Scorer, parquet_samples
from har.errors import RangeError, RequestError
from har.inference import Package
from har.plausibility import NO_SIGNAL
from har.settings import Settings

ACCELERATION = ("accel_x", "accel_y", "accel_z")


def samples(settings: Settings) -> pl.DataFrame:
    """Two sessions of one subject and one of another, 60 windows' worth each."""
    return pl.concat(
        [
            recording(settings, "2024-01-01", "a", "am", count=60, seed=1),
            recording(settings, "2024-01-01", "a", "pm", count=60, seed=2, segment=5),
            recording(settings, "2024-01-01", "b", "am", count=60, seed=3),
        ]
    )


def scaled(
    frame: pl.DataFrame, factor: float, *, session: str = "", channels: tuple[str, ...] = ACCELERATION
) -> pl.DataFrame:
    chosen = pl.col("session") == session if session else pl.lit(True)
    return frame.with_columns(
        pl.when(chosen).then(pl.col(name) * factor).otherwise(pl.col(name)).alias(name) for name in channels
    )


def score(scorer: Scorer, frame: pl.DataFrame, folder: Path, rows: int = 250_000) -> tuple[Scored, pl.DataFrame]:
    path = parquet(frame, folder / "samples.parquet")
    target = folder / "predictions.parquet"
    return scorer.score(parquet_samples(path, scorer.settings, rows=rows), target), pl.read_parquet(target)


def test_good_samples_have_no_warning(scorer: Scorer, batch_settings: Settings, tmp_path: Path) -> None:
    done, _ = score(scorer, samples(batch_settings), tmp_path)
    assert done.warnings == {}


@pytest.mark.parametrize("rows", [100, 250_000])
def test_sessions_in_g_are_named_once_each(scorer: Scorer, batch_settings: Settings, tmp_path: Path, rows: int) -> None:
    good = samples(batch_settings)
    done, found = score(scorer, scaled(good, 1 / 9.80665, session="am"), tmp_path, rows)
    assert list(done.warnings) == ["accelerometer_unit"]
    text = done.warnings["accelerometer_unit"]
    assert text.startswith("subject 'a', session 'am' of 2024-01-01 and 1 further sessions: accelerometer: expected")
    assert "look like g" in text
    assert len(found) == done.windows


def test_beyond_full_scale_is_refused_by_row(scorer: Scorer, batch_settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(RangeError, match="accel_x, row"):
        score(scorer, scaled(samples(batch_settings), 1000 / 9.80665), tmp_path)


def test_a_strict_scorer_refuses(package: Package, batch_settings: Settings, tmp_path: Path) -> None:
    strict = batch_settings.model_copy(update={"serving": batch_settings.serving.model_copy(update={"strict": True})})
    scorer = Scorer(package, strict)
    score(scorer, samples(batch_settings), tmp_path)
    with pytest.raises(RequestError, match="subject 'a', session 'am'") as refused:
        score(scorer, scaled(samples(batch_settings), 1 / 9.80665), tmp_path)
    assert refused.value.status == 422
    assert "look like g" in refused.value.remedy


def test_a_sensor_that_is_off_is_no_activity(scorer: Scorer, batch_settings: Settings, tmp_path: Path) -> None:
    frame = samples(batch_settings)
    off = scaled(frame, 0, session="pm", channels=batch_settings.sensors.channels)
    done, found = score(scorer, off, tmp_path)
    assert done.warnings == {}
    assert ((found["activity"] == NO_SIGNAL) == (found["session"] == "pm")).all()
    silent = found.filter(pl.col("session") == "pm")
    assert silent["abstained"].all() and silent["confidence"].sum() == 0
