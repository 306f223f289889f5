"""The reader interface: a `Layout` lists the files that it knows, and reads each into `Found` recordings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from har.settings import Settings


@dataclass(frozen=True)
class Source:
    """What the user asked to import.

    Attributes:
        path: the folder or file.
        options: the layout's own options, by name; only such as it lists.
        settings: the project; readers that have no units or columns of their own look there.
    """

    path: Path
    options: Mapping[str, str]
    settings: Settings

    def files(self, *patterns: str) -> list[Path]:
        """The files under `path` whose names fit one of `patterns`, any folder deep, sorted; `path` itself if a file.

        Companions that macOS leaves beside a file fit too: the import counts them and passes them over.
        """
        if self.path.is_file():
            return [self.path]
        return sorted({path for pattern in patterns for path in self.path.rglob(pattern) if path.is_file()})


@dataclass(frozen=True, eq=False)
class Signal:
    """One sensor's samples.

    Attributes:
        values: float64 (n, 3), x, y, z; acceleration with gravity.
        unit: "g", "mg" or "m/s^2"; "rad/s" or "deg/s".
    """

    values: NDArray[np.float64]
    unit: str


Clock = Literal["utc", "device", "counted"]


@dataclass(frozen=True, eq=False)
class Found:
    """One recording as its publisher left it.

    Attributes:
        where: its file, as messages name it.
        subject: letters, digits, '.' and '-'.
        session: the same and '_'; no two recordings of a subject and date share one.
        times_us: int64 (n,), µs since 1970 (clock "utc") or since any instant.
        clock: "utc" stamps are dates; "device" stamps count from some start; "counted" ones are the sample's number
            over a stated rate. The import gives the latter two a date.
        accelerometer, gyroscope: None where the layout has none.
        labels: one activity for all of it, or String (n,) with null where unlabelled; None: no labels.
        placement, device: where it was worn, and which device; empty if nobody says.
        faults: what the reader met and how often; rows that it left out are among them.
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


@dataclass(frozen=True)
class Layout:
    """A reader.

    Attributes:
        name: what `har import NAME` calls it.
        title: what it reads, in one line.
        find: lists the files of a source, each of which `read` takes alone.
        read: reads one of them. A `RecordingError` refuses that file, by name and with the reason, and no other.
        options: the reader's own options, each with what it says.
    """

    name: str
    title: str
    find: Callable[[Source], Iterable[Path]]
    read: Callable[[Path, Source], Iterator[Found]]
    options: Mapping[str, str] = field(default_factory=dict)


def sample_times(samples: int | NDArray[np.int64], rate_hz: float) -> NDArray[np.int64]:
    """Stamps of counted samples, int64 µs (n,): of so many, or of these numbers (from 0) where some were left out."""
    numbers = np.arange(samples) if isinstance(samples, int) else samples
    return np.round(numbers * (1e6 / rate_hz)).astype(np.int64)
