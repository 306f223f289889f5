"""Score checked samples and write one Parquet file of predictions; memory does not grow with either."""

from __future__ import annotations

import datetime as dt
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl

from bentos.batch._plausible import Found, Plausibility, Warnings
from har.cutting import run_ids
from har.errors import LakeError
from har.files import replacing, temporary_folder
from har.inference import Classifier, ModelMetadata, Package, granted_cores
from har.predictions import FEATURES, PROBABILITIES, Resmoothed, feature_indices, predict, smoother_of
from har.schema import PREDICTIONS, Partition
from har.settings import Settings

Piece = tuple[Partition, pl.DataFrame]


@dataclass(frozen=True)
class Scored:
    """How much was scored.

    Attributes:
        samples: of the input.
        windows: that the samples were cut into.
        warnings: per code of `har.plausibility`, which sessions are implausible in their unit, and why.
    """

    samples: int
    windows: int
    warnings: Mapping[str, str] = field(default_factory=dict)


class Scorer:
    """Scores inputs of any size with the packaged champion; safe to share between threads.

    A call of ONNX Runtime uses one thread; there are as many calls at the same time as available cores.

    Raises:
        ModelError: the model file cannot be read, or was made for other settings.
    """

    def __init__(self, package: Package, settings: Settings) -> None:
        """Load the model and score one window, so that the first request is fast."""
        self.version = package.version
        self.settings = settings
        self._classifier = Classifier(package.model, threads=1, arena=True)
        self.metadata: ModelMetadata = self._classifier.metadata
        self.metadata.require(where=f"model version {package.version}", **settings.model_input)
        self._plausibility = Plausibility(settings)
        self._cores = granted_cores()
        self._pool = ThreadPoolExecutor(self._cores, thread_name_prefix="score")
        self._classifier.predict(np.zeros((1, settings.length, len(settings.sensors.channels)), np.float32))

    @property
    def _probabilities(self) -> pl.DataType:
        return pl.Array(pl.Float32, len(self.metadata.activities))

    def describe(self) -> dict[str, object]:
        """The properties of the model that decide its predictions; clients compare them with their own."""
        return {
            "version": self.version,
            "activities": self.metadata.activities,
            "channels": self.metadata.channels,
            "units": self.metadata.units,
            "rate_hz": self.metadata.rate_hz,
            "length": self.metadata.length,
            "stride": self.settings.stride,
            "abstain_below": self.metadata.abstain_below,
            "network": self.metadata.network,
            "data_version": self.metadata.data_version,
            "git_commit": self.metadata.git_commit,
            "trained_at": self.metadata.trained_at,
        }

    def score(
        self,
        samples: Iterable[pl.DataFrame],
        target: Path,
        *,
        features: Sequence[str] = (),
        progress: Callable[[Scored], None] = lambda _: None,
    ) -> Scored:
        """Score samples and write the lake's columns `predictions`, sorted by date, subject, session and start.

        Args:
            samples: batches as `parquet_samples` and `delta_samples` give them.
            target: file to write; it is replaced once the predictions are complete.
            features: features of the model to write to the column `features`.
            progress: called after every batch; an error that it raises ends the scoring.

        Raises:
            ModelError: the model has no such feature.
            LakeError: the file cannot be written.
            RequestError: samples are implausible in their unit, and `serving.strict` is set.
            HarError: from `samples`.
        """
        feature_indices(self.metadata, features)
        columns = {FEATURES: pl.Array(pl.Float32, len(features))} if features else {}
        schema = pl.Schema({**PREDICTIONS, **columns})
        done = Scored(0, 0)
        warnings = Warnings()
        running: deque[tuple[int, Future[tuple[pl.DataFrame, Found]]]] = deque()
        try:
            with temporary_folder("batch") as folder:
                smoother = smoother_of(self.metadata, self.settings)
                smoothed = None if smoother is None else Resmoothed(smoother, self.metadata.activities)
                parts = _Parts(folder, schema, smoothed)

                def finish_oldest() -> Scored:
                    rows, future = running.popleft()
                    predictions, found = future.result()
                    parts.add(predictions)
                    warnings.add(found)
                    return Scored(done.samples + rows, done.windows + len(predictions))

                for rows, pieces in _pieces(samples, self.settings.length, self.settings.stride):
                    kept = schema if smoothed is None else pl.Schema({**schema, PROBABILITIES: self._probabilities})
                    running.append((rows, self._pool.submit(self._predict, pieces, features, kept)))
                    if len(running) > self._cores:
                        done = finish_oldest()
                        progress(done)
                while running:
                    done = finish_oldest()
                    progress(done)
                parts.join(target)
        except (OSError, pl.exceptions.PolarsError) as error:
            if isinstance(error, LakeError):
                raise
            raise LakeError(
                where=str(target.parent),
                expected="room for the predictions, there and in the folder for temporary files (TMPDIR)",
                got=str(error).splitlines()[0] if str(error) else type(error).__name__,
                remedy="Free space or grant write access, then try again: no incomplete file was left.",
            ) from error
        finally:
            for _, future in running:
                future.cancel()
        return replace(done, warnings=warnings.by_code())

    def _predict(self, pieces: list[Piece], features: Sequence[str], schema: pl.Schema) -> tuple[pl.DataFrame, Found]:
        if not pieces:
            return pl.DataFrame(schema=schema), []
        doubtful = self._plausibility.check(pieces)
        in_pieces = PROBABILITIES in schema
        found = predict(pieces, self.settings, self._classifier, self.version, features=features, in_pieces=in_pieces)
        return found.select(schema.names()).cast(schema), doubtful


def _pieces(samples: Iterable[pl.DataFrame], length: int, stride: int) -> Iterator[tuple[int, list[Piece]]]:
    """Split batches into pieces of subject-days such that the windows of the pieces are those of the whole input.

    Yields the number of rows of each batch, and its pieces. The start of the next window of a segment that may continue
    in the next batch is kept for that batch.
    """
    rest: pl.DataFrame | None = None
    for batch in samples:
        frame = batch if rest is None else pl.concat([rest, batch])
        heads = np.flatnonzero(np.diff(frame.select(pl.struct("date", "subject").rle_id()).to_series(), prepend=0))
        bounds = [0, *heads.tolist(), len(frame)]
        days = [frame[first:end] for first, end in pairwise(bounds)]
        day = days.pop()
        runs = run_ids(day)
        head = int(np.searchsorted(runs, runs[-1]))
        count = max(0, (len(day) - head - length) // stride + 1)
        days.append(day[: head + (count - 1) * stride + length if count else head])
        rest = day[head + count * stride :]
        yield len(batch), [((part["date"][0], part["subject"][0]), part) for part in days if len(part)]


class _Parts:
    """Predictions in temporary files, one per subject-day and batch, to be sorted at the end.

    Smoothed activities lie beside them: those of a batch's last windows come with the next one.
    """

    def __init__(self, folder: Path, schema: pl.Schema, smoothed: Resmoothed | None) -> None:
        self._folder = folder
        self._schema = schema
        self._resmoothed = smoothed
        self._files: dict[Partition, list[Path]] = {}
        self._smoothed: dict[Partition, list[Path]] = {}
        self._count = 0

    def add(self, predictions: pl.DataFrame) -> None:
        if self._resmoothed is not None:
            self._keep(self._resmoothed.add(predictions), self._smoothed)
        self._keep(predictions.select(self._schema.names()), self._files)

    def _keep(self, frame: pl.DataFrame, files: dict[Partition, list[Path]]) -> None:
        for key, rows in frame.partition_by("date", "subject", as_dict=True, maintain_order=True).items():
            date, subject = key
            assert isinstance(date, dt.date)  # noqa: S101  the schema says so
            files.setdefault((date, str(subject)), []).append(self._write(rows))

    def join(self, target: Path) -> None:
        """Write all rows, sorted by date, subject, session and start, to `target`, which is replaced in one step."""
        if self._resmoothed is not None:
            self._keep(self._resmoothed.end(), self._smoothed)
        ordered = [self._joined(self._files[day], self._smoothed.get(day, [])) for day in sorted(self._files)]
        frame = pl.scan_ipc(ordered, glob=False) if ordered else pl.LazyFrame(schema=self._schema)
        with replacing(target) as draft:
            frame.sink_parquet(draft, maintain_order=True)

    def _joined(self, files: list[Path], smoothed: list[Path]) -> Path:
        if len(files) == 1 and not smoothed:
            return files[0]
        rows = pl.concat([pl.scan_ipc(path, glob=False).collect() for path in files])
        if smoothed:
            found = pl.concat([pl.scan_ipc(path, glob=False).collect() for path in smoothed])
            rows = rows.drop("smoothed").join(found, on=["date", "subject", "session", "start"], how="left")
            rows = rows.select(self._schema.names())
        for path in (*files, *smoothed):
            path.unlink()
        return self._write(rows.sort("session", "start"))

    def _write(self, rows: pl.DataFrame) -> Path:
        path = self._folder / f"{self._count}.arrow"
        self._count += 1
        rows.write_ipc(path)
        return path
