"""Exports of health apps: they hold steps, heart rate and sleep, but no samples of an accelerometer.

Each is known by names of files in it, or by how a file begins. Sources: the export pages of Apple Health, Fitbit and
Google Takeout, WHOOP, Samsung Health, Oura and Polar Flow, and exports in public repositories.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePath

from har.errors import NotARecordingError
from har.recordings.layouts._look import Look

_WATCH = "Record raw motion with the app Sensor Logger on phone and watch: `har import sensor-logger` reads its zip."
_BAND = (
    "Wear a device that keeps raw samples, such as Axivity, ActiGraph, GENEActiv, Empatica or Polar Verity Sense "
    "(`har import --list`), or record with Sensor Logger on the phone."
)


@dataclass(frozen=True)
class Export:
    """An export without raw samples.

    Attributes:
        name: of the product.
        holds: what is in it.
        names: matches a path in it, in lower case.
        begins: matches the first 16 KiB of one of its files; "": its content tells nothing.
        instead: what to use instead.
    """

    name: str
    holds: str
    names: str
    begins: str
    instead: str

    def error(self, where: str) -> NotARecordingError:
        """The refusal of a file or folder of this export."""
        return NotARecordingError(
            where=where,
            expected="samples of an accelerometer",
            got=f"an export of {self.name}, which holds {self.holds}, and no raw samples",
            remedy=self.instead,
        )


EXPORTS = (
    Export(
        "Apple Health",
        "steps, heart rate, workouts and sleep",
        r"(.*/)?apple_health_export/.*|(.*/)?export_cda\.xml",
        r"<!DOCTYPE HealthData|<HealthData ",
        _WATCH,
    ),
    Export(
        "Fitbit",
        "steps, heart rate, sleep and activities by minute",
        r"(.*/)?(takeout/fitbit|user-site-export|fitbit/global export data)/.*"
        r"|(.*/)?(steps|heart_rate|sleep|calories|distance|altitude|very_active_minutes|sedentary_minutes)"
        r"-\d{4}-\d{2}-\d{2}\.json|(.*/)?userexercises.*\.csv|(.*/)?physical activity_googledata/.*",
        r'\A\s*\[\s*\{\s*"dateTime"\s*:\s*"\d\d/\d\d/\d\d|\A\s*\[\s*\{\s*"logId"\s*:',
        _BAND,
    ),
    Export(
        "WHOOP",
        "recovery, strain and sleep by day",
        r"(.*/)?(physiological_cycles|journal_entries)\.csv",
        r"\ACycle start time,Cycle end time,Cycle timezone",
        _BAND,
    ),
    Export(
        "Samsung Health",
        "steps, heart rate, sleep and exercises",
        r"(.*/)?com\.samsung\.s?health\..*",
        r"\Acom\.samsung\.s?health\.",
        "Record raw motion with the app Sensor Logger on phone and Wear OS watch, and import its zip with `har import "
        "sensor-logger`.",
    ),
    Export(
        "Oura",
        "sleep, readiness and activity by day",
        r"(.*/)?oura_.*\.(csv|json)|(.*/)?(dailyreadiness|dailysleep|dailyactivity|dailyspo2)\.csv",
        r'"daily_(readiness|activity|sleep)"|\Adate,Sleep Score',
        _BAND,
    ),
    Export(
        "Google Fit",
        "steps, distances and heart rate, summed up",
        r"(.*/)?takeout/fit/.*|(.*/)?daily activity metrics/.*|(.*/)?derived_com\.google\..*\.json",
        r'"fitValue"',
        _WATCH,
    ),
    Export(
        "Polar Flow",
        "training sessions, heart rate and activity",
        r"(.*/)?(training-session|247ohr)[-_]\d{4}.*\.json",
        r'"exportVersion"\s*:',
        "Polar's H10, Verity Sense and OH1 give raw samples to the app Polar Sensor Logger: `har import polar`.",
    ),
    Export(
        "Garmin Connect",
        "steps, heart rate and sleep, and activities",
        r"(.*/)?di_connect/.*",
        r"",
        "Activities hold raw samples only if a Connect IQ app recorded them: unpack the FIT files, and try `har import "
        "garmin-fit`.",
    ),
)
"""The exports that people try, and what to use instead."""


def export_of(look: Look) -> Export | None:
    """The export that a file, archive or folder is; None if it is none of them."""
    places = [*look.names, PurePath(look.path).as_posix().casefold()]
    return export_among(places) or next(
        (one for one in EXPORTS if one.begins and re.search(one.begins, look.text)), None
    )


def export_among(places: Iterable[str]) -> Export | None:
    """The export that files of these paths, in lower case, are of; None if they are of none."""
    places = list(places)
    return next((one for one in EXPORTS if any(re.fullmatch(one.names, place) for place in places)), None)
