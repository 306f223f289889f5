"""How columns are stored: small, and in ways that every engine reads."""

from __future__ import annotations

import datetime as dt

import numpy as np
import polars as pl
import pyarrow.parquet

from har.lake import Lake

ROWS = 20_000


def test_samples_are_stored_without_a_dictionary_and_times_as_differences(tmp_path) -> None:
    lake = Lake(tmp_path / "lake", ("accel_x",))
    start = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
    where = (start.date(), "s01")
    frame = pl.DataFrame(
        {
            "date": where[0],
            "subject": where[1],
            "session": "watch",
            "segment": 0,
            "time": pl.datetime_range(
                start, start + dt.timedelta(milliseconds=20 * (ROWS - 1)), "20ms", time_unit="us", eager=True
            ),
            "accel_x": np.random.default_rng(0).normal(0, 3, ROWS),
            "activity": "WALK",
            "flags": 0,
        }
    )
    lake.samples.replace(frame, [where])
    (file,) = lake.samples.files()
    group = pyarrow.parquet.ParquetFile(file.path).metadata.row_group(0)
    columns = {group.column(place).path_in_schema: group.column(place) for place in range(group.num_columns)}
    assert "RLE_DICTIONARY" not in columns["accel_x"].encodings
    assert "DELTA_BINARY_PACKED" in columns["time"].encodings
    assert "RLE_DICTIONARY" in columns["session"].encodings
    assert columns["time"].total_compressed_size < ROWS / 10
    assert file.size < 4.2 * ROWS
    assert lake.samples.read().equals(frame.cast(lake.samples.schema).select(lake.samples.schema.names()))
