"""The interface of readers: a `Layout` lists the files that it can read, and reads `RawRecording`s from each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from har.recordings.layouts._look import Look
from har.recordings.layouts._option import option_error
from har.recordings.layouts._tree import Tree, child, matches
from har.settings import Settings


@dataclass(frozen=True)
class Source:
    """The folder or file to import, and the options.

    Attributes:
        path: the folder or file.
        options: value by name of the option; the layout lists the names.
        settings: the project's settings, which give units and columns where the format does not.
    """

    path: Path
    options: Mapping[str, str]
    settings: Settings

    @cached_property
    def tree(self) -> Tree:
        """What lies under `path`, listed once."""
        return Tree.of(self.path)

    def files(self, *patterns: str) -> list[Path]:
        """The files in `path` and its subfolders whose names match one of `patterns`, sorted; `path` if it is a file.

        Upper and lower case are the same: memory cards and some loggers write `S01.CSV`. Patterns may match AppleDouble
        files (`._…`): the import counts and skips them.
        """
        if self.path.is_file():
            return [self.path]
        return [path for path in self.tree.files if matches(path, patterns)]

    @cached_property
    def opened(self) -> set[Path]:
        """The files that readers opened besides those that they list; the import names all others as passed over."""
        return set()

    def beside(self, path: Path, name: str) -> Path:
        """The file `name` in the folder of `path`, which a reader opens besides; case does not matter."""
        return self.opens(child(path.parent, name))

    def opens(self, path: Path) -> Path:
        """Note that a reader opens a file that it did not list; returns `path`."""
        self.opened.add(path)
        return path

    def choice(self, option: str, choices: Iterable[str], *, default: str) -> str:
        """The value of an option that is one of `choices`.

        Raises:
            SettingsError: it is another.
        """
        value = self.options.get(option, default)
        if value not in choices:
            raise option_error(option, f"one of {', '.join(choices)}", value)
        return value


@dataclass(frozen=True, eq=False)
class Signal:
    """One sensor's samples.

    Attributes:
        values: float64 or float32 (n, 3), x, y, z; acceleration including gravity.
        unit: "g", "mg" or "m/s^2"; "rad/s" or "deg/s".
    """

    values: NDArray[np.float64] | NDArray[np.float32]
    unit: str


Clock = Literal["utc", "device", "counted"]


@dataclass(frozen=True, eq=False)
class RawRecording:
    """One recording as published, before conversion and cleaning.

    Attributes:
        where: the file, as messages name it.
        subject: letters, digits, '.' and '-'.
        session: letters, digits, '.', '-' and '_'; unique within a subject and date.
        times_us: int64 (n,), µs since 1970 (clock "utc") or since an arbitrary instant.
        clock: "utc": stamps are dates; "device": stamps count from an unknown start; "counted": the sample's number
            divided by a nominal rate. The import assigns a date to the latter two.
        accelerometer, gyroscope: None if the layout has none.
        labels: one activity for the whole recording, or String (n,) with null where unlabelled; None: no labels.
        placement, device: where the sensor was worn, and which device recorded; "" if unknown.
        faults: number of faults by description, rows that the reader left out included.
        notes: what was done to the recording, one sentence each without a final stop; they stay with it in the lake.
    """

    where: str
    subject: str
    session: str
    times_us: NDArray[np.int64]
    clock: Clock
    accelerometer: Signal | None = None
    gyroscope: Signal | None = None
    labels: str | pl.Series | None = None
    placement: str = ""
    device: str = ""
    faults: Counter[str] = field(default_factory=Counter)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Layout:
    """A reader.

    Attributes:
        name: the NAME of `har import NAME`.
        title: what it reads, in one line.
        find: lists the files of a source that `read` is called with, one by one.
        read: reads one of them. A `RecordingError` refuses this file only.
        options: a description of each of the reader's options.
        recognises: whether a file is of this layout, by its name and beginning; None: nothing tells. It lets messages
            name the right layout, and `har import auto` find it.
        archives: whether it reads zip archives; of other layouts, the import refuses them.
    """

    name: str
    title: str
    find: Callable[[Source], Iterable[Path]]
    read: Callable[[Path, Source], Iterator[RawRecording]]
    options: Mapping[str, str] = field(default_factory=dict)
    recognises: Callable[[Look], bool] | None = None
    archives: bool = False


def sample_times(samples: int | NDArray[np.int64], rate_hz: float) -> NDArray[np.int64]:
    """Stamps of counted samples, int64 µs (n,).

    Args:
        samples: their count; or, where rows were left out, the number of each sample, from 0.
        rate_hz: samples per second.
    """
    numbers = np.arange(samples) if isinstance(samples, int) else samples
    return np.round(numbers * (1e6 / rate_hz)).astype(np.int64)
