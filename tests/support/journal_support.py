"""What tests of the prediction log share: its lines, and a folder of its files."""

from __future__ import annotations

import base64
import datetime as dt
import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from har.jobs.collect import CollectReport, collect_files, log_chunks
from har.lake import Lake
from har.settings import Settings

NOON = dt.datetime(2024, 1, 1, 12, tzinfo=dt.UTC)
NOON_US = round(NOON.timestamp() * 1_000_000)
SECOND = 1_000_000
FEATURES = 5


def prediction(number: int, *, windows: int = 1, **changes: Any) -> dict[str, Any]:
    """A prediction line; requests come a minute apart from noon on."""
    values = np.arange(number, number + windows * FEATURES, dtype="<f4")
    line = {
        "kind": "prediction",
        "request_id": f"r{number}",
        "received_us": NOON_US + number * 60 * SECOND,
        "subject": f"s{number % 2:02d}",
        "session": "watch",
        "start_us": NOON_US + number * 60 * SECOND,
        "stride_us": 2 * SECOND,
        "length_us": 4 * SECOND,
        "model_version": 3,
        "fallback": None,
        "ms": 0.25,
        "activity": ["PEN", "ROW", "ABD"][:windows],
        "confidence": [0.75, 0.5, 0.25][:windows],
        "abstained": [False, False, True][:windows],
        "features": base64.b64encode(values.tobytes()).decode(),
        "unknown": [False, True, False][:windows],
    }
    return {**line, **changes}


def shadow(number: int, *, windows: int = 1, **changes: Any) -> dict[str, Any]:
    line = {
        "kind": "shadow",
        "request_id": f"r{number}",
        "received_us": NOON_US + number * 60 * SECOND,
        "model_version": 9,
        "ms": 0.5,
        "activity": ["IR", "ER", "FEL"][:windows],
        "confidence": [0.125, 0.25, 0.5][:windows],
    }
    return {**line, **changes}


def feedback(name: str, activity: str = "TRAP", **changes: Any) -> dict[str, Any]:
    line = {
        "kind": "feedback",
        "feedback_id": name,
        "received_us": NOON_US + 3600 * SECOND,
        "activity": activity,
        "request_id": None,
        "subject": None,
        "start_us": None,
        "end_us": None,
        "source": "127.0.0.1",
    }
    return {**line, **changes}


def encoded(*lines: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


class Log:
    """A folder of log files as the service writes them."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.folder = settings.path("journal")
        self.folder.mkdir(parents=True)

    def write(self, *lines: dict[str, Any], number: int = 0, tail: bytes = b"") -> Path:
        path = self.folder / f"20240101T120000-77-{number}.jsonl"
        path.write_bytes(encoded(*lines) + tail)
        return path

    def collect(self, lake: Lake) -> CollectReport:
        report = CollectReport()
        for chunk in log_chunks(self.settings):
            report.add(collect_files(lake, chunk))
        return report


def tables(lake: Lake) -> list[pl.DataFrame]:
    """Everything that is collected, in an order of its own."""
    return [
        lake.predictions.read().sort("request_id", "start"),
        lake.requests.read().sort("request_id", "start"),
        lake.labels.read().sort("feedback_id"),
    ]


def same(one: Lake, two: Lake) -> bool:
    return all(left.equals(right) for left, right in zip(tables(one), tables(two), strict=True))


def busy_day(log: Log, files: int = 3, each: int = 40) -> None:
    """Files with requests, shadows of which some stand in the next file, and feedback before and after its request."""
    total = files * each
    for file in range(files):
        lines = []
        for number in range(file * each, (file + 1) * each):
            lines.append(prediction(number, windows=1 + number % 3))
            if number % 5 == 0:
                late = number - 7 if number >= 7 else number
                lines.append(shadow(late, windows=1 + late % 3))
            if number % 9 == 0:
                lines.append(feedback(f"f{number}", request_id=f"r{(number * 7) % total}"))
        log.write(*lines, number=file)
