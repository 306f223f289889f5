"""What changed on a day, and the day's verdict, in sentences; from the pattern of the scores that alarmed.

The patterns are those that physical faults cause: a watch worn the other way round changes means and correlations of
axes and no power, another gain changes a sensor's magnitude, a lower sampling rate removes the upper bands.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence
from dataclasses import replace

from har.monitoring.drift._report import FeatureScore, SliceScore
from har.settings import Drift

_STILL = -2.0
"""An axis whose log variance shifts by more than this many deviations of the reference does not move at all."""
_UPPER_HZ = 8.0
"""A lower sampling rate shows in the bands from here on."""


def diagnose(features: Sequence[FeatureScore], slices: Sequence[SliceScore]) -> str:
    """One sentence about a day that alarmed: whose data changed, against what, and how."""
    everyone = slices[0]
    if not everyone.alarmed_by_own:
        return f"{_who(slices)}: {_what(features)} (most in {', '.join(one.name for one in _moved(features)[:3])})."
    seen = _as_own(features)
    moved = ", ".join(one.name for one in _moved(seen)[:3])
    return (
        f"{_who(slices)}, against their own history of {everyone.own_days} quiet days: {_own_what(seen)} "
        f"(most in {moved})."
    )


def _as_own(features: Sequence[FeatureScore]) -> list[FeatureScore]:
    """The features with score and shift against the own histories, worst first."""
    own = [
        replace(one, score=one.own, alarmed=one.own >= 1, shift=one.own_shift or 0.0)
        for one in features
        if one.own is not None
    ]
    return sorted(own, key=lambda one: -one.score)


def _own_what(features: Sequence[FeatureScore]) -> str:
    """As `_what`; between the days of one person, a sensor's magnitude changes with its gain, and hardly otherwise."""
    gains = [one for one in _moved(features) if one.name.endswith("_norm.mean") and one.own_change is not None]
    still = any(one.name.endswith(".log_var") and one.shift < _STILL for one in _moved(features))
    if not gains or still:
        return _what(features)
    sensor, change = _series(gains[0])[0].removesuffix("_norm"), gains[0].own_change
    return f"the gain of {sensor} (or an offset), {change:+.0%} in its magnitude"


def _who(slices: Sequence[SliceScore]) -> str:
    for by in ("device", "placement", "subject"):
        parts = sorted((one for one in slices if one.by == by), key=lambda one: -one.score)
        # A change that all parts share raises every score; a change of one part leaves the others far below it.
        if len(parts) > 1 and parts[0].alarmed and parts[1].score < min(1.0, parts[0].score / 2):
            return f"One {by}, {parts[0].name or 'unnamed'}"
    return "Everyone"


def _moved(features: Sequence[FeatureScore]) -> list[FeatureScore]:
    """The features that alarmed, worst first, or else the worst one; the model's confidence never alarms."""
    counted = [one for one in features if one.kind != "confidence"]
    return [one for one in counted if one.alarmed] or counted[:1]


def _what(features: Sequence[FeatureScore]) -> str:
    moved = _moved(features)
    inputs = [one for one in moved if one.kind == "input"]
    if not inputs:
        return "only the model's answers moved"
    worst = inputs[0]
    still = [one for one in inputs if one.name.endswith(".log_var") and one.shift < _STILL]
    if len(still) == 1:
        return f"one axis stands still, {_series(still[0])[0]}"
    if all(_upper(one) for one in inputs):
        return f"the {'upper bands are gone' if worst.shift < 0 else 'upper bands grew'}, as another sampling rate does"
    if worst.name.endswith("_norm.mean"):
        sensor = _series(worst)[0].removesuffix("_norm")
        return f"the gain of {sensor} (or an offset), which reads {_size(worst)} altogether"
    if all(_of_axes(one) for one in inputs):
        axes = set.intersection(*(set(_series(one)) for one in inputs))
        if len(axes) == 1 and all(one.name.endswith(".mean") for one in inputs):
            return f"one axis, {axes.pop()}"
        return "the orientation of the sensor"
    if all(".band_" in one.name or ".log_" in one.name for one in inputs):
        return f"how hard people move, {'less' if worst.shift < 0 else 'more'} than before"
    return "several things at once"


def _series(one: FeatureScore) -> list[str]:
    return one.name.partition(".")[0].split("~")


def _of_axes(one: FeatureScore) -> bool:
    """A mean or a correlation of axes: what changes when the sensor is turned."""
    return one.name.endswith((".mean", ".corr")) and any(not name.endswith("_norm") for name in _series(one))


def _upper(one: FeatureScore) -> bool:
    band = re.search(r"\.band_([\d.]+)_", one.name)
    return one.name.endswith(".log_jerk") or (band is not None and float(band[1]) >= _UPPER_HZ)


def _size(one: FeatureScore) -> str:
    return "larger" if one.shift > 0 else "smaller"


def verdict(
    *,
    judged: bool,
    alarmed: bool,
    confirmed: bool,
    since: dt.date | None,
    subjects: int,
    alarming: int,
    own_subjects: int,
    diagnosis: str,
    settings: Drift,
) -> str:
    """The sentence that a report begins with, and the diagnosis."""
    state = f"Drift, confirmed since {since.isoformat()}." if confirmed and since else ""
    if not judged:
        had = "no subject" if not subjects else f"{subjects} subject{'s' if subjects > 1 else ''}"
        rest = f"; drift stays confirmed since {since.isoformat()}" if state and since else ""
        return f"Not judged: {had} with {settings.min_windows} windows, {settings.min_subjects} are needed{rest}."
    if alarmed:
        return f"{state or f'An alarm, to be confirmed by {settings.days} of {settings.of_days} days.'} {diagnosis}"
    if state:
        return f"{state} Today is quiet."
    if alarming:
        return f"No drift: {alarming} of {subjects} subjects stand{'s' if alarming == 1 else ''} out alone."
    own = f", {own_subjects} of them compared with their own history, too" if own_subjects else ""
    return f"No drift in {subjects} subject{'s' if subjects > 1 else ''}{own}."
