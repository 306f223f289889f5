"""A project with a long history: twenty subjects who were recorded, scored and monitored every day.

One day is real: recorded, scored, profiled and judged by the jobs. The others are that day under other dates: five are
written through the tables, the older ones by `copy_day`. Each subject-day has a file of its own in every table, as
nightly runs leave them. Two things differ from a real history: former days' samples are cut to a second, and profiles
are written only as long as `monitoring.keep_days` keeps them.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import os
import re
from functools import cached_property
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import polars as pl

from har.files import write_atomically
from har.jobs.monitor import monitor
from har.jobs.score import score
from har.jobs.train import train
from har.lake import Lake
from har.monitoring import DecisionLog, DriftReports, MonitoredDays, Profiles
from har.monitoring.decisions import Decision
from har.monitoring.drift import DayReport
from har.pages import write_pages
from har.project import Project, open_project
from har.schema import EVERYONE
from har.settings import FILE_NAME
from tests.bench._lake import DAYS, SUBJECTS, generate
from tests.bench._server import ROOT
from tests.bench.scale._copies import copy_day

TRAINED = 3
"""Days that the champion is trained on, before `FIRST`."""
FIRST = dt.date(2021, 3, 1)
"""The first monitored day."""
_SAMPLES = DAYS * SUBJECTS * 6000
"""Two minutes per subject-day: 59 windows."""
_KEPT = 60
"""Samples of a subject-day of the history."""
_AT_ONCE = 50
"""Days of reports and decisions in one commit."""
_ALONE = 5
"""The newest days have a commit each."""
_LABELLED = 7
"""Every so many days a person labels a few seconds of one subject."""
_SOURCE = dt.date(2024, 1, 1)


class History:
    """A project whose history grows.

    Attributes:
        project: opened.
        days: monitored days so far; the first one is `FIRST`.

    Args:
        folder: gets the project.
    """

    def __init__(self, folder: Path) -> None:
        root = folder / "project"
        root.mkdir(parents=True)
        (root / FILE_NAME).write_bytes((ROOT / FILE_NAME).read_bytes())
        os.environ |= {"HAR_ROOT": str(root), "HAR_TRAINING__EPOCHS": "2", "HAR_SNAPSHOTS__BEFORE_TRAINING": "false"}
        self.project: Project = open_project(root)
        self._recorded = Lake(folder / "recorded", self.project.settings.sensors.channels)
        generate(self._recorded, self.project.settings, _SAMPLES)
        self.days = 0
        lake = self.project.lake
        for number in range(TRAINED):
            date = FIRST - dt.timedelta(days=TRAINED - number)
            for name in ("samples", "recordings"):
                getattr(lake, name).replace(self._real(name, number, date), _partitions(date))
        train(self.project)
        self.add_day()
        score(self.project)
        monitor(self.project)
        self.days = 1
        for name in ("samples", "recordings"):
            getattr(lake, name).replace(self._rows[name], _partitions(FIRST))

    @cached_property
    def _rows(self) -> dict[str, pl.DataFrame]:
        """What the jobs wrote for the first day, by table."""
        lake = self.project.lake
        tables = {name: getattr(lake, name) for name in ("samples", "recordings", "predictions", "scores", "profiles")}
        rows = {name: table.read(partitions=_partitions(FIRST)) for name, table in tables.items()}
        short = rows["samples"].group_by("subject", maintain_order=True).head(_KEPT).select(rows["samples"].columns)
        return rows | {"samples": short, "recordings": rows["recordings"].with_columns(samples=pl.lit(_KEPT, pl.Int64))}

    @cached_property
    def _real_report(self) -> DayReport:
        (report,) = DriftReports(self.project.lake).of([FIRST])
        return report

    @property
    def newest(self) -> dt.date:
        """The newest monitored day."""
        return FIRST + dt.timedelta(days=self.days - 1)

    def add_day(self) -> dt.date:
        """Record the day after the newest, without labels; it is neither scored nor monitored yet."""
        date = self.newest + dt.timedelta(days=1)
        for name in ("samples", "recordings"):
            getattr(self.project.lake, name).replace(self._real(name, TRAINED, date), _partitions(date))
        return date

    def add_scored_day(self) -> dt.date:
        """Record and score the day after the newest, as far as monitoring sees."""
        date = self.add_day()
        for name in ("predictions", "scores", "profiles"):
            getattr(self.project.lake, name).replace(_dated(self._rows[name], date), _partitions(date))
        return date

    def extend(self, days: int) -> None:
        """Let the history have so many monitored days; nothing is synced to disk: no crash has to be survived."""
        with mock.patch("os.fsync"):
            self._extend(days)

    def _extend(self, days: int) -> None:
        lake = self.project.lake
        dates = [FIRST + dt.timedelta(days=number) for number in range(self.days, days)]
        oldest = FIRST + dt.timedelta(days=days - self.project.settings.monitoring.keep_days)
        for name in self._rows:
            kept = [date for date in dates[:-_ALONE] if name != "profiles" or date >= oldest]
            table = getattr(lake, name)
            copy_day(table, max(FIRST, table.partitions()[0][0]), kept)
        for date in dates[-_ALONE:]:
            for name, rows in self._rows.items():
                getattr(lake, name).replace(_dated(rows, date), _partitions(date))
        for block in _blocks(dates):
            reports = [self._report(date) for date in block]
            places = [(date, EVERYONE) for date in block]
            lake.drift.replace(pl.concat([one for one, _ in reports]), places)
            lake.decisions.replace(pl.concat([one for _, one in reports]), places)
            labels = [self._label(date) for date in block if not date.toordinal() % _LABELLED]
            if labels:
                frame = pl.concat(labels)
                lake.labels.replace(frame, frame.select("date", "subject").rows())
        Profiles(lake).remove_old(self.project.settings.monitoring.keep_days)
        self.days = days
        self._write_pages()

    def _report(self, date: dt.date) -> tuple[pl.DataFrame, pl.DataFrame]:
        """The day's rows in `drift` and `decisions`: one day in thirty alarms."""
        lake = self.project.lake
        random = np.random.default_rng(date.toordinal())
        alarmed = bool(random.random() < 1 / 30)
        real = self._real_report
        report = dataclasses.replace(
            real,
            date=date,
            score=float(random.uniform(1, 2) if alarmed else random.uniform(0, 1)),
            alarmed=alarmed,
            judged=True,
            features=tuple(
                dataclasses.replace(one, score=float(random.uniform())) for one in self._real_report.features
            ),
        )
        made = dt.datetime.combine(date, dt.time(23), dt.UTC)
        row = {
            "date": date,
            "subject": EVERYONE,
            "model_version": report.model_version,
            "score": report.score,
            "alarmed": alarmed,
            "confirmed": False,
            "since": None,
            "report": report.to_json(),
            "made_at": dt.datetime.now(dt.UTC),
            "judged": report.judged,
        }
        action: Any = "watch" if alarmed else "nothing"
        decision = Decision(date=date, action=action, reasons=(report.verdict,), event="", payload={})
        decided = {
            "date": date,
            "subject": EVERYONE,
            "decision_id": decision.id,
            "action": action,
            "reasons": list(decision.reasons),
            "event": "",
            "payload": "{}",
            "model_version": report.model_version,
            "decided_at": made,
            "emitted_at": None,
            "handled_at": None,
            "attempts": 0,
            "outcome": "",
        }
        return pl.DataFrame([row], lake.drift.schema), pl.DataFrame([decided], lake.decisions.schema)

    def _label(self, date: dt.date) -> pl.DataFrame:
        subject = f"s{date.toordinal() % SUBJECTS:02d}"
        start = dt.datetime.combine(date, dt.time(8), dt.UTC)
        row = {
            "date": date,
            "subject": subject,
            "start": start,
            "end": start + dt.timedelta(seconds=20),
            "activity": self.project.settings.activities.all[0],
            "feedback_id": f"table-{date}",
            "received_at": start,
            "review": "imported",
        }
        return pl.DataFrame([row], self.project.lake.labels.schema)

    def _write_pages(self) -> None:
        """Pages and JSON of the days, as the job would have written them: copies of the first one under their ids."""
        from har.pages._day import content_id

        folder = self.project.settings.path("reports") / "drift"
        page, data = ((folder / f"{FIRST}.{kind}").read_text() for kind in ("html", "json"))
        reports = DriftReports(self.project.lake).of()
        decided = {row.date: [row] for row in DecisionLog(self.project.lake).rows()}
        dates = [report.date for report in reports]
        title = self.project.settings.project.name
        neighbours = zip(reports, [None, *dates], [*dates[1:], None], strict=False)
        for report, previous, following in neighbours:
            if report.date == FIRST:
                continue
            mark = content_id(report, decided[report.date], title=title, previous=previous, following=following)
            text = re.sub(r'(<meta name="har-content" content=")[0-9a-f]+', rf"\g<1>{mark}", page, count=1)
            write_atomically(folder / f"{report.date}.html", text.replace(str(FIRST), str(report.date)))
            write_atomically(folder / f"{report.date}.json", data.replace(str(FIRST), str(report.date)))
        write_pages(folder.parent, MonitoredDays(self.project.lake), self.project.registry.log(), title=title)

    def _real(self, name: str, number: int, date: dt.date) -> pl.DataFrame:
        """A generated day under another date; with its labels only if the champion learns from it."""
        rows = getattr(self._recorded, name).read(
            partitions=[(_SOURCE + dt.timedelta(days=number), subject) for _, subject in _partitions(date)]
        )
        if date >= FIRST:
            hidden = {
                "samples": pl.lit(None, pl.String).alias("activity"),
                "recordings": pl.lit(6000).alias("unlabelled"),
            }
            rows = rows.with_columns(hidden[name])
        return _dated(rows, date)


def _partitions(date: dt.date) -> list[tuple[dt.date, str]]:
    return [(date, f"s{number:02d}") for number in range(SUBJECTS)]


def _dated(rows: pl.DataFrame, date: dt.date) -> pl.DataFrame:
    """Rows of one day under another date: times move with it."""
    shift = pl.duration(days=(date - rows["date"][0]).days)
    moved = [name for name in ("time", "start", "end") if name in rows.columns]
    own = [pl.format("{}{}", pl.lit(str(date)), "subject").alias("sha256")] if "sha256" in rows.columns else []
    return rows.with_columns(pl.lit(date).alias("date"), *((pl.col(name) + shift).alias(name) for name in moved), *own)


def _blocks(dates: list[dt.date]) -> list[list[dt.date]]:
    old, new = dates[:-_ALONE], dates[-_ALONE:]
    return [old[first : first + _AT_ONCE] for first in range(0, len(old), _AT_ONCE)] + [[date] for date in new]
