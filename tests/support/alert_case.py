"""A case of an alert: series as Prometheus would have them, a time, and whether the alert fires then."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Case:
    """Series, and how many alerts fire at a time.

    Attributes:
        why: in words.
        at: time of the look, such as "10m".
        series: values by series.
        fires: how many alerts of this name.
        step: between two values.
    """

    why: str
    at: str
    series: Mapping[str, str]
    fires: int = 1
    step: str = "15s"


def silent(why: str, at: str, series: Mapping[str, str], step: str = "15s") -> Case:
    """A case in which the alert does not fire."""
    return Case(why, at, series, fires=0, step=step)
