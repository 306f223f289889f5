"""Say what is off about a device: its recordings beside what the devices of the champion's training were like."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from har.devices import DEVICE_REFERENCE, DeviceReference, Diagnosis, Recorded, diagnose
from har.project import Project
from har.settings import TICKS_PER_SECOND, Sensor, Settings

if TYPE_CHECKING:
    from har.importing import Survey

_MOST_S = 600.0
"""Of a new device in an import, so much is looked at."""


def device_reference(project: Project) -> tuple[DeviceReference | None, str]:
    """The champion's device reference, and what it is in words; None: there is no champion, or too few subjects.

    A version of an earlier release has none: it is learned from the champion's subjects in the lake, and kept in
    `runs/`.

    Raises:
        ModelError: it is damaged.
        RegistryError: the registry cannot be read.
        LakeError: the lake cannot be read.
    """
    champion = project.champion
    if champion is None:
        return None, ""
    words = f"version {champion.number}, the champion"
    if champion.has(DEVICE_REFERENCE):
        return DeviceReference.read(project.registry.artifact(champion.number, DEVICE_REFERENCE)), words
    path = project.settings.path("runs") / f"devices-of-version-{champion.number}.json"
    if not path.is_file():
        made = _from_lake(project, champion.number)
        if made is None:
            return None, ""
        made.write(path)
    return DeviceReference.read(path), f"{words} (learned from the lake now, for it was registered without)"


def check_devices(project: Project, recorded: Sequence[Recorded]) -> list[Diagnosis]:
    """What is off about each device and placement.

    Raises:
        HarError: of `device_reference`.
    """
    reference, words = device_reference(project)
    return [
        diagnose(
            group,
            reference,
            rate_hz=project.settings.sensors.rate_hz,
            max_gap_s=project.settings.recordings.max_gap_s,
            beside=words,
        )
        for group in _groups(recorded)
    ]


def new_devices(project: Project, found: Survey) -> list[Diagnosis]:
    """What is off about devices of an import that no recording in the lake is from. Nothing is refused.

    Raises:
        HarError: the reference or the lake cannot be read.
    """
    if project.settings.sensors.accelerometer is None:
        return []
    known = _known(project)
    default, worn = project.settings.recordings.device, project.settings.recordings.placement
    new: dict[str, list[Recorded]] = {}
    seconds: dict[str, float] = {}
    for one in found.staged:
        device = one.device or default
        if device in known or seconds.get(device, 0.0) >= _MOST_S:
            continue
        new.setdefault(device, []).append(_staged(one.file.path, project.settings, device, one.placement or worn))
        seconds[device] = seconds.get(device, 0.0) + one.seconds
    return [diagnosis for group in new.values() for diagnosis in check_devices(project, group)]


def reasons(diagnoses: Iterable[Diagnosis]) -> list[str]:
    """One line per finding, for logs and reports."""
    return [
        f"{f'device {one.device}' if one.device else 'a device'}: {found.line}"
        for one in diagnoses
        for found in one.findings
    ]


def _known(project: Project) -> Collection[str]:
    """Devices of which the lake has recordings."""
    default = project.settings.recordings.device
    devices = project.lake.recordings.read(columns=["device"])["device"].unique().to_list()
    return {device or default for device in devices}


def _staged(path: Path, settings: Settings, device: str, placement: str) -> Recorded:
    """Ten minutes from the middle of a staged inbox file, which is in this project's columns and units."""
    accelerometer, gyroscope = settings.sensors.accelerometer, settings.sensors.gyroscope
    assert accelerometer is not None  # noqa: S101  the caller has looked
    time = settings.recordings.time_column
    table = pl.scan_parquet(path, glob=False)
    rows = int(table.select(pl.len()).collect().item())
    most = round(_MOST_S * settings.sensors.rate_hz)
    names = [time, *accelerometer.channels, *(gyroscope.channels if gyroscope is not None else ())]
    frame = table.select(names).slice(max(0, (rows - most) // 2), most).collect()
    stamps = frame[time]
    if isinstance(stamps.dtype, pl.Datetime):
        times = stamps.dt.epoch("us").to_numpy()
    else:
        times = np.round(stamps.to_numpy() * (1e6 / TICKS_PER_SECOND[settings.recordings.time_unit]))
    units = {"accelerometer": accelerometer.unit} | ({"gyroscope": gyroscope.unit} if gyroscope is not None else {})
    return Recorded(
        times.astype(np.int64),
        _values(frame, accelerometer),
        None if gyroscope is None else _values(frame, gyroscope),
        units,
        str(path),
        placement=placement,
        device=device,
    )


def _values(frame: pl.DataFrame, sensor: Sensor) -> NDArray[np.float64]:
    values: NDArray[np.float64] = frame.select(sensor.channels).to_numpy().astype(np.float64) * sensor.to_si
    return values


def _groups(recorded: Sequence[Recorded]) -> list[list[Recorded]]:
    groups: dict[tuple[str, str], list[Recorded]] = {}
    for one in recorded:
        groups.setdefault((one.device, one.placement), []).append(one)
    return [groups[key] for key in sorted(groups)]


def _from_lake(project: Project, number: int) -> DeviceReference | None:
    from har.dataset import device_reference as learned
    from har.dataset import load_windows, placements

    recipe = project.registry.recipe(number)
    # The newest data of the people that it was trained on: those of its training need not be kept any more.
    windows = load_windows(project.lake, project.settings)
    windows = windows.for_subjects((*recipe.split["train"], *recipe.split["validation"]))
    if not len(windows):
        return None
    return learned(project.lake, project.settings, windows, placements(project.lake, windows), seed=recipe.seed)
