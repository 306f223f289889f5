"""Labels from people: import a file, take it back, and list the windows that labels are wanted for.

The CSV has the columns subject, start, end and activity. `har labels --out` writes one with the windows whose labels
would help most; a log of exercises or a diary can be another source.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from har.dataset import matched_windows
from har.errors import LabelError
from har.files import write_atomically
from har.jobs._label_checks import overlapping, require_recordings
from har.jobs._label_studio import read_label_studio
from har.jobs._label_table import COLUMNS, JSON, TABLE, read_labels
from har.lake import Lake
from har.monitoring.decisions import RELEASE, open_training
from har.project import Project
from har.registry import whoami
from har.schema import IMPORTED, IMPORTED_ID

__all__ = [
    "COLUMNS",
    "TABLE",
    "Import",
    "add_labels",
    "batches",
    "import_labels",
    "read_labels",
    "requested_labels",
    "undo_batch",
    "why_none_are_requested",
    "without_subject",
]

_TIME = pl.Datetime("us", "UTC")
_LISTED = 8
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")
_EARLIER = "before-"
"""Prefix of the batches that releases without the column `batch` imported: each import had one time of receipt."""


@dataclass(frozen=True)
class Import:
    """What a table of labels says, and what came of it.

    Attributes:
        batch: its name, by which it can be taken back; "": nothing was imported.
        rows: labels in the table.
        new: those of them that the lake does not have.
        recordings: date, subject, session, `windows` that get a label, and `replaced`, how many of these have another
            one so far.
        overlapping: rows that overlap a later one about the same subject with another activity; the later one counts.
        outside: the lines of labels within which nothing was recorded.
    """

    batch: str
    rows: int
    new: int
    recordings: pl.DataFrame
    overlapping: int
    outside: tuple[int, ...]


def import_labels(project: Project, path: Path, *, dry_run: bool = False) -> Import:
    """Import labels from a CSV or an export of Label Studio, all of them or none.

    Args:
        project: its lake has the recordings that the labels are about.
        path: see `read_labels`; or, if it ends with .json, `read_label_studio`.
        dry_run: only say what the labels match.

    The file itself is kept in `paths.labels`, under the name of the batch: it is raw data, as recordings are.

    Raises:
        LabelError: see `read_labels` and `read_label_studio`; or a subject is not in the lake, or none of its labels is
            within a recording.
        StorageError: the file cannot be kept; nothing was imported.
    """
    settings, lake = project.settings, project.lake
    is_json = path.suffix.lower() == JSON
    labels = read_label_studio(path, settings) if is_json else read_labels(path, settings)
    outside = require_recordings(lake, labels, path)
    windows = matched_windows(lake, settings, labels)
    new = len(_rows(lake, labels).join(_known_ids(lake), on="feedback_id", how="anti"))
    batch = "" if dry_run or not new else f"{dt.datetime.now(dt.UTC):%Y%m%dT%H%M%S}-{_digest(labels.write_csv())[:4]}"
    if batch:
        _keep(
            path,
            labels,
            settings.path("labels") / f"{batch}_{_UNSAFE.sub('_', path.stem)[:80]}{JSON if is_json else '.csv'}",
        )
        new = add_labels(lake, labels, source=f"{whoami()}: {path.name}", batch=batch)
    replaced = (pl.col("before") != pl.col("activity")).fill_null(False).sum().cast(pl.Int64).alias("replaced")
    return Import(
        batch=batch,
        rows=len(labels),
        new=new,
        recordings=windows.group_by("date", "subject", "session", maintain_order=True).agg(
            pl.len().cast(pl.Int64).alias("windows"), replaced
        ),
        overlapping=overlapping(labels),
        outside=outside,
    )


def add_labels(lake: Lake, labels: pl.DataFrame, *, source: str = "", batch: str = "") -> int:
    """Add a person's labels to `lake.labels`; a label that is there already is not added again.

    Args:
        lake: to write to.
        labels: subject, start, end (UTC) and activity; of those that overlap, the last one counts.
        source: where they are from; "": this person.
        batch: by which they can be taken back; "": a name of their own.

    Returns:
        How many are new.
    """
    rows = _rows(lake, labels, source=source or whoami(), batch=batch)
    return lake.labels.add(rows, ["feedback_id"])


def batches(lake: Lake) -> pl.DataFrame:
    """The imports, oldest first: batch, received_at, source, labels, subjects, first and last (UTC)."""
    rows = lake.labels.read().filter(pl.col("feedback_id").str.starts_with(IMPORTED_ID)).with_columns(_batch())
    return (
        rows.group_by("batch")
        .agg(
            pl.col("received_at").min(),
            pl.col("source").first().fill_null("an earlier release"),
            pl.len().alias("labels"),
            pl.col("subject").replace("", None).fill_null("(none)").unique().sort().str.join(", ").alias("subjects"),
            pl.col("start").min().alias("first"),
            pl.col("end").max().alias("last"),
        )
        .sort("received_at", "batch")
    )


def without_subject(lake: Lake) -> list[str]:
    """Batches of labels that name no subject, which earlier releases let in; `undo_batch` takes them out."""
    if all(subject for _, subject in lake.labels.partitions()):
        return []
    rows = lake.labels.read().filter(pl.col("subject").fill_null("") == "").with_columns(_batch())
    return rows["batch"].unique().sort().to_list()


def undo_batch(lake: Lake, batch: str) -> int:
    """Take a batch of imported labels back; returns how many there were.

    Args:
        lake: to write to.
        batch: its name, or the beginning of it.

    Raises:
        LabelError: no batch or more than one begins so.
    """
    known = batches(lake)["batch"].to_list()
    meant = [name for name in known if name == batch] or [name for name in known if batch and name.startswith(batch)]
    if len(meant) != 1:
        raise LabelError(
            where="har labels --undo",
            expected=f"a batch of labels ({', '.join(known[-_LISTED:]) or 'there is none'})",
            got=f"{batch!r}, which {len(meant)} of them begin with" if meant else repr(batch),
            remedy="`har labels --batches` lists them.",
        )

    def take_out() -> int:
        chosen = lake.labels.read().with_columns(_batch()).filter(pl.col("batch") == meant[0])
        gone = chosen.filter(pl.col("feedback_id").str.starts_with(IMPORTED_ID))
        partitions = gone.select("date", "subject").unique().rows()
        others = lake.labels.read(partitions=partitions).join(gone, on="feedback_id", how="anti")
        # What else has no subject cannot be used, and no table takes it any more.
        lake.labels.replace(others.filter(pl.col("subject").fill_null("") != ""), partitions)
        return len(gone)

    return lake.labels.step(take_out, whole=True)


def requested_labels(lake: Lake) -> pl.DataFrame:
    """The windows of the last label request, most helpful first; the column activity is empty.

    `believed` and `confidence` are the model's answer; `session` and `date` help to find the recording.
    """
    asked = lake.label_requests.read()
    if asked.is_empty():
        return asked.select(COLUMNS)
    newest = asked.filter(pl.col("asked_at") == pl.col("asked_at").max())
    return newest.sort("rank").select(
        "subject",
        "start",
        "end",
        pl.lit("").alias("activity"),
        pl.col("activity").alias("believed"),
        "confidence",
        "session",
        "date",
        "reason",
    )


def why_none_are_requested(lake: Lake) -> str:
    """The reason why `requested_labels` is empty, in a sentence that says what to do."""
    if not lake.scores.partitions():
        return "No labels are wanted: nothing was scored yet. Score the recordings: har score."
    rows = lake.decisions.read().filter(pl.col("action") != RELEASE).sort("date", "decided_at")
    if rows.is_empty():
        return "No labels are wanted: no day was monitored yet. Judge the scored days: har monitor."
    waits = open_training(rows.filter(pl.col("action") == "retrain"))
    newest = rows.row(-1, named=True)
    said = f"No labels were requested up to {newest['date']}, whose decision was: {newest['action']}."
    return f"{said} {waits.sentence}" if waits else said


def _rows(lake: Lake, labels: pl.DataFrame, *, source: str = "", batch: str = "") -> pl.DataFrame:
    """Labels as rows of the table; each is received a microsecond after the one before, so that the last one counts."""
    now = dt.datetime.now(dt.UTC)
    return labels.select(
        pl.col("start").dt.date().alias("date"),
        *COLUMNS,
        pl.lit(None, pl.String).alias("request_id"),
        pl.struct(COLUMNS).map_elements(_label_id, return_dtype=pl.String).alias("feedback_id"),
        (pl.lit(now, _TIME) + pl.duration(microseconds=pl.int_range(pl.len()))).alias("received_at"),
        *(pl.lit(None, _TIME).alias(name) for name in ("claimed_start", "claimed_end")),
        pl.lit(source).alias("source"),
        pl.lit(batch or f"{now:%Y%m%dT%H%M%S}-{_digest(str(now.timestamp()))[:4]}").alias("batch"),
        pl.lit(IMPORTED).alias("review"),
        pl.lit(whoami()).alias("reviewed_by"),
    ).select(lake.labels.schema.names())


def _keep(path: Path, labels: pl.DataFrame, target: Path) -> None:
    """Keep the file, before its rows are added: a file without rows is harmless, as the table decides what counts."""
    # What came through a pipe cannot be read a second time.
    write_atomically(target, path.read_bytes() if path.is_file() else labels.write_csv())


def _known_ids(lake: Lake) -> pl.DataFrame:
    return lake.labels.read(columns=["feedback_id"])


def _batch() -> pl.Expr:
    """The batch of an imported label; those of earlier releases are told apart by when they were received."""
    earlier = pl.format("{}{}", pl.lit(_EARLIER), pl.col("received_at").dt.strftime("%Y%m%dT%H%M%S.%6f"))
    return pl.coalesce("batch", earlier).alias("batch")


def _label_id(row: dict[str, object]) -> str:
    """The id of a label: equal for equal subject, start, end and activity."""
    return IMPORTED_ID + _digest("\n".join(str(row[name]) for name in COLUMNS))[:24]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
