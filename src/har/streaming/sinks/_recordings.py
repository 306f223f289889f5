"""The row of `recordings` of a streamed session, as it grows from commit to commit."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from har.schema import FLAGS, WEAR
from har.streaming.store import SamplesRow

FILE = "stream/"
"""How `file` begins in the rows of streamed sessions, in place of a date."""


@dataclass
class Session:
    """What a session has in the lake.

    Attributes:
        device, placement: of its samples.
        rate_hz: samples per second of the device, before resampling.
        resampled: whether any of its samples are on another grid than the device's.
        samples: rows in the sample table.
        first_us, last_us: stamps of its first and last sample.
        longest_us: longest time between two samples.
        saturated, stuck, interpolated: samples with that flag.
        given: the last segment as the windows in progress number them.
        segment: the last segment in the lake.
        sha256: over all samples, commit by commit; the id of the content changes with it.
    """

    device: str = ""
    placement: str = ""
    rate_hz: float = 0.0
    resampled: bool = False
    samples: int = 0
    first_us: int = 0
    last_us: int = -(2**62)
    longest_us: int = 0
    saturated: int = 0
    stuck: int = 0
    interpolated: int = 0
    given: int = -1
    segment: int = -1
    sha256: str = ""

    @classmethod
    def loads(cls, content: bytes | None) -> Session:
        """What `dumps` wrote; None: a session without samples."""
        return cls() if content is None else cls(**json.loads(content))

    @classmethod
    def of_row(cls, row: dict[str, Any], *, last_us: int, segment: int) -> Session:
        """From its row of `recordings` and its last sample: the store of the stream was made anew meanwhile."""
        names = ("device", "placement", "samples", "resampled", "saturated", "stuck", "interpolated", "sha256")
        values = {name: row[name] for name in names if row[name] is not None}
        longest_us = round(1e6 * (row["longest_gap_s"] or 0))
        return cls(**values, first_us=last_us, last_us=last_us, longest_us=longest_us, given=-1, segment=segment)

    def dumps(self) -> bytes:
        """As bytes."""
        return json.dumps(asdict(self)).encode()

    def number(self, given: int, first_us: int, period_us: float) -> int:
        """The segment in the lake of the next samples.

        A stream that was forgotten numbers its segments from 0 again; in the lake, numbers never fall, and samples
        after a pause never have the number of those before.
        """
        follows = first_us - self.last_us <= 1.5 * period_us
        if not (given == self.given and follows):
            self.segment += max(1, given - self.given) if given > self.given else 1
        self.given = given
        return self.segment

    def add(
        self, row: SamplesRow, times: NDArray[np.int64], values: NDArray[np.float32], flags: NDArray[np.int8]
    ) -> None:
        """Add samples, in the order of time."""
        self.device, self.placement = row.device, row.placement or self.placement
        self.rate_hz, self.resampled = row.rate_hz, self.resampled or bool(row.resampled)
        if not self.samples:
            self.first_us = int(times[0])
        else:
            self.longest_us = max(self.longest_us, int(times[0]) - self.last_us)
        self.longest_us = max(self.longest_us, int(np.diff(times).max(initial=0)))
        self.last_us = int(times[-1])
        self.samples += len(times)
        for name in ("saturated", "stuck", "interpolated"):
            setattr(self, name, getattr(self, name) + int(((flags & FLAGS[name]) > 0).sum()))
        digest = hashlib.sha256(self.sha256.encode())
        for array in (times, values, flags):
            digest.update(np.ascontiguousarray(array).tobytes())
        self.sha256 = digest.hexdigest()

    def row(self, date: dt.date, subject: str, session: str, rate_hz: float, now: dt.datetime) -> dict[str, Any]:
        """The row of `recordings`; what cleaning counts in files is 0, for messages are cleaned before."""
        expected = 1 + (self.last_us - self.first_us) / 1e6 * rate_hz
        return {
            "date": date,
            "subject": subject,
            "session": session,
            "file": f"{FILE}{self.device}",
            "sha256": self.sha256,
            "ingested_at": now,
            "samples": self.samples,
            "samples_read": self.samples,
            "duplicates": 0,
            "duplicate_stamps": 0,
            "reordered": 0,
            "gaps": max(0, self.segment),
            "longest_gap_s": self.longest_us / 1e6,
            "coverage": round(min(1.0, self.samples / expected), 6),
            "measured_rate_hz": self.rate_hz or rate_hz,
            "resampled": self.resampled,
            "saturated": self.saturated,
            "stuck": self.stuck,
            "unlabelled": self.samples,
            "interpolated": self.interpolated,
            "stamps_spread": 0,
            "notes": [],
            "placement": self.placement,
            "device": self.device,
            "overlapping": 0,
            # What only whole recordings tell is unknown.
            **dict.fromkeys(WEAR),
        }
