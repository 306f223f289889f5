"""A project with a history of uploads: the first days by the project's own jobs, the others as copies of one of them.

A copied day is what the jobs would have left: its files in the inbox, a commit of every table with a Parquet file per
subject, checksums, and the day's page. Only dates and times differ, and what is derived from a file's bytes.
"""

from __future__ import annotations

import datetime as dt
import io
import json
import os
import shutil
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from uuid import UUID

import numpy as np
import polars as pl
from deltalake import DeltaTable

from har.files import file_sha256
from har.jobs.summarise import outdated
from har.lake import Table
from har.project import Project, open_project
from har.settings import FILE_NAME
from tests.bench._server import ROOT

SUBJECTS = tuple(f"s{number:02d}" for number in range(20))
FIRST = dt.date(2021, 1, 1)
LEARNED = 3
"""Days before the one that is copied; the model is trained on them."""
_DAY = dt.timedelta(days=1)
_CHECKPOINT = 20
_TIMES = {"time", "start", "end", "received_at", "claimed_start", "claimed_end"}
"""Columns that move with the day; when a row was made stays as it was, as of a history that was loaded at once."""


@dataclass
class History:
    """The project, and how many days it has."""

    project: Project
    days: int

    @property
    def root(self) -> Path:
        """Its folder."""
        return self.project.settings.root

    def date(self, number: int) -> dt.date:
        """The day of this number, from 0."""
        return FIRST + number * _DAY


def begin(root: Path, samples: int) -> History:
    """Record, ingest, train, score, answer and collect the first days, with the project's own jobs."""
    from har.jobs.collect import collect
    from har.jobs.ingest import ingest
    from har.jobs.score import score
    from har.jobs.train import train

    root.mkdir(parents=True)
    shutil.copy(ROOT / FILE_NAME, root / FILE_NAME)
    project = open_project(root)
    history = History(project, 0)
    for _ in range(LEARNED):
        record(history, samples)
    ingest(project)
    number = train(project).version
    if project.champion is None:
        project.registry.promote(number, reason="the only one", who="bench")
    record(history, samples)
    ingest(project)
    score(project)
    answer(history)
    collect(project)
    score(project)
    return history


def record(history: History, samples: int) -> None:
    """Put the next day's files into the inbox, one per subject."""
    folder = history.project.settings.path("inbox") / history.date(history.days).isoformat()
    folder.mkdir(parents=True)
    for subject in SUBJECTS:
        (folder / f"{subject}_watch.csv").write_bytes(_csv(history, subject, samples))
    history.days += 1


def answer(history: History) -> None:
    """Leave the prediction log of the newest day: a request of two windows per subject, feedback about every fifth."""
    project = history.project
    date = history.date(history.days - 1)
    number = project.registry.champion().number
    features = len(project.classifier(number).metadata.feature_names)
    noon = round(dt.datetime.combine(date, dt.time(12), dt.UTC).timestamp() * 1e6)
    lines = []
    for place, subject in enumerate(SUBJECTS):
        name = f"{date}-{subject}"
        lines.append(_prediction(name, subject, noon + place * 60_000_000, number, features))
        if place % 5 == 0:
            lines.append(_feedback(name, noon + 3_600_000_000))
    folder = project.settings.path("journal")
    folder.mkdir(parents=True, exist_ok=True)
    log = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / f"{date:%Y%m%d}T120000-77-0.jsonl").write_text(log)


def extend(history: History, days: int, samples: int) -> None:
    """Copy the day after the learned ones until the history has so many days."""
    tables = [_Copied(table, FIRST + LEARNED * _DAY) for table in history.project.lake.tables]
    template = {subject: _csv(history, subject, samples, day=LEARNED) for subject in SUBJECTS}
    old = history.date(LEARNED).isoformat()
    while history.days < days:
        date = history.date(history.days)
        folder = history.project.settings.path("inbox") / date.isoformat()
        folder.mkdir(parents=True)
        hashes = {}
        for subject, content in template.items():
            path = folder / f"{subject}_watch.csv"
            path.write_bytes(content.replace(old.encode(), date.isoformat().encode()))
            hashes[subject] = file_sha256(path)
        oldest = history.date(days - history.project.settings.monitoring.keep_days)
        for table in tables:
            if table.name != "profiles" or date >= oldest:
                table.copy(date, hashes)
        history.days += 1
    for table in tables:
        table.close()
    _show(open_project(history.root))


class _Copied:
    """A table to which copies of one day are added, a commit each."""

    def __init__(self, table: Table, date: dt.date) -> None:
        self.name = table.name
        self._table = table
        self._date = date
        self._rows = table.read(partitions=[one for one in table.partitions() if one[0] == date])
        self._version = table.version()
        self._sums: list[str] = []
        self._stats: dict[str, dict[str, Any]] = {}
        if len(self._rows):
            for add in DeltaTable(str(table.path)).get_add_actions(flatten=False).to_struct_array().to_pylist():
                if add["partition"]["date"] == date:
                    self._stats[add["partition"]["subject"]] = add

    def copy(self, date: dt.date, hashes: dict[str, str]) -> None:
        """Commit the day under another date."""
        if self._rows.is_empty():
            return
        self._version += 1
        moved = self._moved(date, hashes)
        actions: list[dict[str, Any]] = [{"commitInfo": {"operation": "WRITE", "timestamp": 0}}]
        for (subject,), frame in moved.partition_by("subject", as_dict=True).items():
            actions.append(self._written(date, str(subject), frame.drop("date", "subject")))
        log = self._table.path / "_delta_log" / f"{self._version:020}.json"
        log.write_text("\n".join(json.dumps(action) for action in actions) + "\n")
        if self._version % _CHECKPOINT == 0:
            DeltaTable(str(self._table.path)).create_checkpoint()

    def close(self) -> None:
        """Note the checksums, and the newest commit as the table's own writer would."""
        path = self._table.path.parent / f".{self._table.name}.sums"
        with path.open("a") as stream:
            stream.writelines(self._sums)
        self._sums.clear()
        if self._rows.is_empty():
            return
        self._table._commits.add(self._version, [], whole=False)

    def _moved(self, date: dt.date, hashes: dict[str, str]) -> pl.DataFrame:
        by = date - self._date
        old, new = self._date.isoformat(), date.isoformat()
        moved = []
        for name, dtype in self._rows.schema.items():
            if name in _TIMES:
                moved.append(pl.col(name) + by)
            elif dtype == pl.String and name not in ("subject", "activity", "sha256", "content"):
                moved.append(pl.col(name).str.replace_all(old, new, literal=True))
        frame = self._rows.with_columns(*moved, pl.lit(date).alias("date"))
        digest = pl.col("subject").replace_strict(hashes, default="", return_dtype=pl.String)
        if "sha256" in frame.columns:
            return frame.with_columns(digest.alias("sha256"))
        if "content" in frame.columns:
            from har.lake._lake import _short

            contents = {subject: _short(one) for subject, one in hashes.items()}
            return frame.with_columns(pl.col("subject").replace_strict(contents, default="").alias("content"))
        return frame

    def _written(self, date: dt.date, subject: str, frame: pl.DataFrame) -> dict[str, Any]:
        """Write a subject's file and return the log's action."""
        buffer = io.BytesIO()
        frame.write_parquet(buffer, compression="snappy")
        content = buffer.getvalue()
        name = f"part-00000-{UUID(bytes=os.urandom(16))}-c000.snappy.parquet"
        path = f"date={date}/subject={subject}/{name}"
        file = self._table.path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        self._sums.append(f"{zlib.crc32(content):08x} {unquote(path)}\n")
        made_ms = self._stats[subject]["modification_time"]
        return {
            "add": {
                "path": path,
                "partitionValues": {"date": date.isoformat(), "subject": subject},
                "size": len(content),
                "modificationTime": made_ms,
                "dataChange": True,
                "stats": json.dumps(_statistics(frame)),
            }
        }


def _statistics(frame: pl.DataFrame) -> dict[str, Any]:
    """What the log says about a file, as delta-rs writes it."""
    ordered = [
        name for name, dtype in frame.schema.items() if dtype.is_numeric() or dtype.is_temporal() or dtype == pl.String
    ]
    flat = [name for name, dtype in frame.schema.items() if not dtype.is_nested() and dtype != pl.Binary]
    low, high = ({name: _plain(getattr(frame[name], edge)()) for name in ordered} for edge in ("min", "max"))
    return {
        "numRecords": len(frame),
        "minValues": {name: value for name, value in low.items() if value is not None},
        "maxValues": {name: value for name, value in high.items() if value is not None},
        "nullCount": {name: frame[name].null_count() for name in flat},
    }


def _plain(value: Any) -> Any:
    if isinstance(value, dt.datetime):
        return value.astimezone(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return value.isoformat() if isinstance(value, dt.date) else value


def _show(project: Project) -> None:
    """A page for each day, as of the day that was copied."""
    from har.jobs.summarise import _stamps

    folder = project.settings.path("reports") / "activity"
    template = {ending: (folder / f"{FIRST + LEARNED * _DAY}{ending}").read_bytes() for ending in (".html", ".parquet")}
    stamps = _stamps(project.lake)
    for date in outdated(project.lake, project.settings):
        for ending, content in template.items():
            (folder / f"{date}{ending}").write_bytes(content)
        os.utime(folder / f"{date}.html", ns=(stamps[date] * 1000, stamps[date] * 1000))


def _csv(history: History, subject: str, samples: int, day: int | None = None) -> bytes:
    """A recording of one subject and day, at 50 Hz: an activity's movement, the same every day."""
    settings = history.project.settings
    date = history.date(history.days if day is None else day)
    place = SUBJECTS.index(subject)
    names = settings.activities.all
    rng = np.random.default_rng([place, samples])
    time_s = np.arange(samples) / settings.sensors.rate_hz
    which = place % len(names)
    turn = 2 * np.pi * (0.4 + 0.3 * which) * time_s
    values = 0.3 * np.stack([np.sin(turn + phase) for phase in rng.uniform(0, 6, 6)], axis=1)
    values += rng.normal(0, 0.03, values.shape) + np.array([0, 0, 1, 0, 0, 0])
    start = dt.datetime.combine(date, dt.time(9))
    columns = dict(zip(settings.sensors.channels, values.round(5).T, strict=True))
    stamps = pl.Series("time", [start + dt.timedelta(milliseconds=20 * row) for row in range(samples)])
    frame = pl.DataFrame({"time": stamps.dt.to_string("iso:strict"), **columns, "activity": names[which]})
    return frame.write_csv().encode()


def _prediction(name: str, subject: str, at_us: int, version: int, features: int) -> dict[str, Any]:
    import base64

    values = np.linspace(0, 1, 2 * features, dtype="<f4")
    return {
        "kind": "prediction",
        "request_id": name,
        "received_us": at_us,
        "subject": subject,
        "session": "online",
        "start_us": at_us,
        "stride_us": 2_000_000,
        "length_us": 4_000_000,
        "model_version": version,
        "fallback": None,
        "ms": 0.25,
        "activity": ["PEN", "ROW"],
        "confidence": [0.75, 0.5],
        "abstained": [False, False],
        "features": base64.b64encode(values.tobytes()).decode(),
        "unknown": [False, False],
    }


def _feedback(name: str, at_us: int) -> dict[str, Any]:
    return {
        "kind": "feedback",
        "feedback_id": f"f-{name}",
        "received_us": at_us,
        "activity": "PEN",
        "request_id": name,
        "subject": None,
        "start_us": None,
        "end_us": None,
        "source": "127.0.0.1",
    }
