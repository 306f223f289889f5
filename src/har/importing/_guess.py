"""Guess from the head of a table which columns hold what: the options that `har import` would need."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import polars as pl
from numpy.typing import NDArray

from har.recordings.layouts._plausible import is_count, rate_hz, wrong_date, wrong_rate
from har.recordings.layouts._tables.clock import ISO, guess_formats
from har.settings import TICKS_PER_SECOND, Settings

_TIME = re.compile(r"time|stamp|date|datum|zeit|epoch|elapsed|^t$|^ts$|^ms$|^s$|uhr|sec")
_ACCELEROMETER = re.compile(r"acc|^a#$|^a_#$|force")
_GYROSCOPE = re.compile(r"gyr|rot|ang|omega|^[gw]#$|^[gw]_#$|dps|rad|deg")
_OTHER = re.compile(r"lin|user|mag|grav|orient|euler|quat|roll|pitch|yaw")
_ACTIVITY = re.compile(r"label|activit|class|annot|task|exercise|motion|gt$|target")
_FASTEST_RAD_S = 17.0
"""95 % of a person's angular rates are below it."""
_SUBJECT = re.compile(r"subject|user|participant|person|proband|pid|patient|^id$|who|name")
_AT_REST = {"m/s^2": 9.81, "g": 1.0, "mg": 1000.0}


@dataclass
class Guess:
    """What the head of a table looks like.

    Attributes:
        options: the values of options, by name.
        units: the unit of each sensor that was found.
        triples: the columns x, y, z by sensor.
        notes: what the table does not tell.
    """

    options: dict[str, str] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)
    triples: dict[str, tuple[str, ...]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def guess_columns(
    table: Mapping[str, Sequence[str]], settings: Settings, *, decimal: str = ".", above: str = ""
) -> Guess:
    """The columns of a table.

    Args:
        table: the first rows, as text by column.
        settings: the project's.
        decimal: the decimal mark.
        above: the text above the header, which may tell how dates are written.
    """
    guess = Guess()
    numbers = {name: values for name, texts in table.items() if (values := _numbers(texts, decimal)) is not None}
    triples = _triples(list(numbers))
    used = _sensors(guess, triples, numbers)
    _time(guess, {name: texts for name, texts in table.items() if name not in used}, numbers, settings, above)
    times = guess.options.get("time", "").split(",")
    rest = [name for name in table if name not in used and name not in times]
    for option, pattern in (("activity", _ACTIVITY), ("subject", _SUBJECT)):
        named = [name for name in rest if pattern.search(name.casefold())]
        if named and any(text.strip() for text in table[named[0]]):
            guess.options[option] = named[0]
            rest.remove(named[0])
    if "activity" not in guess.options:
        texts = [name for name in rest if name not in numbers and ISO.fullmatch(table[name][0]) is None]
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
    return "deg/s" if "rad" not in form and np.quantile(norms, 0.95) > _FASTEST_RAD_S else "rad/s"


def _time(
    guess: Guess,
    table: Mapping[str, Sequence[str]],
    numbers: Mapping[str, NDArray[np.float64]],
    settings: Settings,
    above: str,
) -> None:
    """The best column of stamps: dates before counts, as text or numbers; none means counted samples."""
    named = [name for name in table if _TIME.search(name.casefold())]
    for name in [*named, *(name for name in table if name not in named and name not in numbers)]:
        if name not in numbers and _text_time(guess, [*table[name]], above):
            guess.options["time"] = name
            return
    texts = [name for name in table if name not in numbers]
    for one, other in [*pairwise(texts), *((b, a) for a, b in pairwise(texts))]:
        if _text_time(guess, [f"{a} {b}" for a, b in zip(table[one], table[other], strict=True)], above):
            guess.options["time"] = f"{one},{other}"
            return
    counts = _counts(named, numbers, settings)
    if counts is not None:
        guess.options.update({"time": counts[0], "time-unit": counts[1]})
        return
    for name in texts:
        if _text_time(guess, [*table[name]], above, dated=False):
            guess.options["time"] = name
            return
    guess.options.update({"time-unit": "samples", "rate": f"{settings.sensors.rate_hz:g}"})


def _counts(
    names: Sequence[str], numbers: Mapping[str, NDArray[np.float64]], settings: Settings
) -> tuple[str, str] | None:
    """The column of counts that is the best time, and its unit."""
    ranked = [
        (unit[0], position, name, unit[1])
        for position, name in enumerate(names)
        if name in numbers and (unit := _unit(numbers[name], settings)) is not None
    ]
    return min(ranked)[2:] if ranked else None


def _text_time(guess: Guess, texts: Sequence[str], above: str, *, dated: bool = True) -> bool:
    """Whether texts are stamps, `dated` or times of day; notes the options that read them."""
    texts = [text.strip() for text in texts if text.strip()]
    if not texts:
        return False
    if all(ISO.fullmatch(text) for text in texts):
        guess.options["time-unit"] = "iso"
        return True
    forms = [form for form in guess_formats(texts) if ("%d" in form) == dated]
    if not forms:
        return False
    month_first = re.search(r"\bM{1,2}/d{1,2}/y", above) is not None
    form = next((one for one in forms if one.startswith("%m") == month_first), forms[0])
    told = month_first or re.search(r"\bd{1,2}/M{1,2}/y", above) is not None
    if len(forms) > 1 and not told:
        others = " or ".join(f"time-format={one}" for one in forms if one != form)
        guess.notes.append(f"Day and month cannot be told apart in the rows looked at: {others} reads them, too.")
    guess.options.update({"time-unit": "iso", "time-format": form})
    return True


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
