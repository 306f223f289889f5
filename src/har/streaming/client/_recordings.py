"""Samples of the lake and of inbox files as `Stretch`es, in m/s² and rad/s at the project's rate."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np
import polars as pl

from har.errors import FileNameError, NotEnoughDataError
from har.lake import Lake
from har.recordings import InboxFile, inbox_files, read_recording
from har.settings import Settings
from har.streaming.client._message import Form, Stretch
from har.streaming.envelope import StreamKey

DEVICE = "replay"
"""The device's name where a recording names none."""


def form_of(settings: Settings, *, seconds: float, format: str = "msgpack") -> Form:
    """Messages of so many seconds in the lake's channels and units."""
    sensors = settings.sensors
    return Form(
        rate_hz=sensors.rate_hz,
        channels=sensors.channels,
        units=dict(zip(sensors.channels, sensors.units, strict=True)),
        samples=max(1, round(seconds * sensors.rate_hz)),
        format=format,
    )


def from_files(files: Collection[InboxFile], settings: Settings, *, device: str = "") -> Iterator[Stretch]:
    """The files' samples, as `har ingest` reads them, one stretch per segment.

    Raises:
        RecordingError: a file cannot be used; which line.
    """
    for file in files:
        recording = read_recording(file, settings)
        key = StreamKey(file.subject, device or recording.device or DEVICE, file.session)
        yield from _stretches(recording.frame, key, settings, recording.placement)


def from_inbox(settings: Settings, folder: Path | None = None, date: dt.date | None = None) -> Iterator[Stretch]:
    """The recordings of an inbox, by date, subject and session."""
    return from_files(inbox_files(folder or settings.path("inbox"), date).files, settings)


def from_lake(settings: Settings, *, subjects: Collection[str] = (), date: dt.date | None = None) -> Iterator[Stretch]:
    """The samples of the lake in the order of their time; by default of all subjects and dates.

    Raises:
        NotEnoughDataError: there are none.
    """
    lake = Lake(settings.location("lake"), settings.sensors.channels)
    lake.require_samples()
    held = sorted(partition for partition in lake.contents() if _wanted(partition, subjects, date))
    if not held:
        raise NotEnoughDataError(
            where=str(lake.samples.where),
            expected=f"samples of {', '.join(subjects) or 'somebody'} on {date or 'some day'}",
            got="none",
            remedy="`har status` shows which subjects and dates there are.",
        )
    devices = {
        (row["date"], row["subject"], row["session"]): (row["device"] or DEVICE, row["placement"] or "")
        for row in lake.recordings.read(columns=["date", "subject", "session", "device", "placement"]).iter_rows(
            named=True
        )
    }
    for partition in held:
        frame = lake.samples.readable([partition]).sort("session", "time")
        for (session,), part in frame.group_by("session", maintain_order=True):
            device, placement = devices.get((*partition, session), (DEVICE, ""))
            yield from _stretches(part, StreamKey(partition[1], device, str(session)), settings, placement)


def named_file(path: Path, *, subject: str, session: str, date: dt.date | None) -> InboxFile:
    """A recording with the names that were given, or those of its path: <date>/<subject>_<session>.<ext>.

    Raises:
        FileNameError: neither says them all.
    """
    found = path.stem.partition("_")
    try:
        date = date or dt.date.fromisoformat(path.parent.name)
    except ValueError:
        date = None
    subject, session = subject or found[0], session or found[2]
    if date is None or not subject or not session:
        raise FileNameError(
            where=str(path),
            expected="<date>/<subject>_<session>.csv",
            got=f"{path.parent.name}/{path.name}",
            remedy="Rename it, or say --subject, --session and --date.",
        )
    return InboxFile(path, date, subject, session)


def _wanted(partition: tuple[dt.date, str], subjects: Collection[str], date: dt.date | None) -> bool:
    return (not subjects or partition[1] in subjects) and (date is None or partition[0] == date)


def _stretches(frame: pl.DataFrame, key: StreamKey, settings: Settings, placement: str) -> Iterator[Stretch]:
    for _, part in frame.sort("time").group_by("segment", maintain_order=True):
        times = part["time"].dt.epoch("us").to_numpy()
        values = part.select(settings.sensors.channels).to_numpy()
        yield Stretch(key, times, np.ascontiguousarray(values, np.float32), placement)
