"""The result of a survey: what can be written to the inbox, what is refused, and what was passed over."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from har.errors import RecordingError
from har.importing._labels import Labels
from har.importing._passed import Passed
from har.recordings import InboxFile, Quality


@dataclass(frozen=True)
class Staged:
    """A file that can be written to the inbox, and its quality.

    Attributes:
        file: its path in the staging folder, date, subject and session.
        source: the file that it was made from.
        clock: whether its dates were recorded ("utc") or assigned ("device", "counted").
        seconds: duration from first to last sample.
        quality: counts from cleaning.
        sensors: the unit of the source by sensor.
        placement, device: as given by the reader.
    """

    file: InboxFile
    source: str
    clock: str
    seconds: float
    quality: Quality
    sensors: Mapping[str, str]
    placement: str
    device: str


@dataclass(frozen=True)
class Draft:
    """A converted file that was not checked yet; the attributes are those of `Staged`, and its `faults`."""

    file: InboxFile
    source: str
    clock: str
    seconds: float
    sensors: Mapping[str, str]
    placement: str
    device: str
    faults: Counter[str]

    def staged(self, quality: Quality) -> Staged:
        """The file, once it was checked."""
        return Staged(
            self.file, self.source, self.clock, self.seconds, quality, self.sensors, self.placement, self.device
        )


@dataclass(frozen=True)
class Refused:
    """A file, or one recording of it, that cannot be imported, and the reason."""

    source: str
    error: RecordingError


@dataclass
class Survey:
    """The result of `survey`.

    Attributes:
        staged: the files that can be written.
        refused: the files and recordings that cannot be imported.
        faults: number of faults by description.
        labels: the labels, their activities and numbers of samples.
        passed: entries of the folder that were not read.
        renamed: the subject's name in the inbox by its name in the source, where they differ.
    """

    staged: list[Staged] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    faults: Counter[str] = field(default_factory=Counter)
    labels: Labels = field(default_factory=Labels)
    passed: list[Passed] = field(default_factory=list)
    renamed: dict[str, str] = field(default_factory=dict)

    @property
    def hours(self) -> float:
        """Hours recorded, gaps included."""
        return sum(one.seconds for one in self.staged) / 3600

    def counts(self) -> tuple[Counter[str], Counter[str]]:
        """What `restore` needs to forget a file: the faults and the samples by label."""
        return self.faults.copy(), self.labels.samples.copy()

    def restore(self, counts: tuple[Counter[str], Counter[str]]) -> None:
        """Forget what was counted since `counts`, except refusals."""
        refusals = {name: count for name, count in self.faults.items() if name.startswith("refused: ")}
        self.faults = counts[0] | Counter(refusals)
        self.labels.samples = counts[1]
