"""Feedback of the online service for a person to review: what it would label, what speaks against it; the verdict."""

from __future__ import annotations

from typing import Literal

import polars as pl

from har.dataset import is_unreviewed, matched_windows
from har.errors import LabelError
from har.lake import Lake
from har.monitoring.decisions import confident_answers
from har.registry import whoami
from har.schema import ACCEPTED, IMPORTED_ID, TIME
from har.settings import Settings


def unreviewed(lake: Lake) -> int:
    """How many feedbacks nobody has accepted or rejected."""
    return int(lake.labels.scan().filter(is_unreviewed()).select(pl.len()).collect().item())


def reviewable_feedback(lake: Lake, settings: Settings) -> pl.DataFrame:
    """Feedback by source and subject, the newest last; what it would label, and what speaks against it.

    Returns:
        source, subject, review (accepted, rejected or null), rows, first and last (UTC), activities; `waiting`, rows
        whose windows are not in the lake yet; `windows` that it is about; `conflicts`, windows that a file or a person
        labels otherwise, which unreviewed feedback leaves as they are; `sure`, windows that a model was sure of, and
        `denied`, those of them to which the feedback gives another activity.
    """
    rows = lake.labels.read().filter(~pl.col("feedback_id").str.starts_with(IMPORTED_ID))
    found = []
    keys = ["source", "subject", "review"]
    for (source, subject, review), group in rows.sort("received_at", "feedback_id").group_by(keys, maintain_order=True):
        windows = matched_windows(lake, settings, group.drop_nulls(["start", "end", "subject"]))
        sure = confident_answers(lake, windows)
        found.append(
            {
                "source": source,
                "subject": subject,
                "review": review,
                "rows": len(group),
                "first": group["start"].min(),
                "last": group["end"].max(),
                "activities": ", ".join(sorted(group["activity"].unique())),
                "waiting": group["start"].null_count(),
                "windows": len(windows),
                "conflicts": windows.filter(pl.col("before") != pl.col("activity")).height,
                "sure": len(sure),
                "denied": sure.filter(pl.col("answer") != pl.col("activity")).height,
            }
        )
    schema = dict.fromkeys(("source", "subject", "review", "activities"), pl.String()) | dict.fromkeys(
        ("rows", "waiting", "windows", "conflicts", "sure", "denied"), pl.Int64()
    )
    return pl.DataFrame(found, {**schema, "first": TIME, "last": TIME})


def review_feedback(
    lake: Lake, which: str, review: Literal["accepted", "rejected"], *, who: str | None = None
) -> tuple[int, int]:
    """Accept feedback, which then counts like an imported label, or reject it.

    Args:
        lake: to write to.
        which: "all", "subject=NAME", "source=NAME" or the id of one feedback. "all" leaves what was reviewed before.
        review: the person's word.
        who: the person; None: whoever runs this.

    Returns:
        How many rows were reviewed, and how many cannot be accepted yet, because they wait for their windows.

    Raises:
        LabelError: there is no such feedback.
    """
    field, _, name = which.partition("=")
    meant = {
        "all": is_unreviewed(),
        "subject": pl.col("subject") == name,
        "source": pl.col("source").fill_null("") == name,
    }.get(field, pl.col("feedback_id") == which)

    def write() -> tuple[int, int]:
        rows = lake.labels.read().filter(~pl.col("feedback_id").str.starts_with(IMPORTED_ID) & meant)
        if rows.is_empty():
            raise LabelError(
                where=f"har labels --{'accept' if review == ACCEPTED else 'reject'}",
                expected="all, subject=NAME, source=NAME or the id of a feedback",
                got=f"{which!r}, of which there is none",
                remedy="`har labels --feedback` lists what there is.",
            )
        ready = rows.filter(pl.col("start").is_not_null()) if review == ACCEPTED else rows
        changed = ready.with_columns(
            pl.lit(review).alias("review"), pl.lit(who or whoami()).alias("reviewed_by")
        ).select(lake.labels.schema.names())
        partitions = changed.select("date", "subject").unique().rows()
        if partitions:
            others = lake.labels.read(partitions=partitions).join(changed, on="feedback_id", how="anti")
            lake.labels.replace(pl.concat([others, changed]), partitions)
        return len(ready), len(rows) - len(ready)

    return lake.labels.step(write, whole=True)
