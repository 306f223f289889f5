"""What moved, and what the day comes to, in sentences; from the pattern of the scores that alarmed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from har.monitoring._day import FeatureScore, SliceScore
from har.settings import Drift


def diagnose(names: Sequence[str], features: Sequence[FeatureScore], slices: Sequence[SliceScore]) -> str:
    """One sentence: whose data moved, and which quantities."""
    worst = ", ".join(one.name for one in features[:3])
    return f"{_who(slices)}: most in {worst}."


def _who(slices: Sequence[SliceScore]) -> str:
    subjects = [one for one in slices if one.by == "subject"]
    alarmed = [one for one in subjects if one.alarmed]
    if len(alarmed) == 1 and len(subjects) > 1:
        return f"One subject, {alarmed[0].name}"
    return "Everyone"


def verdict(
    *,
    judged: bool,
    alarmed: bool,
    confirmed: bool,
    since: dt.date | None,
    subjects: int,
    alarming: int,
    diagnosis: str,
    settings: Drift,
) -> str:
    """One sentence that a person reads first."""
    if not judged:
        had = "no subject" if not subjects else f"{subjects} subject{'s' if subjects > 1 else ''}"
        state = f"; drift stays confirmed since {since.isoformat()}" if confirmed and since else ""
        return f"Not judged: {had} with {settings.min_windows} windows, {settings.min_subjects} are needed{state}."
    if confirmed and since:
        return f"Drift, confirmed since {since.isoformat()}. {diagnosis}".strip()
    if alarmed:
        return f"An alarm, not confirmed yet ({settings.days} of {settings.of_days} days are needed). {diagnosis}"
    if alarming:
        return f"No drift; {alarming} of {subjects} subjects stand out alone."
    return f"No drift in {subjects} subjects."
