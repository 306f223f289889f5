"""Recordings in, a project with a lake out: every set comes through `har import` and `har ingest`, as anybody's would.

A set's project is kept, and made again when its recordings or its settings change.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tomli_w

from har.errors import NotEnoughDataError
from har.files import make_folder, write_atomically
from har.recordings.layouts import Source, find_layout
from har.sample import SAMPLE_ACTIVITIES, replay
from har.settings import FILE_NAME, Settings, load_settings

_RATES = (20, 25, 26, 30, 32, 33, 40, 50, 52, 60, 64, 80, 100, 104, 120, 128, 200, 204.8, 208, 256, 400, 500)
"""Rates that devices are set to; a measured one within 5 % of one of them is taken for it."""
_WHOLE = {"g": (16.0, "g"), "mg": (16_000.0, "mg"), "m/s^2": (156.9, "m/s^2")}
_TURN = {"rad/s": (34.9, "rad/s"), "deg/s": (2000.0, "deg/s")}


@dataclass(frozen=True)
class RecordingSet:
    """Recordings and how they are read.

    Attributes:
        name: as in tables, and of its folder.
        title: what it is, for the page.
        layout: of `har import`; "": the embedded sample.
        path: what is imported.
        rate_hz: of the project.
        length_s: of its windows under this project's own protocol.
        activities: the classes.
        units: of acceleration and angular rate in the files; "" where there is no gyroscope.
        options: of the layout.
        names: activity by label.
    """

    name: str
    title: str
    layout: str
    path: Path
    rate_hz: float
    length_s: float
    activities: tuple[str, ...]
    units: tuple[str, str] = ("g", "rad/s")
    options: Mapping[str, str] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)

    @property
    def command(self) -> str:
        """What reads it, as a person would type it; "" for the sample."""
        return " ".join(["har", *self._arguments(self.path.name)]) if self.layout else ""

    def project(self, kept: Path) -> Settings:
        """A project with these recordings in its lake, below `kept`."""
        content = self._settings()
        decides = json.dumps(
            [content, self._arguments(str(self.path)), _stamps(self.path) if self.layout else []], sort_keys=True
        )
        root = kept / "sets" / f"{self.name}-{hashlib.sha256(decides.encode()).hexdigest()[:12]}"
        if not (root / "ready").exists():
            shutil.rmtree(root, ignore_errors=True)
            make_folder(root)
            write_atomically(root / FILE_NAME, tomli_w.dumps(content))
            if self.layout:
                _har(root, *self._arguments(str(self.path.resolve())))
            else:
                settings = load_settings(root)
                replay(settings.path("inbox"), settings)
            _har(root, "ingest")
            (root / "ready").touch()
        return load_settings(root)

    def _arguments(self, path: str) -> list[str]:
        options = [part for pair in self.options.items() for part in ("-o", "=".join(pair))]
        names = [part for pair in self.names.items() for part in ("--map", "=".join(pair))]
        return ["import", self.layout, path, *options, *names]

    def _settings(self) -> dict[str, Any]:
        whole, unit = _WHOLE[self.units[0]]
        sensors: dict[str, Any] = {
            "rate_hz": float(self.rate_hz),
            "accelerometer": {"channels": ["accel_x", "accel_y", "accel_z"], "unit": unit, "full_scale": whole},
        }
        if self.units[1]:
            turn, unit = _TURN[self.units[1]]
            sensors["gyroscope"] = {"channels": ["gyro_x", "gyro_y", "gyro_z"], "unit": unit, "full_scale": turn}
        return {
            "project": {"name": f"bench-{self.name}"},
            "sensors": sensors,
            "windows": {"length_s": self.length_s, "overlap": 0.5, "purity": 0.6},
            "activities": {"names": list(self.activities)},
        }


SAMPLE = RecordingSet(
    "sample", "Embedded sample: watch, ten subjects, seven shoulder exercises", "", Path(), 50, 4.0, SAMPLE_ACTIVITIES
)
_COLUMNS = {"subject": "subject", "session": "session", "activity": "label"}


def known_sets(folder: Path) -> list[RecordingSet]:
    """The sets of the README's accuracy table whose Parquet files are in this folder."""
    every = [
        RecordingSet(
            "motionsense",
            "MotionSense (Malekzadeh et al. 2019), subjects 1 to 18 of 24: phone in the pocket, six activities",
            "parquet",
            folder / "motionsense_phone_pocket_50hz.parquet",
            50,
            4.0,
            ("dws", "ups", "wlk", "jog", "std", "sit"),
            ("g", "rad/s"),
            {"time": "t_s", "time-unit": "s", "clock": "device", **_axes("g"), **_COLUMNS},
        ),
        _spsw(folder, "watch", "wrist", {"time": "timestamp"}),
        # The phone's stamps come in bursts, up to four rows with one, while its rows are steady: 102.5 Hz ± 0.1.
        _spsw(folder, "phone", "pocket", {"time-unit": "samples", "rate": "102.5"}),
    ]
    found = [one for one in every if one.path.is_file()]
    if not found:
        raise NotEnoughDataError(
            where=str(folder),
            expected=" or ".join(one.path.name for one in every),
            got="none of them",
            remedy="Name another folder, or import a published set: --import LAYOUT PATH.",
        )
    return found


def _spsw(folder: Path, device: str, place: str, time: Mapping[str, str]) -> RecordingSet:
    return RecordingSet(
        f"spsw-{device}",
        f"Matey-Sanz et al. 2023, subjects 1 to 18 of 23: {device} ({place}), five activities, three of them brief",
        "parquet",
        folder / f"spsw_{device}_{place}_100hz.parquet",
        100,
        1.0,
        ("SEATED", "STANDING_UP", "WALKING", "TURNING", "SITTING_DOWN"),
        ("m/s^2", "rad/s"),
        {**time, **_axes("ms2"), **_COLUMNS},
    )


def imported_set(layout: str, path: Path, options: Mapping[str, str], names: Mapping[str, str]) -> RecordingSet:
    """Any recordings that `har import` reads: rate, sensors and activities are those that the files have.

    The activities are all labels, or those that `names` gives them; a label that is given "" is left out.

    Raises:
        NotEnoughDataError: no recording with at least two activities.
    """
    provisional = RecordingSet("x", "", layout, path, 50, 4.0, ("a", "b"))
    settings = Settings.from_values(provisional._settings(), root=Path())
    reader, rates, labels, units = find_layout(layout), [], set(), []
    source = Source(path, dict(options), settings)
    for file in reader.find(source):
        if file.name.startswith("._"):
            continue
        for raw in reader.read(file, source):
            taken = float(raw.times_us.max() - raw.times_us.min()) / 1e6
            if raw.accelerometer is None or taken <= 0:
                continue
            rates.append((len(raw.times_us) - 1) / taken)
            units.append((raw.accelerometer.unit, raw.gyroscope.unit if raw.gyroscope else ""))
            labels |= {raw.labels} if isinstance(raw.labels, str) else set(_unique(raw.labels))
    known = {label: names.get(label, _as_name(label)) for label in sorted(labels - {""})}
    activities = tuple(dict.fromkeys(name for name in known.values() if name))
    if len(activities) < 2:
        raise NotEnoughDataError(
            where=str(path),
            expected="recordings with acceleration and at least two activities",
            got=f"{len(rates)} recordings, activities: {', '.join(activities) or 'none'}",
            remedy=f"See what is there: har import {layout} {path} --dry-run",
        )
    accelerometer, gyroscope = next((one for one in units if not one[1]), units[0])
    maps = {label: name for label, name in known.items() if label != name}
    return RecordingSet(
        layout if find_layout(layout).name == layout else Path(layout).stem.replace("_", "-"),
        reader.title,
        layout,
        path,
        _nominal(statistics.median(rates)),
        4.0,
        activities,
        (accelerometer, gyroscope),
        options,
        maps,
    )


def _unique(labels: Any) -> list[str]:
    return [] if labels is None else labels.drop_nulls().unique().cast(str).to_list()


def _as_name(label: str) -> str:
    name = re.sub(r"\W+", "_", label, flags=re.ASCII).strip("_")
    return name if name[:1].isalpha() else f"activity_{name}"


def _nominal(rate: float) -> float:
    nearest = min(_RATES, key=lambda one: abs(one - rate))
    return nearest if abs(nearest - rate) <= 0.05 * rate else round(rate)


def _axes(unit: str) -> dict[str, str]:
    return {
        "accelerometer": ",".join(f"accel_{axis}_{unit}" for axis in "xyz"),
        "gyroscope": ",".join(f"gyro_{axis}_rads" for axis in "xyz"),
    }


def _stamps(path: Path) -> list[tuple[str, int, int]]:
    """What tells whether the files changed: name, size and time of each."""
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    return [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files if file.is_file()]


def _har(root: Path, *arguments: str) -> None:
    variables = {name: value for name, value in os.environ.items() if not name.startswith("HAR_")}
    done = subprocess.run(
        [sys.executable, "-m", "har_cli", *arguments],
        cwd=root,
        env={**variables, "HAR_ROOT": str(root)},
        capture_output=True,
        text=True,
    )
    # 3: what could be imported was, and the rest is named.
    if done.returncode not in (0, 3):
        raise SystemExit(f"har {' '.join(arguments)} failed:\n{done.stdout}{done.stderr}")
    print(done.stdout.strip(), flush=True)
