"""Recordings of a device's file, one for each day of the project's time zone; memory does not grow with the days."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from har.errors import EmptyRecordingError, FileNameError, MissingColumnError, RecordingTimeError
from har.recordings.layouts._devices.decode import Metadata, Piece
from har.recordings.layouts._devices.timing import BlockTimes, offset_us, show_offset
from har.recordings.layouts._layout import RawRecording, Signal, Source
from har.recordings.layouts._names import PathPattern

OPTIONS = {
    "subject": "the subject of all files; default: as the file states, else its name before the first _",
    "pattern": "fields in the path, such as {subject}/{placement}/*.gt3x",
    "placement": "where the device was worn; default: as the file states",
    "activity": "the activity of all files",
    "device": "the device's name; default: model and serial number",
    "timezone": "of the device's clock, such as Europe/Berlin or +02:00; default: as the file states, else har.toml's",
}
_SECOND_US = 1_000_000
PAUSES = "pauses of the device (idle sleep, charging, lost blocks): no samples there"
PAUSED = "seconds without samples in pauses of the device"
DAMAGED = "damaged blocks of the file, left out"
CUT = "files that end within a block: they are cut short"


@dataclass(frozen=True)
class Header:
    """What a file states about itself; "" where it states nothing.

    Attributes:
        model, serial: of the device.
        rate_hz: the nominal rate.
        subject, placement: as entered when the device was configured.
        utc_offset: of its clock.
        blocks: whether its stamps are those of blocks of samples; else each sample has its own.
    """

    model: str
    serial: str
    rate_hz: float
    subject: str = ""
    placement: str = ""
    utc_offset: str = ""
    blocks: bool = True


class Held:
    """Samples that no recording has yet.

    Attributes:
        times: of the samples; those of a piece's last block come with the next piece.
    """

    def __init__(self, times: BlockTimes) -> None:
        self.times = times
        self._parts: list[NDArray[np.int64]] = []
        self._values: list[list[NDArray[np.float32]]] = []

    def add(self, piece: Piece) -> int:
        """Hold the samples of a piece, too; returns the latest time in µs."""
        self._parts.append(self.times.add(piece.local_us))
        signals = [piece.accelerometer, *([] if piece.gyroscope is None else [piece.gyroscope])]
        self._values = self._values or [[] for _ in signals]
        for parts, values in zip(self._values, signals, strict=True):
            parts.append(values)
        return max((int(part[-1]) for part in self._parts[-1:] if len(part)), default=0)

    def end(self) -> None:
        """There are no further pieces."""
        self._parts.append(self.times.end())

    def take(self, before_us: int | None) -> tuple[NDArray[np.int64], list[NDArray[np.float32]]]:
        """The samples up to the first that is not before that time, which are no longer held; None: all."""
        times = np.concatenate(self._parts)
        late = times >= before_us if before_us is not None else np.zeros(1, np.bool_)
        count = int(np.argmax(late)) if late.any() else len(times)
        self._parts = [times[count:].copy()]
        taken = []
        for parts in self._values:
            values = np.concatenate(parts)
            parts[:] = [values[count:].copy()]
            taken.append(values[:count])
        return times[:count], taken

    @property
    def first_us(self) -> int:
        """The time of the first sample."""
        return int(next(part[0] for part in self._parts if len(part)))

    def __bool__(self) -> bool:
        return any(len(part) for part in self._parts)


def device_recordings(
    path: Path,
    source: Source,
    cut: Callable[[Path, Counter[str]], Generator[Piece, None, None]],
    header: Callable[[Metadata], Header],
) -> Iterator[RawRecording]:
    """One recording per day from the pieces of a file, in order.

    Args:
        path: the file.
        source: the options, and the project's settings.
        cut: what a file decodes to, piece by piece; adds the faults of the file that it meets.
        header: what the file states about itself, from its metadata.

    Raises:
        EmptyRecordingError: there are no samples.
        MissingColumnError: the project has a gyroscope, and the device has none.
    """
    faults: Counter[str] = Counter()
    about: _About | None = None
    next_day_us = 0
    zone = source.settings.project.zone
    with closing(cut(path, faults)) as pieces:  # an error ends this function: its temporary folder goes now
        for piece in pieces:
            faults += Counter({DAMAGED: piece.damaged})
            if not len(piece.local_us):
                continue
            if about is None:
                about = _About(path, source, header(piece.metadata), piece)
                next_day_us = _next_midnight(int(piece.local_us[0]) + about.shift, zone)
                faults[f"files whose clock is read as {show_offset(about.shift)}"] += 1
            last_us = about.held.add(piece) + about.shift
            while last_us >= next_day_us + _SECOND_US:
                yield about.recording(next_day_us, faults)
                faults.clear()
                next_day_us = _next_midnight(about.held.first_us + about.shift, zone)
    if about is None:
        raise EmptyRecordingError(
            where=str(path),
            expected="samples",
            got="a header without samples",
            remedy="Check that the device had been started, and copy the file again.",
        )
    about.held.end()
    if about.held:
        yield about.recording(None, faults)


class _About:
    """What holds for all recordings of a file."""

    def __init__(self, path: Path, source: Source, header: Header, first: Piece) -> None:
        self.path = path
        self.source = source
        self.header = header
        self._refuse_without_gyroscope(first)
        if header.rate_hz <= 0:
            raise RecordingTimeError(
                where=str(path),
                expected="a header with the sampling rate",
                got=f"{header.rate_hz:g} Hz",
                remedy="Copy the file from the device again.",
            )
        options = source.options
        self.fields = self._from_path()
        self.fields["subject"] = options.get("subject") or self.fields["subject"]
        self.fields["placement"] = options.get("placement") or self.fields.get("placement") or header.placement
        self.fields["activity"] = options.get("activity") or self.fields.get("activity", "")
        device = options.get("device") or self.fields.get("device")
        self.fields["device"] = device or f"{header.model} {header.serial}".strip()
        zone = source.settings.project.timezone
        self.held = Held(BlockTimes(header.rate_hz, blocks=header.blocks))
        self.shift = offset_us(int(first.local_us[0]), options.get("timezone", ""), header.utc_offset, zone)

    def _from_path(self) -> dict[str, str]:
        """Subject and session from the path, where a pattern is given or the file states no subject."""
        stem, serial = self.path.stem, self.header.serial
        session = stem if not serial or serial in stem else f"{stem}.{serial}"
        found = {"subject": self.header.subject or stem, "session": session}
        if "pattern" in self.source.options:
            return found | PathPattern(self.source.options["pattern"]).parse(self.path)
        if not self.header.subject:
            with suppress(FileNameError):
                found["subject"] = PathPattern("{subject}_*").parse(self.path)["subject"]
        return found

    def recording(self, before_us: int | None, faults: Counter[str]) -> RawRecording:
        """The recording of the samples held before that time in µs UTC; None: of all."""
        times_us, values = self.held.take(None if before_us is None else before_us - self.shift)
        times_us += self.shift
        pauses = self.held.times.pauses(self.source.settings.recordings.max_gap_s * 1e6)
        counted = faults + Counter({PAUSES: len(pauses), PAUSED: round(float(pauses.sum()) / 1e6)})
        return RawRecording(
            where=str(self.path),
            subject=self.fields["subject"],
            session=self.fields["session"],
            times_us=times_us,
            clock="utc",
            accelerometer=Signal(values[0], "g"),
            gyroscope=Signal(values[1], "deg/s") if len(values) > 1 else None,
            labels=self.fields["activity"] or None,
            placement=self.fields["placement"],
            device=self.fields["device"],
            faults=counted,
        )

    def _refuse_without_gyroscope(self, first: Piece) -> None:
        if first.gyroscope is None and self.source.settings.sensors.gyroscope is not None:
            raise MissingColumnError(
                where=str(self.path),
                expected="an accelerometer and a gyroscope, the sensors of this project",
                got=f"a file of the device {self.header.model or 'with an accelerometer'}, which has no gyroscope",
                remedy="Make a project for accelerometer data (`copier copy`, sensors: accelerometer), or remove the "
                "section [sensors.gyroscope] from har.toml while the project has no data and no model yet.",
            )


def _next_midnight(time_us: int, zone: dt.tzinfo) -> int:
    """The next midnight in the zone that is a second away or more, in µs UTC."""
    day = dt.datetime.fromtimestamp((time_us + _SECOND_US) / 1e6, zone).date() + dt.timedelta(days=1)
    return round(dt.datetime.combine(day, dt.time(), zone).timestamp() * 1e6)
