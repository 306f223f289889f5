"""The lake across releases: tables written before the online service existed."""

from __future__ import annotations

import datetime as dt

import polars as pl

from har.lake import Lake, Table

DAY = dt.date(2024, 1, 1)
START = dt.datetime(2024, 1, 1, 8, tzinfo=dt.UTC)


def predictions(lake: Lake, activity: str, *, request_id: str | None = None) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "date": DAY,
            "subject": "s01",
            "session": "watch",
            "start": START,
            "end": START + dt.timedelta(seconds=4),
            "activity": activity,
            "confidence": 0.5,
            "abstained": False,
            "model_version": 1,
            "request_id": request_id,
            "smoothed": None,
            "unknown": None,
        },
        schema=lake.predictions.schema,
    )


def test_a_lake_from_before_the_online_service(lake: Lake) -> None:
    new = ("request_id", "smoothed", "unknown")
    schema = pl.Schema({name: kind for name, kind in lake.predictions.schema.items() if name not in new})
    old = Table(lake.predictions.path, schema)
    old.replace(predictions(lake, "PEN").drop(new), [(DAY, "s01")])
    assert lake.predictions.read().equals(predictions(lake, "PEN"))
    assert lake.requests.read().is_empty()

    assert lake.predictions.add(predictions(lake, "ROW", request_id="r1"), ["request_id", "start"]) == 1
    lake.predictions.replace(predictions(lake, "ABD"), [(DAY, "s01")], keep="request_id")
    rows = lake.predictions.read().select("activity", "request_id").sort("activity")
    assert rows.rows() == [("ABD", None), ("ROW", "r1")]
    assert lake.predictions.read(version=0).equals(predictions(lake, "PEN"))
