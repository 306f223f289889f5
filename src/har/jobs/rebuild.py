"""Fill the hot store from the lake: after it was lost, was moved to another server, or was damaged."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from har.errors import StateError
from har.lake import Lake
from har.predictions import activity_minutes, counted_once
from har.project import Project
from har.schema import STREAMED, Partition
from har.streaming.baselines import newest
from har.streaming.state import Answer, DeviceHealth, HotStore, SubjectState, open_hot

_CHUNK = 50
"""Subjects in one write, so that a consumer does not wait for long."""


@dataclass(frozen=True)
class RebuildReport:
    """What the hot store got; `newer`: subjects whose state in it was newer, and stays."""

    subjects: int
    answers: int
    baselines: int
    newer: int = 0


def rebuild(project: Project, *, clear: bool = False, now: dt.datetime | None = None) -> RebuildReport:
    """Write the subjects of the last `stream.hot.keep_h` into the hot store: state, answers, devices and baselines.

    A consumer may run meanwhile: a state that is newer than the lake's stays. What only the consumer knows, such as
    counts of late messages and the error of a device's clock, begins anew, and is right again with its next write.

    Args:
        project: its lake.
        clear: empty the store first. A damaged file is emptied anyway.
        now: the present.

    Raises:
        StateError: the hot store is away.
    """
    settings, lake = project.settings, project.lake
    now = now or dt.datetime.now(dt.UTC)
    hot = open_hot(settings)
    try:
        present = {} if clear else _present(hot)
        if clear:
            hot.clear()
        since = now - dt.timedelta(hours=settings.stream.hot.keep_h)
        received = _received(lake, since)
        subjects = answered = newer = 0
        for names in _chunks(list(received)):
            states, answers = [], {}
            found = _predictions(lake, {(row["date"], name) for name in names for row in received[name]})
            for (name,), predictions in found.partition_by("subject", as_dict=True, maintain_order=True).items():
                state = _state(name, received[name], predictions)
                if name in present and present[name].seen_us >= state.seen_us:
                    newer += 1
                    state = present[name]
                states.append(state)
                answers[name] = [_answer(row) for row in predictions.iter_rows(named=True)]
            hot.write(states, answers)
            subjects += len(states)
            answered += len(found)
        baselines = newest(lake, now.astimezone(settings.project.zone).date())
        if baselines:
            hot.write_baselines(baselines)
    finally:
        hot.close()
    return RebuildReport(subjects, answered, len(baselines), newer)


def _present(hot: HotStore) -> dict[str, SubjectState]:
    try:
        return {state.subject: state for state in hot.subjects()}
    except StateError:
        hot.clear()  # damaged; or away, which this says as well
        return {}


def _chunks(names: Sequence[str]) -> Iterator[Sequence[str]]:
    for first in range(0, len(names), _CHUNK):
        yield names[first : first + _CHUNK]


def _received(lake: Lake, since: dt.datetime) -> dict[str, list[dict[str, Any]]]:
    """The rows of `recordings` that came lately, by subject."""
    columns = ["date", "subject", "session", "device", "placement", "ingested_at", "measured_rate_hz", "gaps"]
    rows = lake.recordings.read(columns=columns).filter(pl.col("ingested_at") >= since)
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows.sort("subject", "ingested_at").iter_rows(named=True):
        found.setdefault(row["subject"], []).append(row)
    return found


def _predictions(lake: Lake, partitions: Iterable[Partition]) -> pl.DataFrame:
    """What the stream answered on these days, in order of time; online answers to others than devices are left out."""
    found = lake.predictions.read(partitions=partitions)
    return found.filter(pl.col("request_id").str.starts_with(STREAMED)).sort("subject", "start")


def _state(subject: str, sessions: Sequence[Mapping[str, Any]], predictions: pl.DataFrame) -> SubjectState:
    last = predictions.row(-1, named=True)
    today = predictions.filter(pl.col("date") == last["date"])
    minutes = activity_minutes(counted_once(today)).select("activity", "minutes").iter_rows()
    devices = {
        row["device"] or "": DeviceHealth(
            device=row["device"] or "",
            placement=row["placement"] or "",
            seen_us=_us(row["ingested_at"]),
            clock_skew_s=0.0,
            rate_hz=row["measured_rate_hz"] or 0.0,
        )
        for row in sessions
    }
    return SubjectState(
        subject=subject,
        answer=_answer(last),
        seen_us=_us(sessions[-1]["ingested_at"]),
        date=last["date"].isoformat(),
        minutes=dict(minutes),
        windows=len(today),
        devices=tuple(devices.values()),
    )


def _answer(row: Mapping[str, Any]) -> Answer:
    return Answer(
        start_us=_us(row["start"]),
        end_us=_us(row["end"]),
        activity=row["activity"],
        confidence=row["confidence"],
        abstained=row["abstained"],
        model_version=row["model_version"],
        smoothed=row.get("smoothed") or "",
        unknown=bool(row.get("unknown")),
    )


def _us(time: dt.datetime) -> int:
    return round(time.timestamp() * 1e6)
