"""What a training leaves for the card of its version: data, figures in full, time, machine and packages."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from har.errors import RegistryError
from har.evaluation import ClassFigures, Evaluation
from har.files import write_atomically
from har.windows import Split, WindowSet

FACTS = "facts.json"
"""Name of the artifact."""
FORMAT = 1
PACKAGES = ("numpy", "polars", "deltalake", "torch", "onnx", "onnxruntime", "mlflow", "whylogs", "scikit-learn")
"""Packages whose versions can change a model, where they are installed."""


@dataclass(frozen=True)
class Side:
    """The labelled windows of one side of the split.

    Attributes:
        subjects: how many.
        windows: number of windows.
        hours: that they cover; windows overlap, so it is their number times the stride.
        activities: number of windows by activity.
    """

    subjects: int
    windows: int
    hours: float
    activities: dict[str, int]


@dataclass(frozen=True)
class Facts:
    """The facts of one training; names of subjects are not among them.

    Attributes:
        sides: "train", "validation" and "held_out".
        placements, devices: number of labelled windows by placement and by device; "" where it is unknown.
        first_day, last_day: ISO dates of the oldest and the newest recording; "" where recordings have no dates.
        classes: figures per activity on the held-out subjects.
        subjects: accuracy of each held-out subject, the lowest first.
        seconds: duration of the training, on the clock.
        machine: that it ran on, in words.
        packages: version by package, Python included.
    """

    sides: dict[str, Side]
    placements: dict[str, int]
    devices: dict[str, int]
    first_day: str
    last_day: str
    classes: tuple[ClassFigures, ...]
    subjects: tuple[float, ...]
    seconds: float
    machine: str
    packages: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        windows: WindowSet,
        split: Split,
        evaluation: Evaluation,
        *,
        stride_s: float,
        placements: NDArray[np.str_],
        devices: NDArray[np.str_],
        seconds: float,
        on: str,
    ) -> Facts:
        """The facts of a training.

        Args:
            windows: labelled windows, of all sides.
            split: the subjects of each side.
            evaluation: on the held-out subjects.
            stride_s: between the starts of two windows, s.
            placements: per window, str (N,).
            devices: per window, str (N,).
            seconds: duration of the training.
            on: "cpu" or "cuda".
        """
        sides = {
            name: _side(windows.for_subjects(getattr(split, name)), evaluation.activities, stride_s)
            for name in ("train", "validation", "held_out")
        }
        days = windows.dates[~np.isnat(windows.dates)]
        return cls(
            sides=sides,
            placements=_counts(placements),
            devices=_counts(devices),
            first_day=str(days.min()) if len(days) else "",
            last_day=str(days.max()) if len(days) else "",
            classes=evaluation.classes,
            subjects=tuple(sorted(one.accuracy for one in evaluation.subjects)),
            seconds=round(seconds, 1),
            machine=f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, trained on {on}",
            packages=packages(),
        )

    def write(self, path: Path) -> Path:
        """Write the facts as JSON."""
        values = {"format": FORMAT, **_FACTS.dump_python(self, mode="json")}
        return write_atomically(path, json.dumps(values, indent=1))

    @classmethod
    def read(cls, path: Path) -> Facts:
        """Read what `write` wrote.

        Raises:
            RegistryError: something else wrote it.
        """
        try:
            values: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            if values.get("format") != FORMAT:
                raise ValueError(f"format {values.get('format')!r}")
            return _FACTS.validate_python({name: value for name, value in values.items() if name != "format"})
        except (AttributeError, ValueError, ValidationError) as error:
            raise RegistryError(
                where=str(path),
                expected=f"the facts of a training, format {FORMAT}",
                got=str(error).splitlines()[0],
                remedy="Restore it from a backup, or train again: har train.",
            ) from error


_FACTS = TypeAdapter(Facts)


def packages() -> dict[str, str]:
    """Versions of Python and of the packages that can change a model."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:  # an extra that is not installed
            continue
    return found


def _side(windows: WindowSet, activities: tuple[str, ...], stride_s: float) -> Side:
    counts = np.bincount(windows.labels, minlength=len(activities))
    return Side(
        subjects=len(np.unique(windows.subjects)),
        windows=len(windows),
        hours=round(len(windows) * stride_s / 3600, 3),
        activities={name: int(count) for name, count in zip(activities, counts, strict=True)},
    )


def _counts(names: NDArray[np.str_]) -> dict[str, int]:
    found, counts = np.unique(names, return_counts=True)
    return {str(name): int(count) for name, count in zip(found, counts, strict=True)}
