"""The card of a registered version, as Markdown with the front matter that Hugging Face reads."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined

from har.cards._facts import FACTS, Facts
from har.inference import Classifier, ModelMetadata
from har.monitoring.drift import REFERENCE, Reference
from har.recipe import Recipe
from har.registry import Registry, Version
from har.settings import Settings

CARD = "card.md"
"""Name of the artifact, of the file in a package and in a bento."""
UNKNOWN = "*unknown*"
_SIDES = {"train": "train", "validation": "calibrate", "held_out": "judge (held out)"}
_MS_PER_KWH = 3.6e6
"""Watt-seconds in one kilowatt-hour."""


def render_card(registry: Registry, number: int) -> str:
    """The card of a version, from what the registry has of it; the same each time.

    The front matter has the figures as a `model-index`, of which Hugging Face makes its table of results. Sections and
    questions follow Mitchell et al. 2019 (Model Cards for Model Reporting).

    Args:
        registry: has the version.
        number: of the version.

    Raises:
        UnknownVersionError: no such version.
        ModelError, RegistryError: a file of the version is missing or was changed.
    """
    version = registry.version(number)
    recipe = registry.recipe(number)
    model = Classifier(registry.model_path(number), threads=1).metadata
    facts = Facts.read(registry.artifact(number, FACTS)) if version.has(FACTS) else None
    settings = Settings.from_values(recipe.settings, root=registry.folder)
    metrics = {name: value for name, value in version.metrics.items() if math.isfinite(value)}
    page = _pages().get_template("card.md.j2")
    return page.render(
        front=yaml.safe_dump(_front(model, version, recipe, metrics, settings), sort_keys=False, allow_unicode=True),
        name=model.project,
        version=version,
        summary=_summary(metrics, model),
        card=settings.card,
        activities=model.activities,
        window_s=model.length / model.rate_hz,
        channels=list(zip(model.channels, model.units, strict=True)),
        model=model,
        facts=facts,
        sides=[(title, facts.sides[name]) for name, title in _SIDES.items()] if facts else [],
        recipe=recipe,
        metrics=_Figures(metrics),
        worst=_worst(facts),
        reference=_reference(registry, version, settings),
        missing=_missing(facts, metrics),
        carbon=_carbon(facts, settings),
        unknown=UNKNOWN,
    )


class _Figures(dict[str, float]):
    """Metrics by name; one that a version lacks is None, and unknown on the card."""

    def __missing__(self, name: str) -> None:
        return None


@functools.cache
def _pages() -> Environment:
    # Markdown, no HTML: a value with "<" must be read as it is.
    pages = Environment(loader=PackageLoader("har.cards", "."), undefined=StrictUndefined, autoescape=False)  # noqa: S701
    pages.filters |= {"figure": _figure, "share": _share, "count": _count, "shares": _shares}
    return pages


def _figure(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.3f}"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"  # nothing to divide by


def _count(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:,.0f}"


def _shares(counts: Mapping[str, int]) -> str:
    total = sum(counts.values())
    rows = sorted(counts.items(), key=lambda row: (-row[1], row[0]))
    return ", ".join(f"{name or UNKNOWN} ({count / total:.0%} of the windows)" for name, count in rows)


def _summary(metrics: Mapping[str, float], model: ModelMetadata) -> str:
    if "accuracy" not in metrics:
        return f"Names {len(model.activities)} activities from windows of a wearable IMU."
    return (
        f"Names {len(model.activities)} activities from windows of a wearable IMU; of the windows of people whom it "
        f"never saw, it names {metrics['accuracy']:.1%} right."
    )


def _worst(facts: Facts | None) -> str:
    judged = [row for row in facts.classes if row.recall is not None] if facts else []
    return min(judged, key=lambda row: row.recall or 0.0).activity if judged else ""


def _reference(registry: Registry, version: Version, settings: Settings) -> str:
    if not version.has(REFERENCE):
        return "none: days of this version cannot be watched"
    reference = Reference.read(registry.artifact(version.number, REFERENCE))
    pooled = [stratum for stratum in reference.strata if not stratum.placement]
    subjects = ", ".join(str(stratum.subjects) for stratum in pooled)
    return (
        f"{len(reference.features)} features of {subjects} subjects; a day without drift alarms with a chance of "
        f"{settings.drift.false_alarms:.1%} (SHA-256 {version.sha256_of(REFERENCE)[:12]}…)"
    )


def _missing(facts: Facts | None, metrics: Mapping[str, float]) -> str:
    if facts:
        learned = facts.sides["train"].activities, facts.sides["validation"].activities
        absent = [name for name, count in learned[0].items() if not count + learned[1][name]]
        return ", ".join(absent) or "none: each activity has windows to train on"
    number = metrics.get("activities_missing")
    return UNKNOWN if number is None else f"{number:.0f} activities"


def _carbon(facts: Facts | None, settings: Settings) -> str:
    card = settings.card
    if facts is None or not card.watts:
        return f"{UNKNOWN} (card.watts and card.grams_co2_per_kwh in har.toml tell)"
    kwh = facts.seconds * card.watts / _MS_PER_KWH
    energy = f"{kwh * 1000:.3g} Wh at {card.watts:g} W"
    if not card.grams_co2_per_kwh:
        return f"{energy}; carbon {UNKNOWN} (card.grams_co2_per_kwh)"
    return f"{energy}, {kwh * card.grams_co2_per_kwh:.3g} g CO₂ at {card.grams_co2_per_kwh:g} g per kWh"


def _front(
    model: ModelMetadata, version: Version, recipe: Recipe, metrics: Mapping[str, float], settings: Settings
) -> dict[str, Any]:
    """The front matter; results have the fields that Hugging Face requires of a `model-index`."""
    named = {
        "accuracy": ("accuracy", "accuracy"),
        "macro_f1": ("f1", "macro-F1"),
        "calibration_error": ("expected_calibration_error", "expected calibration error"),
        "least_subject_accuracy": ("accuracy", "accuracy of the worst subject"),
        "least_recall": ("recall", "recall of the worst activity"),
    }
    results = [
        {"type": kind, "name": title, "value": metrics[name]}
        for name, (kind, title) in named.items()
        if name in metrics
    ]
    dataset = {
        "type": model.project,
        "name": f"{model.project}, held-out subjects",
        "split": "held-out subjects",
        "revision": recipe.data_version,
    }
    task = {"type": "time-series-classification", "name": "Human activity recognition"}
    return {
        **({"license": settings.card.licence.lower()} if settings.card.licence else {}),
        "library_name": "onnx",
        "tags": ["human-activity-recognition", "wearable", "imu", "time-series-classification", "onnx"],
        "model-index": [
            {
                "name": f"{model.project} version {version.number}",
                "results": [{"task": task, "dataset": dataset, "metrics": results}] if results else [],
            }
        ],
    }
