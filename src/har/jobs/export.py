"""Write labelled samples of the lake as files that other tools read: Edge Impulse's data acquisition format.

Each file is a run of one activity within one segment of a recording, at the project's rate, in m/s² and rad/s.
`info.labels` beside them names label, category (testing for held-out subjects) and who, when and where, so that Studio
can split by subject. Source: docs.edgeimpulse.com, "Data acquisition format" and "Edge Impulse labels".
"""

from __future__ import annotations

import datetime as dt
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from har.cutting import ORDER, RECORDING
from har.dataset import Feedback
from har.errors import NotEnoughDataError, SettingsError
from har.files import make_folder, write_atomically
from har.lake import Lake, Partition
from har.project import Project
from har.settings import Settings
from har.windows import split_subjects

FORMATS = ("edge-impulse",)
INFO = "info.labels"
_UNITS = {"m/s^2": "m/s2"}
_UNSIGNED = "0" * 64
_OTHERS = re.compile(r"[^A-Za-z0-9_-]+")
_UNLABELLED = "unlabeled"
"""As Edge Impulse spells it."""


@dataclass
class Exported:
    """What was written.

    Attributes:
        folder: where.
        files: number of files by category.
        seconds: by activity; "" stands for unlabelled samples.
        unlabelled_s: seconds without a label that were left out.
        short_s: seconds of runs that are shorter than a window, which were left out.
    """

    folder: Path
    files: Counter[str] = field(default_factory=Counter)
    seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    unlabelled_s: float = 0.0
    short_s: float = 0.0


def edge_impulse(
    project: Project,
    folder: Path,
    *,
    subjects: Collection[str] = (),
    since: dt.date | None = None,
    until: dt.date | None = None,
    seconds: float = 60.0,
    unlabelled: bool = False,
) -> Exported:
    """Export samples as JSON of Edge Impulse's data acquisition format.

    Args:
        project: its lake, labels and split.
        folder: where to write; it must be empty, or not exist.
        subjects: only these; none: all.
        since: the first date; None: the lake's.
        until: the last date; None: the lake's.
        seconds: the longest file; longer runs are divided.
        unlabelled: also write samples without a label.

    Raises:
        NotEnoughDataError: the lake has no such samples.
        SettingsError: the folder is not empty, or a file would be shorter than a window.
        StorageError: the disk refuses.
    """
    settings, lake = project.settings, project.lake
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise SettingsError(
            where=str(folder), expected="an empty folder, or none", got="files", remedy="Export to a new folder."
        )
    most = int(seconds * settings.sensors.rate_hz)
    if most < settings.length:
        raise SettingsError(
            where="har export, --seconds",
            expected=f"at least the {settings.windows.length_s:g} s of a window",
            got=f"{seconds:g}",
            remedy="Export longer files; Studio cuts windows itself.",
        )
    partitions = _partitions(lake, subjects, since, until)
    testing = _held_out(lake, settings)
    worn = _worn(lake, partitions)
    done, entries = Exported(folder), []
    make_folder(folder)
    for partition, frame in _labelled(lake, settings, partitions):
        category = "testing" if partition[1] in testing else "training"
        numbers: Counter[str] = Counter()
        for first, last in _runs(frame, most):
            label, span = frame["label"][first], (last - first) / settings.sensors.rate_hz
            if last - first < settings.length:
                done.short_s += span
            elif not label and not unlabelled:
                done.unlabelled_s += span
            else:
                piece = frame[first:last]
                numbers[piece["session"][0]] += 1
                entry = _entry(partition, piece, category, numbers[piece["session"][0]], worn)
                write_atomically(folder / entry["path"], _content(piece, settings, entry["metadata"]))
                entries.append(entry)
                done.files[category] += 1
                done.seconds[label] += span
    if not entries:
        raise NotEnoughDataError(
            where=str(lake.samples.where),
            expected=f"labelled runs of at least {settings.windows.length_s:g} s",
            got=f"{done.unlabelled_s:,.0f} s without a label, and {done.short_s:,.0f} s of shorter runs",
            remedy="Import labels (har labels FILE), or add --unlabelled.",
        )
    write_atomically(folder / INFO, msgspec.json.format(msgspec.json.encode({"version": 1, "files": entries})))
    return done


def _partitions(lake: Lake, subjects: Collection[str], since: dt.date | None, until: dt.date | None) -> list[Partition]:
    every = sorted(lake.samples.partitions())
    chosen = [
        (date, subject)
        for date, subject in every
        if (not subjects or subject in subjects)
        and (since is None or date >= since)
        and (until is None or date <= until)
    ]
    if not chosen:
        names = sorted({subject for _, subject in every})
        raise NotEnoughDataError(
            where=str(lake.samples.where),
            expected="samples of these subjects and dates",
            got=f"those of {', '.join(names[:20])}" if names else "no samples",
            remedy="Run `har ingest`, or choose others with --subject, --since and --until.",
        )
    return chosen


def _held_out(lake: Lake, settings: Settings) -> frozenset[str]:
    """The subjects that no model is trained on; none if there are too few subjects to hold any out."""
    names = sorted({subject for _, subject in lake.samples.partitions()})
    split = settings.split
    try:
        return frozenset(split_subjects(names, held_out=split.held_out, share=split.held_out_share).held_out)
    except NotEnoughDataError:
        return frozenset(split.held_out)


def _worn(lake: Lake, partitions: Collection[Partition]) -> dict[tuple[dt.date, str, str], tuple[str, str]]:
    """Placement and device of each recording."""
    columns = [*RECORDING, "placement", "device", "ingested_at"]
    rows = lake.recordings.read(partitions=partitions, columns=columns).sort("ingested_at")
    return {(row[0], row[1], row[2]): (row[3] or "", row[4] or "") for row in rows.iter_rows()}


def _labelled(
    lake: Lake, settings: Settings, partitions: Collection[Partition]
) -> Iterator[tuple[Partition, pl.DataFrame]]:
    """The samples of each subject and day, in order, with `label`: a person's, else the file's, "" if there is none."""
    names = settings.activities.all
    feedback = Feedback(lake, names)
    columns = ["session", "segment", "time", "activity", *lake.channels]
    for partition, frame in lake.samples.each(None, partitions, columns):
        frame = frame.sort([name for name in ORDER if name in frame.columns])
        codes = frame["activity"].replace_strict(names, range(len(names)), default=-1, return_dtype=pl.Int16)
        subject = pl.repeat(partition[1], len(frame), eager=True)
        known = feedback.over(subject, frame["time"], codes.fill_null(-1).to_numpy())
        labels = np.array([*names, ""])[known]
        yield partition, frame.with_columns(pl.Series("label", labels, pl.String))


def _runs(frame: pl.DataFrame, most: int) -> Iterator[tuple[int, int]]:
    """First row and end of each run of one recording, segment and label, of at most `most` rows."""
    run = frame.select(pl.struct("session", "segment", "label").rle_id()).to_series()
    starts = np.flatnonzero((run.diff() != 0).fill_null(True).to_numpy())
    for first, end in pairwise([*starts.tolist(), len(frame)]):
        pieces = -(-(end - first) // most)
        bounds = [first + (end - first) * number // pieces for number in range(pieces + 1)]
        yield from pairwise(bounds)


def _entry(
    partition: Partition,
    piece: pl.DataFrame,
    category: str,
    number: int,
    worn: dict[tuple[dt.date, str, str], tuple[str, str]],
) -> dict[str, Any]:
    """The file's entry in `info.labels`."""
    (date, subject), session, label = partition, piece["session"][0], piece["label"][0]
    placement, device = worn.get((date, subject, session), ("", ""))
    # Studio takes the name up to the first dot for the label, unless info.labels is uploaded, too.
    parts = [_OTHERS.sub("-", label) or _UNLABELLED, _OTHERS.sub("-", subject), str(date), _OTHERS.sub("-", session)]
    name = f"{'.'.join(parts)}.{number:04d}"
    known = {"placement": placement, "device": device}
    return {
        "path": f"{category}/{name}.json",
        "name": name,
        "category": category,
        "label": {"type": "label", "label": label} if label else {"type": _UNLABELLED},
        "metadata": {
            "subject": subject,
            "session": session,
            "part": f"{number:04d}",
            "start": piece["time"][0].isoformat(timespec="microseconds"),
            **{key: value for key, value in known.items() if value},
        },
    }


def _content(piece: pl.DataFrame, settings: Settings, metadata: dict[str, str]) -> bytes:
    channels, units = settings.sensors.channels, settings.sensors.units
    payload = {
        "device_type": metadata.get("device") or settings.project.name,
        "interval_ms": 1000 / settings.sensors.rate_hz,
        "sensors": [
            {"name": name, "units": _UNITS.get(unit, unit)} for name, unit in zip(channels, units, strict=True)
        ],
        "values": _shortest(piece.select(channels).to_numpy()).tolist(),
    }
    made = int(piece["time"][0].timestamp())
    protected = {"ver": "v1", "alg": "none", "iat": made}
    return msgspec.json.encode({"protected": protected, "signature": _UNSIGNED, "payload": payload})


def _shortest(values: NDArray[np.float32]) -> NDArray[np.float64]:
    """The float64 with the fewest digits that is read back as the same float32."""
    texts = pl.Series(values.astype(np.float32).reshape(-1)).cast(pl.String)
    return texts.cast(pl.Float64).to_numpy().reshape(values.shape)
