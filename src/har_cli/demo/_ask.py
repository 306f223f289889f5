"""Send single windows of held-out subjects to the packaged champion over HTTP."""

from __future__ import annotations

import time
from dataclasses import dataclass

import httpx
import polars as pl

from har.cutting import matrix
from har.project import Project

WINDOWS = 12
_PER_SUBJECT = 4


@dataclass(frozen=True)
class Answer:
    """One window: its label and the service's answer.

    Attributes:
        subject: who wore the sensor.
        session: the recording's session.
        truth: the recording's label.
        activity: the service's answer.
        confidence: the probability of that activity.
        abstained: whether the confidence is too low to use the answer.
        ms: latency measured by the client.
    """

    subject: str
    session: str
    truth: str
    activity: str
    confidence: float
    abstained: bool
    ms: float


def ask(project: Project, address: str, subjects: list[str]) -> list[Answer]:
    """Send the middle window of some labelled recordings of these subjects, one by one.

    The request ids are a function of the recordings, so that `har collect` ignores the requests of a second run.
    """
    length = project.settings.length
    answers = []
    with httpx.Client(base_url=address, timeout=30, trust_env=False) as client:
        client.get("/model").raise_for_status()  # opens the connection, which does not count as latency
        for subject, session, frame in _recordings(project, subjects):
            window = frame.slice((len(frame) - length) // 2, length)
            body = {
                "windows": [matrix(window, project.lake.channels).tolist()],
                "subject": subject,
                "session": session,
                "start": window["time"][0].isoformat(),
            }
            name = f"demo-{window['time'][0]:%Y%m%d}-{subject}-{session}"[:64]
            began = time.perf_counter()
            response = client.post("/predict", json=body, headers={"X-Request-ID": name})
            ms = 1000 * (time.perf_counter() - began)
            (found,) = response.raise_for_status().json()["predictions"]
            truth = window["activity"][0]
            answers.append(
                Answer(subject, session, truth, found["activity"], found["confidence"], found["abstained"], ms)
            )
    return answers


def _recordings(project: Project, subjects: list[str]) -> list[tuple[str, str, pl.DataFrame]]:
    """Recordings of one activity without a gap, a few per subject, spread over activities and placements."""
    chosen: list[tuple[str, str, pl.DataFrame]] = []
    samples = project.lake.samples
    columns = ["session", "segment", "time", "activity", *project.lake.channels]
    for subject in subjects:
        partitions = [part for part in samples.partitions() if part[1] == subject]
        found = []
        for _, frame in samples.each(samples.version(), partitions, columns):
            for (session,), recording in frame.sort("time").group_by("session", maintain_order=True):
                one = recording.select(pl.col("segment", "activity").n_unique()).row(0) == (1, 1)
                if one and len(recording) >= project.settings.length and recording["activity"][0] is not None:
                    found.append((subject, str(session), recording))
        few = min(_PER_SUBJECT, len(found))
        # The next subject continues where this one's selection ended, so that activities vary.
        chosen += [found[(len(chosen) + number * len(found) // few) % len(found)] for number in range(few)]
    return chosen[:WINDOWS]
