"""Gathers what the gate has to know about the labels that a training rests on."""

from __future__ import annotations

import polars as pl

from har.dataset import is_unreviewed, window_labels
from har.evaluation import LabelEvidence
from har.lake import Lake
from har.monitoring.decisions._truth import confident_answers
from har.recipe import Recipe
from har.settings import Settings

_KEY = ["date", "subject", "session", "start"]


def gather_evidence(
    lake: Lake,
    settings: Settings,
    recipe: Recipe,
    champion: Recipe,
    *,
    accuracy_then: float | None,
    accuracy_now: float | None,
    windows_now: int,
) -> LabelEvidence:
    """Count labelled windows of both recipes, and how far unreviewed feedback contradicts what models answered.

    Args:
        lake: the tables.
        settings: how windows are cut, and the activities.
        recipe: the challenger's.
        champion: the champion's.
        accuracy_then: the champion's, as registered.
        accuracy_now: the champion's, by the labels of now.
        windows_now: how many windows that is.
    """
    known = -1 < champion.lake_version <= lake.samples.version() and champion.labels_version <= lake.labels.version()
    sure, denied = _denied(lake, settings, recipe)
    return LabelEvidence(
        then=_counts(lake, settings, champion) if known else {},
        now=_counts(lake, settings, recipe),
        accuracy_then=accuracy_then,
        accuracy_now=accuracy_now,
        windows_now=windows_now,
        sure=sure,
        denied=denied,
    )


def _counts(lake: Lake, settings: Settings, recipe: Recipe) -> dict[str, int]:
    """Labelled windows by activity, as a training of this recipe sees them."""
    labels = _labels(lake, settings, recipe, unreviewed=True)
    return dict(labels["activity"].value_counts().sort("activity").iter_rows())


def _denied(lake: Lake, settings: Settings, recipe: Recipe) -> tuple[int, int]:
    """Windows that only unreviewed feedback labels and that a model was sure of, and those with another activity."""
    trains = pl.col("subject").is_in(recipe.split["train"])
    rows = lake.labels.scan(recipe.labels_version).filter(is_unreviewed() & trains & pl.col("start").is_not_null())
    if lake.labels.collect(rows.select(pl.len()), recipe.labels_version).item() == 0:
        return 0, 0
    every, reviewed = (_labels(lake, settings, recipe, unreviewed=unreviewed) for unreviewed in (True, False))
    sure = confident_answers(lake, every.join(reviewed, on=_KEY, how="anti", maintain_order="left"))
    return len(sure), sure.filter(pl.col("answer") != pl.col("activity")).height


def _labels(lake: Lake, settings: Settings, recipe: Recipe, *, unreviewed: bool) -> pl.DataFrame:
    return window_labels(
        lake,
        settings,
        version=recipe.lake_version,
        labels_version=recipe.labels_version,
        unreviewed_of=recipe.split["train"] if unreviewed else (),
    )
