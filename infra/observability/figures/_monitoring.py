"""Figures of the newest monitored day: drift, faults of the data, accuracy on labelled windows."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

from har.lake import Lake
from infra.observability.figures._lake import Changes
from infra.observability.figures._metric import Gauge, gauge

FAULTS = ("coverage", "gaps", "saturation", "stuck", "no_signal")
"""As `har.monitoring` names them; importing it takes a second."""

_WORST = 5


class Monitoring:
    """The newest report, read again when there is another one.

    Args:
        lake: has the reports.
        zone: of the project, in which a day ends.
    """

    def __init__(self, lake: Lake, zone: dt.tzinfo) -> None:
        self._lake, self._zone = lake, zone
        self._changes = Changes(lake, "drift")
        self._found: list[Gauge] = []

    def __call__(self) -> list[Gauge]:
        """The figures now; none before the first monitored day."""
        if self._changes.any():
            try:
                self._found = self._read()
            except BaseException:
                self._changes.forget()
                raise
        return self._found

    def _read(self) -> list[Gauge]:
        partitions = self._lake.drift.partitions()
        if not partitions:
            return []
        rows = self._lake.drift.read(partitions=[partitions[-1]]).to_dicts()
        if not rows:  # its day was emptied
            return []
        row = rows[-1]
        report: dict[str, Any] = json.loads(row["report"])
        ended = dt.datetime.combine(row["date"] + dt.timedelta(days=1), dt.time(), self._zone)
        found = [
            gauge("monitored_day_timestamp_seconds", "When the newest monitored day ended", ended.timestamp()),
            gauge("drift_score", "Drift of the newest monitored day; 1 is the alarm level", row["score"]),
            gauge("drift_alarmed", "Whether there was drift on it", int(row["alarmed"])),
            gauge("drift_confirmed", "Whether there was drift on enough of the last days", int(row["confirmed"])),
            gauge("drift_version", "The model version whose reference it was compared with", row["model_version"]),
            gauge("drift_subjects", "Subjects with enough windows on it", report["subjects"]),
            gauge("data_faults", "Subjects with a fault of their data on it", _faults(report), labels=["kind"]),
            gauge(
                "drift_feature_score",
                "Drift of the worst features on it",
                {row["name"]: row["score"] for row in report["features"][:_WORST]},
                labels=["feature"],
            ),
        ]
        performance = report.get("performance") or {}
        return [
            *found,
            gauge("accuracy", "Share of correct answers on labelled windows", performance.get("accuracy")),
            gauge("accuracy_expected", "The champion's accuracy on held-out subjects", performance.get("expected")),
            gauge("accuracy_windows", "Labelled windows of the last days", performance.get("windows")),
        ]


def _faults(report: dict[str, Any]) -> dict[str, float]:
    subjects: dict[str, set[str]] = {kind: set() for kind in FAULTS}
    for alarm in report["quality"]:
        subjects.setdefault(alarm["kind"], set()).add(alarm["subject"])
    return {kind: len(found) for kind, found in subjects.items()}
