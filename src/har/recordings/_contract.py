"""What every table of canonical samples holds to, as a pandera schema, and how a breach reads as one of our errors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from har.recordings._canonical import canonical_schema
from har.settings import STANDARD_GRAVITY, Accelerometer, Settings

if TYPE_CHECKING:
    from pandera.polars import DataFrameSchema, PolarsData

RANGE_SLACK = 1.1
"""Sensors overshoot their nominal full scale a little."""
RESTING = (0.7 * STANDARD_GRAVITY, 1.3 * STANDARD_GRAVITY)
"""m/s²; |a| of a still sensor, with room for poor calibration."""
MOVING = (STANDARD_GRAVITY / 3, STANDARD_GRAVITY * 3)
"""m/s²; the median |a| of a recording without rest: wide, since a unit mistaken is off by 9.8 or more."""

_QUIET_SPREAD = 0.03
_QUIET_SECONDS = 3
_SESSION = ["date", "subject", "session"]


def sample_contract(settings: Settings) -> DataFrameSchema:
    """The schema of the sample table: types, finite values within full scale, time, labels, gravity at rest.

    Checks are named `finite`, `range`, `activity`, `flags`, `segment`, `monotone` and `gravity`; a table of several
    sessions is checked session by session.
    """
    import pandera.polars as pa  # 3 s: what only lists files or reads the schema need not wait for it

    columns: dict[str, pa.Column] = {}
    limits = {
        channel: RANGE_SLACK * sensor.full_scale * sensor.to_si
        for sensor in settings.sensors.all
        for channel in sensor.channels
    }
    checks: dict[str, list[pa.Check]] = {
        "activity": [pa.Check.isin(settings.activities.all, name="activity")],
        "segment": [pa.Check.ge(0, name="segment")],
        "flags": [pa.Check.in_range(0, 7, name="flags")],
    }
    for channel, limit in limits.items():
        checks[channel] = [
            pa.Check(_finite, name="finite", error="finite values"),
            pa.Check.in_range(-limit, limit, name="range", error=f"values within ±{limit:.4g}"),
        ]
    for name, dtype in canonical_schema(settings.sensors.channels).items():
        columns[name] = pa.Column(dtype, checks=checks.get(name, []), nullable=name == "activity")
    wide = [pa.Check(_monotone, name="monotone", error="time that increases within every session")]
    accelerometer = settings.sensors.accelerometer
    if accelerometer is not None and len(accelerometer.channels) == 3:
        axes = accelerometer.channels

        def gravity(data: PolarsData) -> bool:
            return bool(resting_magnitude(data.lazyframe, axes).get_column("plausible").all())

        wide.append(pa.Check(gravity, name="gravity", error="an acceleration of about 9.81 m/s² at rest"))
    return pa.DataFrameSchema(columns, checks=wide, strict=True, ordered=True, name="samples")


def _finite(data: PolarsData) -> pl.LazyFrame:
    return data.lazyframe.select(pl.col(data.key or "*").is_finite())


def _monotone(data: PolarsData) -> bool:
    """Time increases strictly within every session, and segments never go back."""
    steps = data.lazyframe.select(
        later=pl.col("time").diff().over(_SESSION) > pl.duration(microseconds=0),
        onward=pl.col("segment").diff().over(_SESSION) >= 0,
    )
    return bool(steps.select((pl.col("later") & pl.col("onward")).fill_null(True).all()).collect().item())


def resting_magnitude(frame: pl.LazyFrame, axes: tuple[str, ...]) -> pl.DataFrame:
    """Each session's |a| in m/s²: `magnitude`, whether it was taken `at_rest`, and whether it is `plausible`.

    Rest is a second whose |a| spreads by less than 3 % of its mean, which no unit can disguise; three such seconds make
    the judgement strict, fewer leave the median over all samples within a factor of three. Flagged samples do not
    count, and a session without others is taken as plausible.
    """
    magnitude = pl.sum_horizontal(pl.col(axis).cast(pl.Float64).pow(2) for axis in axes).sqrt()
    samples = frame.filter(pl.col("flags") == 0).select(*_SESSION, "segment", "time", magnitude=magnitude)
    second = pl.col("time").dt.truncate("1s").alias("second")
    seconds = samples.group_by(*_SESSION, "segment", second).agg(
        mean=pl.col("magnitude").mean(), std=pl.col("magnitude").std(), count=pl.len()
    )
    # A second at a segment's edge holds too few samples to be judged.
    full = pl.col("count") >= 0.7 * pl.col("count").max().over(_SESSION)
    quiet = (
        seconds.filter(full & (pl.col("count") >= 5) & (pl.col("std") < _QUIET_SPREAD * pl.col("mean")))
        .group_by(_SESSION)
        .agg(quiet=pl.len(), resting=pl.col("mean").median())
    )
    at_rest = pl.col("quiet").fill_null(0) >= _QUIET_SECONDS
    value = pl.when(at_rest).then("resting").otherwise("median")
    low = pl.when(at_rest).then(RESTING[0]).otherwise(MOVING[0])
    high = pl.when(at_rest).then(RESTING[1]).otherwise(MOVING[1])
    return (
        samples.group_by(_SESSION)
        .agg(median=pl.col("magnitude").median())
        .join(quiet, on=_SESSION, how="left")
        .select(*_SESSION, magnitude=value, at_rest=at_rest, plausible=value.is_between(low, high))
        .collect()
    )


def unit_remedy(magnitude: float, accelerometer: Accelerometer) -> str:
    """Which setting would bring a resting `magnitude` (m/s², under the declared unit) to 9.81."""
    reading = magnitude / accelerometer.to_si
    for unit, factor in Accelerometer.factors.items():
        if unit != accelerometer.unit and RESTING[0] <= reading * factor <= RESTING[1]:
            return f'The values look like {unit}: set sensors.accelerometer.unit = "{unit}" in har.toml.'
    if magnitude < MOVING[0]:
        return (
            "Check sensors.accelerometer.unit in har.toml; if gravity was removed from the recording, export the total "
            "acceleration instead."
        )
    return "Check sensors.accelerometer.unit in har.toml and the columns that sensors.accelerometer.channels names."


def breaches(error: Any) -> set[str]:
    """Names of the checks that a pandera `SchemaErrors` reports."""
    return {getattr(breach.check, "name", None) or str(breach.check) for breach in error.schema_errors}
