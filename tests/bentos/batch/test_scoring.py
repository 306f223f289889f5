"""Files and tables of any shape give the predictions of in-process scoring; what means nothing is refused by name."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from itertools import permutations
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from batch_support import parquet, recording, spoiled

from bentos.batch import Scorer, delta_samples, parquet_samples
from har.errors import (
    EmptyRecordingError,
    HarError,
    LakeError,
    MalformedRowError,
    MissingColumnError,
    ModelError,
    NonFiniteError,
    NotARecordingError,
    RangeError,
    RecordingTimeError,
)
from har.lake import Lake, Table
from har.settings import Settings

Expected = Callable[[pl.DataFrame], pl.DataFrame]


def scored(scorer: Scorer, path: Path, rows: int = 250_000) -> pl.DataFrame:
    target = path.with_name("predictions.parquet")
    done = scorer.score(parquet_samples(path, scorer.settings, rows=rows), target)
    found = pl.read_parquet(target)
    assert done.windows == len(found)
    return found


def optional_left_out(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.drop("date", "segment", "activity", "flags")


def blocks_shuffled(frame: pl.DataFrame) -> pl.DataFrame:
    blocks = frame.partition_by("date", "subject", "session", maintain_order=True)
    order = np.random.default_rng(3).permutation(len(blocks))
    return pl.concat([blocks[place] for place in order])


def other_types(frame: pl.DataFrame) -> pl.DataFrame:
    floats = [pl.col(name).cast(pl.Float64) for name in ("accel_x", "gyro_z")]
    stamps = pl.col("time").dt.convert_time_zone("Europe/Vienna").dt.cast_time_unit("ns")
    return frame.with_columns(*floats, stamps, pl.col("subject").cast(pl.Categorical), pl.lit(b"x").alias("extra"))


def wall_clock(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(pl.col("time").dt.replace_time_zone(None).dt.cast_time_unit("ms"))


@pytest.mark.parametrize("change", [pl.DataFrame.clone, optional_left_out, blocks_shuffled, other_types, wall_clock])
@pytest.mark.parametrize("rows", [17, 333, 250_000])
def test_a_file_gives_what_scoring_in_the_process_gives(
    change: Callable[[pl.DataFrame], pl.DataFrame],
    rows: int,
    samples: pl.DataFrame,
    scorer: Scorer,
    expected: Expected,
    tmp_path: Path,
) -> None:
    found = scored(scorer, parquet(change(samples), tmp_path / "day.parquet", row_group_size=500), rows)
    wanted = expected(samples)
    assert len(wanted) > 400
    assert found.schema == wanted.schema
    assert found.equals(wanted)
    assert found["request_id"].null_count() == len(found)


def test_a_table_gives_what_scoring_in_the_process_gives(
    samples: pl.DataFrame, scorer: Scorer, expected: Expected, batch_settings: Settings, tmp_path: Path
) -> None:
    table = Table(tmp_path / "samples", samples.schema)
    table.replace(samples.sample(fraction=1, shuffle=True, seed=0), samples.select("date", "subject").unique().rows())
    for date in (None, dt.date(2024, 1, 2)):
        scorer.score(delta_samples(table.path, batch_settings, date=date), tmp_path / "out.parquet")
        wanted = expected(samples)
        if date:
            wanted = wanted.filter(pl.col("date") == date)
        assert len(wanted)
        assert pl.read_parquet(tmp_path / "out.parquet").equals(wanted)


def test_features_come_along_where_they_are_asked_for(
    samples: pl.DataFrame, scorer: Scorer, batch_settings: Settings, tmp_path: Path
) -> None:
    source = parquet(samples, tmp_path / "samples.parquet")
    names = scorer.metadata.feature_names[3:0:-1]
    tables = []
    for features in ((), names):
        scorer.score(parquet_samples(source, batch_settings), tmp_path / "out.parquet", features=features)
        tables.append(pl.read_parquet(tmp_path / "out.parquet"))
    plain, more = tables
    assert "features" not in plain.columns
    assert more.drop("features").equals(plain)
    assert more.schema["features"] == pl.Array(pl.Float32, 3)
    whole = scorer.score(parquet_samples(source, batch_settings), tmp_path / "all.parquet", features=names[::-1])
    assert whole.windows == len(more)
    other = pl.read_parquet(tmp_path / "all.parquet")["features"].to_numpy()
    assert (other[:, ::-1] == more["features"].to_numpy()).all()
    with pytest.raises(ModelError, match="'height'"):
        scorer.score(parquet_samples(source, batch_settings), tmp_path / "no.parquet", features=["height"])
    assert not (tmp_path / "no.parquet").exists()


def test_a_gap_starts_a_segment_also_between_two_batches(
    scorer: Scorer, batch_settings: Settings, expected: Expected, tmp_path: Path
) -> None:
    day = pl.concat(
        [
            recording(batch_settings, "2024-01-01", "a", "x", count=5, segment=0),
            recording(batch_settings, "2024-01-01", "a", "x", count=5, segment=1),
        ]
    )
    path = parquet(day.drop("segment"), tmp_path / "day.parquet")
    for rows in (79, 80, 81):
        assert scored(scorer, path, rows).equals(expected(day))
    across = dt.datetime(2024, 1, 1, 9, 0, 1, 600_000, tzinfo=dt.UTC)
    assert not scored(scorer, path).filter((pl.col("start") < across) & (pl.col("end") > across)).height


def test_too_short_for_a_window_gives_no_predictions(
    samples: pl.DataFrame, scorer: Scorer, batch_settings: Settings, tmp_path: Path
) -> None:
    found = scored(scorer, parquet(samples[: batch_settings.length - 1], tmp_path / "day.parquet"))
    assert found.is_empty()
    assert found.schema == Lake(tmp_path, batch_settings.sensors.channels).predictions.schema


def late(frame: pl.DataFrame) -> pl.DataFrame:
    return pl.concat([frame[:10], frame[11:12], frame[10:11], frame[12:]])


def interleaved(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.filter(pl.col("segment") != 9).sort("segment", "subject", maintain_order=True)


REFUSED: dict[str, tuple[type[HarError], str, int, Callable[[pl.DataFrame], pl.DataFrame]]] = {
    "no rows": (EmptyRecordingError, "samples", 0, lambda frame: frame.clear()),
    "no channel": (MissingColumnError, "gyro_y", 0, lambda frame: frame.rename({"gyro_y": "gyroY"})),
    "no session": (MissingColumnError, "session", 0, lambda frame: frame.drop("session")),
    "text channel": (MalformedRowError, "accel_x", 0, lambda frame: frame.cast({"accel_x": pl.String})),
    "number subject": (MalformedRowError, "subject", 0, lambda frame: frame.with_columns(pl.lit(7).alias("subject"))),
    "number time": (MalformedRowError, "time", 0, lambda frame: frame.cast({"time": pl.Int64})),
    "text date": (MalformedRowError, "date", 0, lambda frame: frame.cast({"date": pl.String})),
    "float segment": (MalformedRowError, "segment", 0, lambda frame: frame.cast({"segment": pl.Float64})),
    "null session": (MalformedRowError, "session", 701, lambda frame: spoiled(frame, 700, "session", None)),
    "null time": (MalformedRowError, "time", 2, lambda frame: spoiled(frame, 1, "time", None)),
    "time of no date": (RecordingTimeError, "time", 2, lambda frame: spoiled(frame, 1, "time", 2**62)),
    "nan": (NonFiniteError, "gyro_x", 1001, lambda frame: spoiled(frame, 1000, "gyro_x", float("nan"))),
    "null": (NonFiniteError, "gyro_x", 1001, lambda frame: spoiled(frame, 1000, "gyro_x", None)),
    "infinite": (NonFiniteError, "accel_z", 1, lambda frame: spoiled(frame, 0, "accel_z", float("-inf"))),
    "full scale": (RangeError, "gyro_x", 1001, lambda frame: spoiled(frame, 1000, "gyro_x", 200.0)),
    "time back": (RecordingTimeError, "time", 12, late),
    "same stamp": (RecordingTimeError, "time", 21, lambda frame: pl.concat([frame[:20], frame[19:]])),
    "session again": (RecordingTimeError, "session", 0, interleaved),
    "gap inside": (RecordingTimeError, "segment", 481, lambda frame: frame.with_columns(pl.lit(0).alias("segment"))),
    "rate": (RecordingTimeError, "time", 0, lambda frame: frame.gather_every(2)),
}


@pytest.mark.parametrize("rows", [100, 250_000])
@pytest.mark.parametrize("fault", REFUSED)
def test_a_fault_is_named_with_its_column_and_row(
    fault: str, rows: int, samples: pl.DataFrame, scorer: Scorer, tmp_path: Path
) -> None:
    kind, column, row, change = REFUSED[fault]
    path = parquet(change(samples), tmp_path / "day.parquet")
    (tmp_path / "predictions.parquet").write_text("as it was")
    with pytest.raises(kind) as caught:
        scored(scorer, path, rows)
    assert caught.value.where.partition(",")[0] == column
    if row:
        assert caught.value.line == row  # type: ignore[attr-defined]
        assert f"row {row}" in str(caught.value)
    assert (tmp_path / "predictions.parquet").read_text() == "as it was"
    assert {path.name for path in tmp_path.iterdir()} == {"day.parquet", "predictions.parquet"}


def test_a_damaged_file_is_refused_and_never_crashes(samples: pl.DataFrame, scorer: Scorer, tmp_path: Path) -> None:
    whole = parquet(samples, tmp_path / "whole.parquet").read_bytes()
    rng = np.random.default_rng(0)
    path = tmp_path / "day.parquet"
    tried = [b"", b"PAR1", b"PAR1PAR1", b"PAR1" * 3, b"date,subject\n", whole[:-1], whole[: len(whole) // 2], whole[1:]]
    for content in tried:
        path.write_bytes(content)
        with pytest.raises((NotARecordingError, EmptyRecordingError)):
            scored(scorer, path)
    refused = 0
    for _ in range(60):
        content = bytearray(whole)
        for place in rng.integers(4, len(whole) - 4, 8):
            content[place] ^= int(rng.integers(1, 256))
        path.write_bytes(content)
        try:
            scored(scorer, path)
        except HarError:
            refused += 1
    assert refused > 30


def test_a_table_that_is_none_or_partitioned_otherwise(
    samples: pl.DataFrame, batch_settings: Settings, tmp_path: Path
) -> None:
    with pytest.raises(NotARecordingError, match="a Delta table"):
        next(delta_samples(tmp_path, batch_settings))
    for columns in ([], ["date"]):
        folder = tmp_path / f"by{len(columns)}"
        samples.write_delta(folder, delta_write_options={"partition_by": columns} if columns else {})
        with pytest.raises(NotARecordingError, match="partitioned by date and subject"):
            next(delta_samples(folder, batch_settings))
    table = Table(tmp_path / "samples", samples.schema)
    table.replace(samples, samples.select("date", "subject").unique().rows())
    with pytest.raises(EmptyRecordingError, match="1999-01-01"):
        next(delta_samples(table.path, batch_settings, date=dt.date(1999, 1, 1)))
    with pytest.raises(NotARecordingError, match="inside the mounted folder"):
        next(delta_samples(table.path, batch_settings, within=tmp_path / "other"))
    with pytest.raises(NonFiniteError, match=r"gyro_x, row 1 of 2024-01-01, subject a"):
        table.replace(spoiled(samples, 0, "gyro_x", float("nan")), samples.select("date", "subject").unique().rows())
        list(delta_samples(table.path, batch_settings))


def test_a_table_that_refers_to_files_outside_is_refused(
    samples: pl.DataFrame, batch_settings: Settings, tmp_path: Path
) -> None:
    table = Table(tmp_path / "data" / "samples", samples.schema)
    table.replace(samples, samples.select("date", "subject").unique().rows())
    outside = tmp_path / "outside.parquet"
    file = next(table.path.rglob("*.parquet"))
    file.rename(outside)
    file.symlink_to(outside)
    with pytest.raises(NotARecordingError, match="refers to files outside"):
        list(delta_samples(table.path, batch_settings, within=tmp_path / "data"))


def test_a_folder_that_cannot_be_written_is_named(samples: pl.DataFrame, scorer: Scorer, tmp_path: Path) -> None:
    path = parquet(samples, tmp_path / "day.parquet")
    (tmp_path / "no-folder").touch()
    with pytest.raises(LakeError, match="no-folder"):
        scorer.score(parquet_samples(path, scorer.settings), tmp_path / "no-folder" / "out.parquet")


def test_the_order_of_subjects_in_the_file_does_not_matter(
    scorer: Scorer, batch_settings: Settings, tmp_path: Path
) -> None:
    days = [recording(batch_settings, "2024-01-01", name, "x", count=4, seed=ord(name)) for name in "abc"]
    found = [
        scored(scorer, parquet(pl.concat(order), tmp_path / "day.parquet"), rows=50) for order in permutations(days)
    ]
    assert len(found[0])
    assert all(one.equals(found[0]) for one in found)
