"""Sensor Logger, an app for iPhone, Android and their watches: its zip of CSV files, unpacked or not, and its JSON.

Each sensor has a file: `time` in ns since 1970 (UTC), `seconds_elapsed`, then z, y, x. `TotalAcceleration` holds
gravity; `Accelerometer` does not, and `Gravity` is added; both are in m/s². `Gyroscope` is in rad/s. `WristMotion`, of
a watch, holds all three. `Metadata` tells the platform and whether "Standardise Units & Frames" was on: without it, an
iPhone's acceleration has the opposite sign of Android's and other wearables', and is turned here. A watch that was not
standardised tells it by its unit, g. JSON is a list of rows, each with its sensor's name, all values as text.

Source: github.com/tszheichoi/awesome-sensor-logger (README, UNITS, CROSSPLATFORM, COORDINATES), September 2026.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl

from har.errors import NotARecordingError
from har.recordings.layouts._held.bundle import Bundle, bundle_paths, bundles
from har.recordings.layouts._held.identity import OPTIONS, identity
from har.recordings.layouts._held.logger_tables import CsvTables, JsonTables, Tables
from har.recordings.layouts._held.series import OFFSET_OPTION, UNMATCHED, Series, largest_offset, recording
from har.recordings.layouts._layout import Layout, RawRecording, Source
from har.recordings.layouts._look import Look

_XYZ = ("x", "y", "z")
_G = 9.80665
_MAIN = ("totalacceleration", "accelerometer", "accelerometeruncalibrated", "wristmotion")
_MARKS = ("metadata", "gyroscope", "gravity", "annotation", "totalacceleration", "wristmotion", "orientation")
_PHONES = {"ios": "iphone", "android": "android-phone"}
_TURNED = "the acceleration was turned: Apple's devices write the opposite sign"
_DEVICES = ("phone", "watch", "both")
_OPTIONS = {
    **OPTIONS,
    **OFFSET_OPTION,
    "device": "phone, watch or both; default: the phone, or the watch if there is no acceleration of the phone",
    "platform": "ios or android, where Metadata.csv does not say",
    "standardised": "yes or no: whether Standardise Units & Frames was on, where Metadata.csv does not say",
    "labels": "annotations: each annotation is the activity from its time on; default: none",
}
_SWITCH = "In the app, switch on Gravity beside Accelerometer (Android: Total Acceleration does in place of both)."


def _holds(names: Collection[str]) -> bool:
    stems = {name.removesuffix(".csv") for name in names if name.endswith(".csv")}
    return bool(stems & set(_MAIN)) and bool(stems & set(_MARKS))


def _recognises(look: Look) -> bool:
    if look.names:
        return _holds(look.basenames)
    if look.path.suffix.lower() == ".json":
        return '"seconds_elapsed"' in look.text and '"sensor"' in look.text
    return bool(look.lines) and look.lines[0].startswith("time,seconds_elapsed,")


def _find(source: Source) -> list[Path]:
    largest_offset(source)
    source.choice("device", _DEVICES, default="phone")
    source.choice("platform", ("ios", "android"), default="ios")
    source.choice("standardised", ("yes", "no"), default="no")
    source.choice("labels", ("annotations", "none"), default="none")
    found = bundle_paths(source, _holds, "*.json")
    if source.path.is_file():
        return found
    return [path for path in found if path.suffix.lower() != ".json" or _recognises(Look.of(path))]


def _read(path: Path, source: Source) -> Iterator[RawRecording]:
    if path.suffix.lower() == ".json":
        yield from _recordings(path, source, JsonTables.of(path), path.stem)
        return
    with bundles(path, source) as found:
        for bundle in _recorded(found, path):
            yield from _recordings(path, source, CsvTables(bundle), bundle.name)


def _recorded(found: list[Bundle], path: Path) -> list[Bundle]:
    """The folders of an archive that hold a recording."""
    kept = [bundle for bundle in found if _holds(bundle.entries)]
    if kept:
        return kept
    names = sorted(name for bundle in found for name in bundle.entries)
    zips = any(name.endswith(".zip") for name in names)
    raise NotARecordingError(
        where=str(path),
        expected="Accelerometer.csv and Gravity.csv, TotalAcceleration.csv, or WristMotion.csv",
        got=f"{', '.join(names[:8])}{', …' if len(names) > 8 else ''}" or "an archive without files",
        remedy="Unpack this archive of archives, and import its folder." if zips else _SWITCH,
    )


def _recordings(path: Path, source: Source, tables: Tables, session: str) -> Iterator[RawRecording]:
    phone = any(name in tables.names for name in _MAIN[:3])
    wanted = source.options.get("device", "phone" if phone else "watch")
    if wanted in ("phone", "both"):
        yield _phone(path, source, tables, session)
    if wanted in ("watch", "both"):
        yield _watch(path, source, tables, f"{session}-watch" if wanted == "both" else session)


def _phone(path: Path, source: Source, tables: Tables, session: str) -> RawRecording:
    sign, platform = _sign(source, tables)
    accelerometer = _acceleration(source, tables, sign, platform)
    # Not the phone's own name, which often is a person's.
    known = identity(path, source, session=session, device=_PHONES.get(platform, "phone"))
    gyroscope = tables.series("gyroscope", _XYZ, "rad/s") if "gyroscope" in tables.names else None
    return recording(
        tables.where,
        known,
        "utc",
        accelerometer,
        gyroscope,
        max_gap_s=source.settings.recordings.max_gap_s,
        labels=_annotated(source, tables, accelerometer),
        notes=(_TURNED,) if sign < 0 else (),
        max_offset_s=largest_offset(source),
    )


def _acceleration(source: Source, tables: Tables, sign: float, platform: str) -> Series:
    """Acceleration with gravity, with Android's signs."""
    if "totalacceleration" in tables.names:
        found = tables.series("totalacceleration", _XYZ, "m/s^2")
    elif "accelerometer" in tables.names and "gravity" in tables.names:
        found = _with_gravity(source, tables)
    elif "accelerometeruncalibrated" in tables.names:
        unit = "g" if platform == "ios" and sign < 0 else "m/s^2"
        found = tables.series("accelerometeruncalibrated", _XYZ, unit)
    else:
        raise NotARecordingError(
            where=tables.where,
            expected="acceleration with gravity: TotalAcceleration, or Accelerometer and Gravity",
            got=", ".join(sorted(tables.names)[:20]) or "no sensor",
            remedy=f"{_SWITCH} Of a recording without them, gravity cannot be restored.",
        )
    return replace(found, values=sign * found.values)


def _with_gravity(source: Source, tables: Tables) -> Series:
    moved, gravity = tables.series("accelerometer", _XYZ, "m/s^2"), tables.series("gravity", _XYZ, "m/s^2")
    pull, valid = gravity.on(moved.times_us, source.settings.recordings.max_gap_s)
    faults = moved.faults + gravity.faults + Counter({UNMATCHED: int((~valid).sum())})
    return Series(moved.times_us[valid], (moved.values + pull)[valid], "m/s^2", faults)


def _sign(source: Source, tables: Tables) -> tuple[float, str]:
    """-1 for an iPhone whose values were not standardised, and the platform.

    Raises:
        NotARecordingError: nothing tells the platform.
    """
    platform = source.options.get("platform") or tables.metadata.get("platform", "").strip().lower()
    if platform not in ("ios", "android"):
        if "totalacceleration" in tables.names:
            return 1.0, ""  # Android's, or standardised: iPhones write none else
        raise NotARecordingError(
            where=tables.where,
            expected="the platform in Metadata.csv: an iPhone's acceleration has the opposite sign of Android's",
            got=repr(platform) if platform else "no Metadata.csv",
            remedy="Add -o platform=ios or -o platform=android.",
        )
    said = source.options.get("standardised") or tables.metadata.get("standardisation", "").strip().lower()
    return (1.0 if platform == "android" or said in ("true", "yes", "1") else -1.0), platform


def _watch(path: Path, source: Source, tables: Tables, session: str) -> RawRecording:
    if "wristmotion" not in tables.names:
        raise NotARecordingError.missing(tables.where, "WristMotion.csv", "In the app, switch on Wrist Motion.")
    moved, gravity, turned = (
        tables.series("wristmotion", tuple(f"{kind}{axis}" for axis in "XYZ"), unit)
        for kind, unit in (("acceleration", "m/s^2"), ("gravity", "m/s^2"), ("rotationRate", "rad/s"))
    )
    pull, valid = gravity.on(moved.times_us, source.settings.recordings.max_gap_s)
    total, pull = (moved.values + pull)[valid], pull[valid]
    # A watch writes g until it is standardised, and has the iPhone's signs until then.
    raw = bool(len(pull)) and float(np.median(np.linalg.norm(pull, axis=1))) < _G / 2
    unit = "g" if raw else "m/s^2"
    faults = moved.faults + Counter({UNMATCHED: int((~valid).sum())})
    accelerometer = Series(moved.times_us[valid], -total if raw else total, unit, faults)
    known = identity(path, source, session=session, device="watch", placement="wrist")
    return recording(
        tables.where,
        known,
        "utc",
        accelerometer,
        replace(turned, faults=Counter()),  # the rows are those of the acceleration
        max_gap_s=source.settings.recordings.max_gap_s,
        labels=_annotated(source, tables, accelerometer),
        notes=(_TURNED,) if raw else (),
    )


def _annotated(source: Source, tables: Tables, samples: Series) -> pl.Series | None:
    """The text of the latest annotation at each sample; null before the first."""
    if source.options.get("labels") != "annotations":
        return None
    times_us, texts = tables.annotations()
    latest = np.searchsorted(times_us, samples.times_us, side="right") - 1
    return pl.Series([None, *texts], dtype=pl.String).gather(latest + 1)


LAYOUT = Layout(
    "sensor-logger",
    "Sensor Logger, an app for phones and watches: zip, folder of CSV files, or JSON",
    _find,
    _read,
    _OPTIONS,
    _recognises,
    archives=True,
)
