"""The zone of local times that a phone wrote into a file."""

from __future__ import annotations

import datetime as dt
import re
from collections import Counter
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np

from har.recordings._local_time import local_to_utc
from har.recordings.layouts._layout import Source
from har.recordings.layouts._option import option_error

OPTIONS = {"zone": "the time zone of the phone that wrote the file, such as Europe/Lisbon; default: project.timezone"}
_OFFSET = re.compile(r"(?:UTC|GMT)?([+-])(\d{1,2})(?::?(\d{2}))?")
_UTC = {"UTC", "GMT", "Z"}


def zone_of(source: Source) -> str:
    """The zone that the option names, else the project's.

    Raises:
        SettingsError: there is no such zone.
    """
    zone = source.options.get("zone", source.settings.project.timezone)
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise option_error("zone", "an IANA time zone such as Europe/Lisbon", zone) from error
    return zone


def anchored(local_us: int, zone: str) -> tuple[int, Counter[str]]:
    """A local time in UTC, µs, of a clock that counts on from there; what the zone leaves open is counted."""
    times_us, faults = local_to_utc(np.array([local_us], np.int64), zone, counting=True)
    return int(times_us[0]), faults


def notes(faults: Counter[str]) -> tuple[str, ...]:
    """What the zone left open, for the lake."""
    return tuple(f"{count:,} {words}" for words, count in faults.items())


def named_offset_us(name: str, local_us: int, zone: str) -> int | None:
    """The offset (local minus UTC, µs) that a file names: UTC, GMT+02:00, or what `zone` is called at that time.

    Args:
        name: as the file has it, such as WEST.
        local_us: the local time, µs since 1970.
        zone: whose abbreviations are known.

    Returns:
        None if the name is another zone's: abbreviations are not unique.
    """
    name = name.strip()
    if name.upper() in _UTC:
        return 0
    if match := _OFFSET.fullmatch(name):
        minutes = int(match[2]) * 60 + int(match[3] or 0)
        return (1 if match[1] == "+" else -1) * minutes * 60_000_000
    wall = dt.datetime(1970, 1, 1) + dt.timedelta(microseconds=local_us)
    for fold in (0, 1):
        moment = wall.replace(tzinfo=ZoneInfo(zone), fold=fold)
        offset = moment.utcoffset()
        if moment.tzname() == name and offset is not None:
            return offset // dt.timedelta(microseconds=1)
    return None
