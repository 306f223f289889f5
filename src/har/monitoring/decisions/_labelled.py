"""Count labelled windows per subject-day, each once: counts are kept beside the runs and hold while the files do.

Without that, every judged day would cut the labelled samples of the whole history again.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import io
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from har.dataset import window_labels
from har.errors import LakeError
from har.files import write_atomically
from har.lake import Lake, Partition
from har.settings import Settings

COUNTS = "labelled-windows.parquet"
"""The file, in the folder of runs; it can be deleted at any time."""
_SCHEMA = pl.Schema({"date": pl.Date, "subject": pl.String, "files": pl.UInt64, "windows": pl.Int64})
_PARTITION = ["date", "subject"]
_DECIDE = ("windows", "activities", "sensors", "scoring")
"""Settings that decide which windows are labelled, among others."""


class LabelledWindows:
    """Labelled windows of a lake, as the gate would see them: labels of files and of persons.

    Args:
        lake: the tables.
        settings: how windows are cut; the counts are kept in `paths.runs`.
    """

    def __init__(self, lake: Lake, settings: Settings) -> None:
        self._lake = lake
        self._settings = settings
        self._path: Path = settings.path("runs") / COUNTS
        values = settings.model_dump(mode="json", include=set(_DECIDE))
        self._seed = _number(json.dumps([values, pl.__version__], sort_keys=True))
        self._known = self._read()

    def since(self, day: dt.date) -> int:
        """How many are of this day or later."""
        return int(self._count().filter(pl.col("date") >= day)["windows"].sum())

    def now(self) -> int:
        """How many there are."""
        return int(self._count()["windows"].sum())

    def then(self, recipe: Mapping[str, Any], *, learned: int | None) -> int:
        """How many there were when this recipe was made.

        Args:
            recipe: it has the versions of the tables.
            learned: how many the model of the recipe was trained and judged on. It counts where the versions can no
                longer be read; None: that is an error.

        Raises:
            LakeError: the versions can no longer be read, and `learned` is None.
        """
        samples, labels = int(recipe["lake_version"]), int(recipe.get("labels_version", -1))
        if samples > self._lake.samples.version() or labels > self._lake.labels.version():  # trained on another lake
            return 0
        name = _number(json.dumps([recipe, self._seed], sort_keys=True, default=str))
        known = self._known.filter(pl.col("date").is_null() & (pl.col("files") == name))
        if len(known):
            return int(known["windows"][0])
        try:
            total = int(self._count(samples, labels)["windows"].sum())
        except LakeError:
            if learned is None:
                raise
            total = learned
        row = pl.DataFrame([(None, "", name, total)], _SCHEMA, orient="row")
        self._keep(pl.concat([self._known, row]))
        return total

    def _count(self, version: int | None = None, labels_version: int | None = None) -> pl.DataFrame:
        """Labelled windows of each subject-day with samples: date, subject, files and windows."""
        days = self._files(version, labels_version)
        found = days.join(self._known, on=[*_PARTITION, "files"], how="left")
        missing = found.filter(pl.col("windows").is_null()).select(_PARTITION).rows()
        if not missing:
            return found
        found = found.update(self._cut(missing, version, labels_version), on=_PARTITION, how="left")
        found = found.with_columns(pl.col("windows").fill_null(0))
        if version is None:  # counts of files that are no longer in the table are dropped
            totals = self._known.filter(pl.col("date").is_null())
            self._keep(pl.concat([totals, found.select(_SCHEMA.names())]))
        return found

    def _cut(self, partitions: Collection[Partition], version: int | None, labels_version: int | None) -> pl.DataFrame:
        rows = window_labels(
            self._lake, self._settings, version=version, labels_version=labels_version, partitions=partitions
        )
        return rows.group_by(_PARTITION).agg(pl.len().cast(pl.Int64).alias("windows"))

    def _files(self, version: int | None, labels_version: int | None) -> pl.DataFrame:
        """Date and subject of each subject-day, and a number that changes with the files that decide its count."""
        samples = self._lake.samples.file_names(version)
        days = samples.select(_PARTITION).unique()
        parts = [samples, self._lake.recordings.file_names(), self._touched(labels_version)]
        numbers = pl.concat(parts).select(*_PARTITION, pl.col("path").hash(self._seed))
        # The sum does not depend on the order of the files.
        sums = numbers.group_by(_PARTITION).agg(pl.col("path").sum().alias("files"))
        return days.join(sums, on=_PARTITION, how="left", nulls_equal=True)

    def _touched(self, version: int | None) -> pl.DataFrame:
        """Files of labels under each date that they may say something of, and under the days beside it.

        A recording's date is local, a label's is UTC.
        """
        table = self._lake.labels
        own = table.file_names(version)
        begins, ends = (table.spans(column, version=version) for column in ("start", "end"))
        wide = [
            (date, subject, min(date, _day(begins[date, subject][0])), max(date, _day(last)))
            for (date, subject), (_, last) in ends.items()
            if (date, subject) in begins
        ]
        schema = {"date": pl.Date, "subject": pl.String, "first": pl.Date, "last": pl.Date}
        edges = own.join(pl.DataFrame(wide, schema, orient="row"), on=_PARTITION, how="left", nulls_equal=True)
        day = pl.duration(days=1)
        first = (pl.col("first").fill_null(pl.col("date")) - day).alias("first")
        last = (pl.col("last").fill_null(pl.col("date")) + day).alias("last")
        every = edges.with_columns(first, last).with_columns(date=pl.date_ranges("first", "last"))
        return every.explode("date").select(*_PARTITION, "path")

    def _read(self) -> pl.DataFrame:
        try:
            return pl.read_parquet(self._path).match_to_schema(_SCHEMA)
        except (OSError, pl.exceptions.PolarsError):  # none yet, or one that cannot be read: it only saves time
            return pl.DataFrame(schema=_SCHEMA)

    def _keep(self, rows: pl.DataFrame) -> None:
        self._known = rows
        write_atomically(self._path, _bytes(rows))


def _day(time_us: int) -> dt.date:
    return dt.datetime.fromtimestamp(time_us / 1e6, dt.UTC).date()


def _bytes(rows: pl.DataFrame) -> bytes:
    stream = io.BytesIO()
    rows.write_parquet(stream)
    return stream.getvalue()


def _number(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")
