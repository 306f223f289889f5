"""Bring the answers of the page `/label` into the table `labels`, each exactly once, and what was taken back out of it.

An answer with a token is a person's word, as an imported label is; one without is a hint that `har labels --accept`
can make one. Where people disagree about a window, what more than half of them say counts, and otherwise nothing does.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from har.labelling import PAGE_ID, REVIEWER, UNSURE, UNUSABLE, Answer, Settled, Store, store_path, verdict_of
from har.lake import Lake
from har.log_lines import is_authenticated
from har.schema import ACCEPTED, REJECTED
from har.settings import Settings

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


@dataclass(frozen=True)
class Collected:
    """What came of the answers.

    Attributes:
        new: rows that the table did not have.
        changed: rows that count for something else now: taken back, in dispute, or settled by a majority.
    """

    new: int = 0
    changed: int = 0


def collect_answers(lake: Lake, settings: Settings) -> Collected:
    """Let the table `labels` say what the answers say now; after a run that was killed, the next one does the rest.

    Args:
        lake: `labels` is written.
        settings: the answers are beside the prediction log, in `paths.journal`.

    Raises:
        LakeError: the table cannot be written; the answers stay uncollected.
        StorageError: the answers cannot be read.
    """
    store = Store(store_path(settings.path("journal")))
    settled = store.uncollected()
    if not settled:
        return Collected()
    wanted = [row for one in settled for row in rows_of(one)]
    rows = pl.DataFrame(wanted, lake.labels.schema, orient="row")
    done = lake.labels.step(lambda: _bring(lake, rows), whole=True)
    store.mark_collected(settled)
    return done


def rows_of(settled: Settled) -> list[dict[str, Any]]:
    """The rows of `labels` that a task's answers make; whoever was unsure, or found it unusable, makes none."""
    counting = [answer for answer in settled.answers if answer.undone_us is None and answer.verdict != UNSURE]
    with_token = [answer for answer in counting if is_authenticated(answer.source)]
    # Whoever has no token cannot put in doubt what somebody with one says.
    voters = with_token or counting
    said = verdict_of([answer.activity or UNUSABLE for answer in voters])
    return [_row(settled, answer, said, voters) for answer in settled.answers if answer.activity is not None]


def _row(settled: Settled, answer: Answer, said: str | None, voters: Sequence[Answer]) -> dict[str, Any]:
    assert answer.start_us is not None  # noqa: S101  as of every label
    assert answer.end_us is not None  # noqa: S101
    start, end, received = (
        _EPOCH + dt.timedelta(microseconds=time_us) for time_us in (answer.start_us, answer.end_us, answer.answered_us)
    )
    review, who = _review(answer, said, voters)
    return {
        "date": start.date(),
        "subject": settled.subject,
        "start": start,
        "end": end,
        "activity": answer.activity,
        "request_id": None,
        "feedback_id": f"{PAGE_ID}{answer.answer}",
        "received_at": received,
        "claimed_start": start,
        "claimed_end": end,
        "source": answer.source,
        "batch": None,
        "review": review,
        "reviewed_by": None if who is None else f"{REVIEWER}{who}",
    }


def _review(answer: Answer, said: str | None, voters: Sequence[Answer]) -> tuple[str | None, str | None]:
    if answer.undone_us is not None:
        return REJECTED, f"taken back by {answer.labeller}"
    if said is None:
        return REJECTED, f"{len(voters)} people disagree"
    if answer.activity != said:
        return REJECTED, f"most of {len(voters)} people say {said}"
    return (ACCEPTED, answer.labeller) if is_authenticated(answer.source) else (None, None)


def _bring(lake: Lake, wanted: pl.DataFrame) -> Collected:
    partitions = wanted.select("date", "subject").unique().rows()
    table = lake.labels.read(partitions=partitions)
    before = table.join(wanted.select("feedback_id"), on="feedback_id", how="semi")
    known = wanted.join(
        before.select("feedback_id", had=pl.col("review"), by=pl.col("reviewed_by")), on="feedback_id", how="inner"
    )
    taken_back = pl.col("reviewed_by").str.starts_with(f"{REVIEWER}taken back").fill_null(False)
    # What a person reviewed by `har labels` stays as that person left it, unless the labeller takes it back.
    own = pl.col("by").is_null() | pl.col("by").str.starts_with(REVIEWER)
    differs = pl.col("had").ne_missing(pl.col("review")) | pl.col("by").ne_missing(pl.col("reviewed_by"))
    changed = known.filter(differs & (own | (taken_back & (pl.col("had") != REJECTED)))).select(wanted.columns)
    # What was taken back before the lake saw it never was a label.
    new = wanted.join(before, on="feedback_id", how="anti").filter(~taken_back)
    written = pl.concat([new, changed])
    if len(written):
        touched = written.select("date", "subject").unique().rows()
        others = table.join(written, on="feedback_id", how="anti")
        others = others.join(written.select("date", "subject").unique(), on=["date", "subject"], how="semi")
        lake.labels.replace(pl.concat([others, written]), touched)
    return Collected(len(new), len(changed))
