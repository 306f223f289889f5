"""Smoothed answers of a file that is read in pieces are those of scoring whole days."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from batch_support import parquet

from bentos.batch import Scorer, parquet_samples
from har.inference import Classifier, Package
from har.predictions import predict
from har.settings import Settings


def smoothing(settings: Settings, kind: str) -> Settings:
    content = settings.model_dump()
    content["scoring"] |= {"smoothing": kind, "unknown_share": 0.2}
    return Settings(**content, root=settings.root)


@pytest.mark.parametrize("kind", ["hmm", "duration"])
def test_in_pieces_as_a_whole(
    kind: str, package: Package, batch_settings: Settings, samples: pl.DataFrame, tmp_path: Path
) -> None:
    settings = smoothing(batch_settings, kind)
    days = samples.partition_by("date", "subject", as_dict=True)
    parts = [((date, subject), rows) for (date, subject), rows in days.items()]
    expected = predict(parts, settings, Classifier(package.model, threads=1), package.version)
    assert (expected["smoothed"] != expected["activity"]).any()
    assert expected["unknown"].any()
    scorer = Scorer(package, settings)
    path = parquet(samples, tmp_path / "samples.parquet")
    for rows in (37, 250, 250_000):
        target = tmp_path / "predictions.parquet"
        scorer.score(parquet_samples(path, settings, rows=rows), target)
        assert pl.read_parquet(target).equals(expected.sort("date", "subject", "session", "start")), rows


def test_a_model_of_an_older_release_smooths_nothing_and_knows_nothing_unknown(
    model_files: dict[str, Path], batch_settings: Settings, samples: pl.DataFrame
) -> None:
    first = samples.partition_by("date", "subject", as_dict=True)
    (key, rows), *_ = first.items()
    old = Classifier(model_files["previous"], threads=1)
    found = predict([((key[0], key[1]), rows)], smoothing(batch_settings, "hmm"), old, 6)
    assert found["smoothed"].null_count() == found["unknown"].null_count() == len(found) > 0
