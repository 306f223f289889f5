"""Figures of the champion, from the promotion log, which needs no MLflow."""

from __future__ import annotations

from har.registry import PromotionLog
from har.settings import Settings
from infra.observability.figures._metric import Gauge, gauge


def model(settings: Settings) -> list[Gauge]:
    """Which version is the champion, since when, and when a version was registered and promoted last."""
    # The registry itself would finish a move that was cut off, which takes MLflow and a lock.
    entries = PromotionLog(settings.path("mlflow")).read(settings.project.name)
    champion = entries[-1].champion_after if entries else None
    promoted = registered = None
    for entry in entries:
        if entry.champion_after != entry.champion_before:
            promoted = entry.when.timestamp()
        if entry.action == "challenge":
            registered = entry.when.timestamp()
    return [
        gauge("champion_version", "The version that serves", champion),
        gauge(
            "champion_promoted_timestamp_seconds",
            "Since when it serves",
            promoted if champion is not None else None,
        ),
        gauge("version_registered_timestamp_seconds", "When a version was registered last", registered),
    ]
