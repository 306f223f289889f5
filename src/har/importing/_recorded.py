"""Read recordings as a device wrote them, for `har check-device`: nothing is refused for being implausible."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from har.devices import Recorded
from har.errors import MissingColumnError
from har.importing._arguments import check_arguments
from har.importing._axes import check_axes, turned
from har.plausibility import TO_SI
from har.recordings.layouts import Layout, RawRecording, Source, find_layout
from har.settings import Settings


def recorded(
    path: Path,
    settings: Settings,
    layout: str = "",
    *,
    options: Mapping[str, str] | None = None,
    units: Mapping[str, str] | None = None,
    axes: Mapping[str, str] | None = None,
) -> list[Recorded]:
    """Every recording of a file or folder, in SI units if the stated units are right.

    Args:
        path: what to read.
        settings: name the columns and units of inbox files, and say which sensors the project has.
        layout: a reader's name; "": by the extension, with the columns of inbox files.
        options: the reader's options.
        units: unit by sensor, where the values are not in the reader's unit.
        axes: axes by sensor, as for `har import --axes`.

    Raises:
        SettingsError: an option, a unit or a layout does not exist, or there is no such path.
        RecordingError: a file cannot be read.
    """
    options, units, axes = dict(options or {}), dict(units or {}), dict(axes or {})
    inbox = not layout
    reader = find_layout(layout or _suffix(path).removeprefix("."))
    if inbox:
        options = {**_columns(path, settings), **options}
    check_arguments(reader, path, settings, options, units)
    check_axes(axes)
    source = Source(path, options, settings)
    needs_rate = settings.sensors.gyroscope is not None
    return [
        _converted(turned(raw, axes), units, needs_rate=needs_rate, settings=settings if inbox else None)
        for raw in _read(reader, source)
        if len(raw.times_us)
    ]


def _suffix(path: Path) -> str:
    """Of inbox files: that of the file, or of the files in a folder, ".csv" if it has both."""
    if path.is_file():
        return ".parquet" if path.suffix.lower() == ".parquet" else ".csv"
    return ".csv" if next(path.rglob("*.csv"), None) or not next(path.rglob("*.parquet"), None) else ".parquet"


def _read(reader: Layout, source: Source) -> Iterator[RawRecording]:
    for file in reader.find(source):
        yield from reader.read(file, source)


def _columns(path: Path, settings: Settings) -> dict[str, str]:
    """The options that read a file as the inbox does: whose it is does not matter, where it was worn does."""
    layout = settings.recordings
    files = [path] if path.is_file() else sorted(path.rglob(f"*{_suffix(path)}"))[:1]
    header = _header(files[0]) if files else ()
    pairs = {"placement": layout.placement_column, "device": layout.device_column}
    return {"subject-is": "device", **{name: column for name, column in pairs.items() if column in header}}


def _header(path: Path) -> tuple[str, ...]:
    import polars as pl

    try:
        if path.suffix.lower() == ".parquet":
            return tuple(pl.read_parquet_schema(path))
        with path.open(encoding="utf-8-sig", errors="replace") as lines:
            return tuple(name.strip().strip('"') for name in lines.readline().split(","))
    except (OSError, pl.exceptions.PolarsError):
        # The reader that follows names what is wrong with the file.
        return ()


def _converted(raw: RawRecording, units: Mapping[str, str], *, needs_rate: bool, settings: Settings | None) -> Recorded:
    first, second = raw.accelerometer, raw.gyroscope if needs_rate else None
    if first is None:
        raise MissingColumnError(
            where=raw.where,
            expected="samples of the accelerometer",
            got="a recording without them",
            remedy="Export the accelerometer, too: nothing can be said about a device without it.",
        )
    stated = {"accelerometer": units.get("accelerometer", first.unit)}
    if second is not None:
        stated["gyroscope"] = units.get("gyroscope", second.unit)
    found = Recorded(
        times_us=raw.times_us,
        accelerometer=np.asarray(first.values * TO_SI[stated["accelerometer"]], np.float64),
        gyroscope=None if second is None else np.asarray(second.values * TO_SI[stated["gyroscope"]], np.float64),
        units=stated,
        where=raw.where,
        counted=raw.clock == "counted",
        placement=raw.placement,
        device=raw.device,
    )
    if settings is None:
        return found
    layout = settings.recordings
    return replace(found, placement=raw.placement or layout.placement, device=raw.device or layout.device)
