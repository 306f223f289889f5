"""The pandera schema of the sample table, and the plausibility of the acceleration at rest."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import polars as pl

from har.plausibility import MOVING, QUIET_SECONDS, QUIET_SPREAD, RANGE_SLACK, RESTING
from har.schema import FLAGS, canonical_schema
from har.settings import Accelerometer, Settings

if TYPE_CHECKING:
    from pandera.polars import DataFrameSchema, PolarsData

_SESSION = ["date", "subject", "session"]


def sample_contract(settings: Settings) -> DataFrameSchema:
    """The schema of the sample table: types, finite values within full scale, time, labels, gravity at rest.

    The checks are named `finite`, `range`, `activity`, `flags`, `segment`, `monotone` and `gravity`. The last two check
    each session separately.
    """
    import pandera.polars as pa  # takes 3 s, so it is imported only where samples are checked

    columns = {
        name: pa.Column(dtype, nullable=name == "activity")
        for name, dtype in canonical_schema(settings.sensors.channels).items()
    }
    limits = {channel: RANGE_SLACK * limit for channel, limit in settings.sensors.full_scales.items()}
    # One expression over all columns: a check per column takes longer than reading a small file.
    conditions = {
        "finite": ("finite values", pl.all_horizontal(pl.col(channel).is_finite() for channel in limits)),
        "range": (
            "values within full scale",
            pl.all_horizontal(pl.col(channel).abs() <= limit for channel, limit in limits.items()),
        ),
        "activity": ("activities of har.toml", pl.col("activity").is_in(settings.activities.all)),
        "segment": ("segment numbers of at least 0", pl.col("segment") >= 0),
        "flags": ("bits of FLAGS", pl.col("flags").is_between(0, sum(FLAGS.values()))),
        "monotone": ("increasing time within every session", _monotone()),
    }
    checks = [pa.Check(_all(rows), name=name, error=text) for name, (text, rows) in conditions.items()]
    accelerometer = settings.sensors.accelerometer
    if accelerometer is not None and len(accelerometer.channels) == 3:
        axes = accelerometer.channels

        def gravity(data: PolarsData) -> bool:
            return bool(resting_magnitude(data.lazyframe, axes).get_column("plausible").all())

        checks.append(pa.Check(gravity, name="gravity", error="an acceleration of about 9.81 m/s² at rest"))
    return pa.DataFrameSchema(columns, checks=checks, strict=True, ordered=True, name="samples")


def _all(rows: pl.Expr) -> Callable[[PolarsData], bool]:
    """A check that the condition holds for every row; rows for which it is null (such as a null activity) pass."""

    def check(data: PolarsData) -> bool:
        return bool(data.lazyframe.select(rows.fill_null(True).all()).collect().item())

    return check


def _monotone() -> pl.Expr:
    """Time increases strictly within every session, and segment numbers never decrease."""
    later = pl.col("time").diff().over(_SESSION) > pl.duration()
    not_before = pl.col("segment").diff().over(_SESSION) >= 0
    return later & not_before


def resting_magnitude(frame: pl.LazyFrame, axes: tuple[str, ...]) -> pl.DataFrame:
    """Each session's |a| in m/s²: `magnitude`, whether it was taken `at_rest`, and whether it is `plausible`.

    A second is at rest if the standard deviation of |a| is below 3 % of its mean, which holds in any unit. With three
    such seconds or more, their median must lie within `RESTING`; with fewer, the median over all samples must lie
    within `MOVING`. Stuck and interpolated samples do not count; a session without other samples is left out.
    """
    magnitude = pl.sum_horizontal(pl.col(axis).cast(pl.Float64).pow(2) for axis in axes).sqrt()
    # Saturated samples count: read in the wrong unit, all of them may be above full scale.
    measured = pl.col("flags").and_(FLAGS["stuck"] | FLAGS["interpolated"]) == 0
    samples = frame.filter(measured).select(*_SESSION, "segment", "time", magnitude=magnitude)
    second = pl.col("time").dt.truncate("1s").alias("second")
    seconds = samples.group_by(*_SESSION, "segment", second).agg(
        mean=pl.col("magnitude").mean(), std=pl.col("magnitude").std(), count=pl.len()
    )
    # Seconds at the edges of a segment have too few samples.
    full = pl.col("count") >= 0.7 * pl.col("count").max().over(_SESSION)
    quiet = (
        seconds.filter(full & (pl.col("count") >= 5) & (pl.col("std") < QUIET_SPREAD * pl.col("mean")))
        .group_by(_SESSION)
        .agg(quiet=pl.len(), resting=pl.col("mean").median())
    )
    at_rest = pl.col("quiet").fill_null(0) >= QUIET_SECONDS
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
    """The setting that would bring a `magnitude` at rest (m/s², read in the declared unit) to 9.81."""
    reading = magnitude / accelerometer.to_si
    for unit, factor in Accelerometer.factors.items():
        if unit != accelerometer.unit and RESTING[0] <= reading * factor <= RESTING[1]:
            full_scale = accelerometer.full_scale * accelerometer.to_si / factor
            return (
                f'The values look like {unit}: set sensors.accelerometer.unit = "{unit}" in har.toml, and full_scale '
                f"in that unit ({accelerometer.full_scale:g} {accelerometer.unit} are {full_scale:.4g} {unit})."
            )
    if magnitude < MOVING[0]:
        return (
            "Check sensors.accelerometer.unit in har.toml; if gravity was removed from the recording, export the total "
            "acceleration instead."
        )
    return "Check sensors.accelerometer.unit in har.toml and the columns that sensors.accelerometer.channels names."


def breaches(error: Any) -> set[str]:
    """Names of the failed checks of a pandera `SchemaErrors`."""
    return {getattr(breach.check, "name", None) or str(breach.check) for breach in error.schema_errors}
