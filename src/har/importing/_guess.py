"""Guess from the head of a table which columns hold what: the options that `har import` would need."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import polars as pl
from numpy.typing import NDArray

from har.recordings.layouts._clock import guess_formats
from har.recordings.layouts._plausible import is_count, rate_hz, wrong_date, wrong_rate
from har.settings import TICKS_PER_SECOND, Settings

_TIME = re.compile(r"time|stamp|date|datum|zeit|epoch|elapsed|^t$|^ts$|^ms$|^s$|uhr|sec")
_ACCELEROMETER = re.compile(r"acc|^a#$|^a_#$|force")
_GYROSCOPE = re.compile(r"gyr|rot|ang|omega|^[gw]#$|^[gw]_#$|dps|rad|deg")
_OTHER = re.compile(r"lin|user|mag|grav|orient|euler|quat|roll|pitch|yaw")
_ACTIVITY = re.compile(r"label|activit|class|annot|task|exercise|motion|gt$|target")
_SUBJECT = re.compile(r"subject|user|participant|person|proband|pid|patient|^id$|who|name")
_ISO = re.compile(r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}:\d{2}")
_AT_REST = {"m/s^2": 9.81, "g": 1.0, "mg": 1000.0}
_FAST_RAD_S = 17.0
"""95 % of a person's angular rates are below it; values beyond are deg/s."""


@dataclass
class Guess:
    """What the head of a table looks like.

    Attributes:
        options: the values of options, by name.
        units: the unit of each sensor that was found.
        triples: the columns x, y, z by sensor.
    """

    options: dict[str, str] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)
    triples: dict[str, tuple[str, ...]] = field(default_factory=dict)


def guess_columns(table: Mapping[str, Sequence[str]], settings: Settings, *, decimal: str = ".") -> Guess:
    """The columns of a table, given as text by name, its rows in the order of the file."""
    guess = Guess()
    numbers = {name: values for name, texts in table.items() if (values := _numbers(texts, decimal)) is not None}
    triples = _triples(list(numbers))
    used = _sensors(guess, triples, numbers)
    _time(guess, {name: texts for name, texts in table.items() if name not in used}, numbers, settings)
    times = guess.options.get("time", "").split(",")
    rest = [name for name in table if name not in used and name not in times]
    for option, pattern in (("activity", _ACTIVITY), ("subject", _SUBJECT)):
        named = [name for name in rest if pattern.search(name.casefold())]
        if named and any(text.strip() for text in table[named[0]]):
            guess.options[option] = named[0]
            rest.remove(named[0])
    if "activity" not in guess.options:
        texts = [name for name in rest if name not in numbers and _ISO.match(table[name][0]) is None]
        few = [name for name in texts if 1 <= len({text for text in table[name] if text}) <= 20]
        if len(few) == 1:
            guess.options["activity"] = few[0]
    return guess


def _numbers(texts: Sequence[str], decimal: str) -> NDArray[np.float64] | None:
    """The values of a column of numbers; None if it is another."""
    series = pl.Series(texts, dtype=pl.String).str.strip_chars()
    if decimal == ",":
        series = series.str.replace(",", ".", literal=True)
    values = series.cast(pl.Float64, strict=False)
    return values.fill_null(float("nan")).to_numpy() if values.null_count() <= 0.1 * len(values) else None


def _triples(names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Columns whose names differ in x, y, z only, by the name with `#` in that place."""
    found: dict[str, dict[str, str]] = {}
    for name in names:
        for at, letter in enumerate(name.casefold()):
            if letter in "xyz":
                found.setdefault(f"{name[:at]}#{name[at + 1 :]}".casefold(), {})[letter] = name
    return {form: (axes["x"], axes["y"], axes["z"]) for form, axes in found.items() if len(axes) == 3}


def _sensors(
    guess: Guess, triples: Mapping[str, tuple[str, ...]], numbers: Mapping[str, NDArray[np.float64]]
) -> set[str]:
    for form, columns in triples.items():
        values = np.stack([numbers[name] for name in columns], axis=1)
        norms = np.linalg.norm(values, axis=1)
        norms = norms[np.isfinite(norms)]
        if not len(norms) or _OTHER.search(form):
            continue
        kind = "gyroscope" if _GYROSCOPE.search(form) and not _ACCELEROMETER.search(form) else "accelerometer"
        if kind in guess.triples:
            continue
        guess.triples[kind] = columns
        guess.units[kind] = _gyroscope_unit(form, norms) if kind == "gyroscope" else _accelerometer_unit(norms)
        guess.options[kind] = ",".join(columns)
    return {name for columns in guess.triples.values() for name in columns}


def _accelerometer_unit(norms: NDArray[np.float64]) -> str:
    middle = max(float(np.median(norms)), 1e-9)
    return min(_AT_REST, key=lambda unit: abs(np.log(middle / _AT_REST[unit])))


def _gyroscope_unit(form: str, norms: NDArray[np.float64]) -> str:
    if re.search(r"deg|dps|°", form):
        return "deg/s"
    return "deg/s" if "rad" not in form and np.quantile(norms, 0.95) > _FAST_RAD_S else "rad/s"


def _time(
    guess: Guess,
    table: Mapping[str, Sequence[str]],
    numbers: Mapping[str, NDArray[np.float64]],
    settings: Settings,
) -> None:
    """The best column of stamps: dates before counts, as text or numbers; none means counted samples."""
    named = [name for name in table if _TIME.search(name.casefold())]
    for name in [*named, *(name for name in table if name not in named and name not in numbers)]:
        if name not in numbers and (found := _text_time([*table[name]])) is not None:
            guess.options.update({"time": name, "time-unit": "iso", **found})
            return
    texts = [name for name in table if name not in numbers]
    for one, other in [*pairwise(texts), *((b, a) for a, b in pairwise(texts))]:
        found = _text_time([f"{a} {b}" for a, b in zip(table[one], table[other], strict=True)])
        if found is not None:
            guess.options.update({"time": f"{one},{other}", "time-unit": "iso", **found})
            return
    ranked = []
    for name in named:
        unit = _unit(numbers[name], settings) if name in numbers else None
        if unit is not None:
            ranked.append((unit[0], len(ranked), name, unit[1]))
    if ranked:
        _, _, name, unit_name = min(ranked)
        guess.options.update({"time": name, "time-unit": unit_name})
    else:
        guess.options.update({"time-unit": "samples", "rate": f"{settings.sensors.rate_hz:g}"})


def _text_time(texts: Sequence[str]) -> dict[str, str] | None:
    """The option for stamps in text, none for ISO; None if they are no stamps."""
    texts = [text.strip() for text in texts if text.strip()]
    if not texts:
        return None
    if all(_ISO.match(text) for text in texts[:50]) and pl.Series(texts).str.contains(r"^[^,]{19,}$").all():
        if not guess_formats(texts) or "." in texts[0][19:20] or len(texts[0]) == 19 or texts[0][-1] == "Z":
            return {}
    forms = guess_formats(texts)
    return {"time-format": forms[0]} if forms else None


def _unit(values: NDArray[np.float64], settings: Settings) -> tuple[float, str] | None:
    """The unit of counts, and how good the guess is: dates come first, then the rate closest to the project's."""
    best: tuple[float, str] | None = None
    values = values[np.isfinite(values)]
    for unit, per_second in TICKS_PER_SECOND.items():
        micros = values * (1e6 / per_second)
        if not len(values) or not (np.abs(micros) < 2**62).all():
            continue
        times = np.round(micros).astype(np.int64)
        counts = is_count(times)
        slowest = 1 / settings.recordings.max_gap_s
        if wrong_rate(times, slowest) or rate_hz(times) == 0 or not (counts or not wrong_date(times)):
            continue
        apart = abs(float(np.log(rate_hz(times) / settings.sensors.rate_hz)))
        score = apart + (100 if counts else 0)
        if best is None or score < best[0]:
            best = score, unit
    return best
