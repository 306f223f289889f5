"""What a check says: causes in plain words, ranked, with evidence and with the settings that mend them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

CAUSES = {
    "rate": "the sampling rate is not the stated one, or too low",
    "jitter": "samples are missing or come unevenly",
    "accelerometer_unit": "the acceleration is in another unit",
    "gyroscope_unit": "the angular rate is in another unit",
    "gravity": "gravity is missing from the acceleration",
    "clipping": "the acceleration is clipped at the device's range",
    "filter": "the signal is low-pass filtered",
    "axes_swapped": "two axes are swapped",
    "axis_flipped": "an axis has the wrong sign",
    "turned": "the device sits turned",
    "mirrored": "it is worn on the other side of the body",
    "axes_apart": "accelerometer and gyroscope use different axes",
    "placement": "it is worn elsewhere, or moves like nothing that was trained on",
}
"""Every code of a `Finding`, with what it says in general."""


@dataclass(frozen=True)
class Finding:
    """One thing that is off.

    Attributes:
        code: a key of `CAUSES`.
        title: what is off, in plain words.
        evidence: what shows it, one sentence each.
        remedy: what to do, in plain words.
        options: options of `har import` that mend it, one string each, such as "--unit accelerometer=g".
        settings: lines of har.toml that mend it.
        strength: how sure it is, 0 to 1; findings are ranked by it.
    """

    code: str
    title: str
    evidence: tuple[str, ...]
    remedy: str
    options: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    strength: float = 1.0

    @property
    def line(self) -> str:
        """All of it in one line, for a log."""
        mend = " ".join(self.options)
        return f"{self.title}: {'; '.join(self.evidence)}. {self.remedy}{f' ({mend})' if mend else ''}"


@dataclass(frozen=True)
class Diagnosis:
    """What is off about a device.

    Attributes:
        device, placement: as the recordings say, "" if unknown.
        seconds: how much was looked at.
        beside: what it was compared with, in words.
        findings: the most certain one first; empty: nothing is off.
        undecided: what these recordings do not tell, one sentence each.
    """

    device: str
    placement: str
    seconds: float
    beside: str
    findings: tuple[Finding, ...]
    undecided: tuple[str, ...] = ()

    @property
    def is_fine(self) -> bool:
        """Whether nothing is off."""
        return not self.findings

    def to_json(self) -> dict[str, Any]:
        """As `har check-device --json` prints it."""
        return asdict(self)
