"""Judge a challenger against the champion on the lake's held-out subjects; the gate's verdict out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from har.dataset import load_windows
from har.errors import NotEnoughDataError
from har.evaluation import (
    LabelLimits,
    Outcome,
    OwnLimits,
    Verdict,
    compare,
    compare_after_drift,
    doubts,
    latency_ratio,
    leave_to_a_person,
    reference_classifier,
    refuse_to_compare,
)
from har.experiment import Champion, differing_in, judge, labelled
from har.inference import Classifier
from har.lake import Lake
from har.monitoring.decisions import gather_evidence
from har.recipe import Recipe
from har.settings import Settings


def challenge(
    challenger: Path,
    recipe: Recipe,
    metrics: Mapping[str, float],
    *,
    champion: Champion | None,
    settings: Settings,
) -> Verdict:
    """Judge a challenger against the champion, on the challenger's held-out subjects that the champion never saw.

    A challenger that was trained on a distribution which the champion does not know (its recipe has another regime)
    must be no worse on the days before it, within `gates.old_margin`, and better on the days since. Any other must be
    no worse on all of them together, within `gates.margin`. One that was made for other windows or other activities
    than the champion is left to a person. So is one whose labels give reason to doubt them: the champion's accuracy on
    held-out subjects collapsed since its training, the mix of activities jumped, or unreviewed feedback contradicts
    what models were sure of. Held-out subjects are judged by files and by a person's word alone.

    Its processor time for one window is measured here, side by side with the champion's, or with a small reference
    network's where there is no champion that takes the same windows.

    Args:
        challenger: its model file.
        recipe: its recipe: names the data version and the subjects.
        metrics: its figures; `latency_us_p50` and `latency_us_p99` are read.
        champion: the version that serves, None if there is none.
        settings: gates; `drift.min_windows` is the least number of labelled windows before and since a drift.

    Raises:
        NotEnoughDataError: the champion was trained on every subject that the challenger was to be judged on.
    """
    lake = Lake(settings.place(recipe.lake), settings.sensors.channels)
    windows = load_windows(
        lake,
        Settings.from_values(recipe.settings, root=settings.root),
        version=recipe.lake_version,
        labels_version=recipe.labels_version,
    )
    known = champion.trained_on if champion else frozenset()
    judges = tuple(subject for subject in recipe.split["held_out"] if subject not in known)
    if not judges:
        raise NotEnoughDataError(
            where="gate",
            expected="a held-out subject that the champion was not trained on",
            got=f"{', '.join(recipe.split['held_out'])}, and it was trained on all of them",
            remedy="Hold out others (har.toml, split.held_out), or decide by hand: har promote VERSION --reason WHY.",
        )
    held_out = labelled(windows.for_subjects(judges))
    model = Classifier(challenger, threads=1)
    champion_model = Classifier(champion.model, threads=1) if champion else None
    outcome = judge(model, held_out, judges)
    gates = settings.gates
    differing = differing_in(model.metadata, champion_model.metadata) if champion_model else []
    if champion_model and not differing:
        measured, largest = latency_ratio(model, champion_model, against="champion"), gates.latency_ratio
    else:
        reference = reference_classifier(model.metadata)
        measured, largest = latency_ratio(model, reference, against="reference"), gates.reference_ratio
    limits = OwnLimits(
        class_floor=gates.class_floor,
        latency_ratio=largest,
        measured=measured,
        latency_ms=gates.latency_ms,
        wall_p50_ms=metrics["latency_us_p50"] / 1000,
        wall_p99_ms=metrics["latency_us_p99"] / 1000,
    )
    if differing:
        return refuse_to_compare(outcome, differing, limits)
    if champion is None or champion_model is None:
        return compare(outcome, None, limits, margin=gates.margin)
    champion_outcome = judge(champion_model, held_out, judges)
    new = [date for date in recipe.regimes if date not in champion.recipe.regimes]
    is_new = held_out.dates >= np.datetime64(min(new)) if new else np.zeros(len(held_out), bool)
    if new:
        verdict = compare_after_drift(
            outcome,
            champion_outcome,
            is_new,
            limits,
            old_margin=gates.old_margin,
            least_windows=settings.drift.min_windows,
        )
    else:
        verdict = compare(outcome, champion_outcome, limits, margin=gates.margin)
    return leave_to_a_person(verdict, _doubts(lake, settings, recipe, champion, champion_outcome.select(~is_new)))


def _doubts(lake: Lake, settings: Settings, recipe: Recipe, champion: Champion, outcome: Outcome) -> list[str]:
    """Doubts about the labels; `outcome` is the champion's on held-out subjects, on the days before a new drift."""
    gates = settings.gates
    evidence = gather_evidence(
        lake,
        Settings.from_values(recipe.settings, root=settings.root),
        recipe,
        champion.recipe,
        accuracy_then=champion.accuracy,
        accuracy_now=outcome.accuracy if len(outcome) else None,
        windows_now=len(outcome),
    )
    limits = LabelLimits(
        champion_drop=gates.champion_drop,
        mix_change=gates.mix_change,
        denied_share=gates.denied_share,
        least_windows=settings.drift.min_windows,
    )
    return doubts(evidence, limits)
