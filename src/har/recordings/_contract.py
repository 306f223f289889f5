"""The pandera schema of the sample table, and the plausibility of the acceleration at rest."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from har.plausibility import MOVING, QUIET_SECONDS, QUIET_SPREAD, RANGE_SLACK, RESTING
from har.schema import FLAGS, canonical_schema
from har.settings import Accelerometer, Settings

if TYPE_CHECKING:
    from pandera.polars import DataFrameSchema, PolarsData

_SESSION = ["date", "subject", "session"]


def sample_contract(settings: Settings, *, named: bool = True) -> DataFrameSchema:
    """The schema of the sample table: types, finite values within full scale, time, labels, gravity at rest.

    The checks are named `filled`, `finite`, `range`, `activity`, `flags`, `segment`, `monotone` and `gravity`. The last
    two check each session separately.

    Args:
        settings: channels, limits and activities.
        named: False: all but `gravity` in one check, which takes a third of the time, but does not tell which failed.
    """
    import pandera.polars as pa  # takes 3 s, so it is imported only where samples are checked

    kinds = canonical_schema(settings.sensors.channels)
    columns = {name: pa.Column(dtype, nullable=True) for name, dtype in kinds.items()}
    filled = pl.all_horizontal(pl.col(name).null_count() == 0 for name in kinds if name != "activity")
    limits = {channel: RANGE_SLACK * limit for channel, limit in settings.sensors.full_scales.items()}
    # One expression over all columns: a check per column takes longer than reading a small file.
    conditions = {
        "filled": ("a value in every column but the activity", filled),
        "finite": ("finite values", pl.all_horizontal(pl.col(channel).abs() < math.inf for channel in limits)),
        "range": (
            "values within full scale",
            pl.all_horizontal(pl.col(channel).abs() <= limit for channel, limit in limits.items()),
        ),
        "activity": ("activities of har.toml", pl.col("activity").is_in(settings.activities.all)),
        "segment": ("segment numbers of at least 0", pl.col("segment") >= 0),
        "flags": ("bits of FLAGS", pl.col("flags").is_between(0, sum(FLAGS.values()))),
    }
    checks = [pa.Check(_all([rows]), name=name, error=text) for name, (text, rows) in conditions.items()]
    checks.append(pa.Check(_all([], in_order=True), name="monotone", error="increasing time within every session"))
    if not named:
        del conditions["finite"]  # what is within full scale is finite
        every = [rows for _, rows in conditions.values()]
        checks = [pa.Check(_all(every, in_order=True), name="rows", error="sound rows")]
    accelerometer = settings.sensors.accelerometer
    if accelerometer is not None and len(accelerometer.channels) == 3:
        axes = accelerometer.channels

        def gravity(data: PolarsData) -> bool:
            return bool(resting_magnitude(data.lazyframe, axes).get_column("plausible").all())

        checks.append(pa.Check(gravity, name="gravity", error="an acceleration of about 9.81 m/s² at rest"))
    return pa.DataFrameSchema(columns, checks=checks, strict=True, ordered=True, name="samples")


def _all(conditions: Sequence[pl.Expr], *, in_order: bool = False) -> Callable[[PolarsData], bool]:
    """A check that conditions hold for every row; rows for which one is null (such as a null activity) pass.

    `in_order`: also, that time increases strictly within every session, and segment numbers never decrease.
    """

    def check(data: PolarsData) -> bool:
        every = [*conditions, *(_in_order(data.lazyframe) if in_order else ())]
        return all(
            data.lazyframe.select(rows.fill_null(True).all().alias(str(n)) for n, rows in enumerate(every))
            .collect()
            .row(0)
        )

    return check


def _in_order(frame: pl.LazyFrame) -> tuple[pl.Expr, pl.Expr]:
    later, further = pl.col("time").diff(), pl.col("segment").diff()
    if not _is_one_session(frame):
        later, further = later.over(_SESSION), further.over(_SESSION)
    return later > pl.duration(), further >= 0


def _is_one_session(frame: pl.LazyFrame) -> bool:
    """Whether all rows are of one session, as those of a file are; groups of rows take twenty times as long."""
    same = pl.all_horizontal(pl.col(name) == pl.col(name).first() for name in _SESSION)
    return bool(frame.select(same.fill_null(False).all()).collect().item())


def resting_magnitude(frame: pl.LazyFrame, axes: tuple[str, ...]) -> pl.DataFrame:
    """Each session's |a| in m/s²: `magnitude`, whether it was taken `at_rest`, and whether it is `plausible`.

    A second is at rest if the standard deviation of |a| is below 3 % of its mean, which holds in any unit. With three
    such seconds or more, their median must lie within `RESTING`; with fewer, the median over all samples must lie
    within `MOVING`. Stuck and interpolated samples do not count; a session without other samples is left out.
    """
    # Saturated samples count: read in the wrong unit, all of them may be above full scale.
    samples = frame.select(*_SESSION, "segment", "time", "flags", *axes).collect()
    sessions = [samples] if _is_one_session(samples.lazy()) else samples.partition_by(_SESSION, maintain_order=True)
    rows = [(*session.row(0)[: len(_SESSION)], *found) for session in sessions if (found := _resting(session, axes))]
    kinds = {"magnitude": pl.Float64(), "at_rest": pl.Boolean(), "plausible": pl.Boolean()}
    return pl.DataFrame(rows, {**{name: samples.schema[name] for name in _SESSION}, **kinds}, orient="row")


def _resting(session: pl.DataFrame, axes: tuple[str, ...]) -> tuple[float, bool, bool] | None:
    """One session's |a|, whether it was taken at rest, and whether it is plausible; None: it has no measured sample.

    In NumPy: groups and medians of polars take longer than reading the file.
    """
    is_measured = (session["flags"].to_numpy() & (FLAGS["stuck"] | FLAGS["interpolated"])) == 0
    if not is_measured.all():
        session = session.filter(is_measured)
    if session.is_empty():
        return None
    magnitude = np.sqrt(sum(np.square(session[axis].to_numpy().astype(np.float64)) for axis in axes))
    second = session["time"].to_physical().to_numpy() // 1_000_000
    begins = (np.diff(second, prepend=second[0]) != 0) | (np.diff(session["segment"].to_numpy(), prepend=0) != 0)
    first = np.flatnonzero(np.concatenate([[True], begins[1:]]))
    count = np.diff(np.append(first, len(second)))
    mean = np.add.reduceat(magnitude, first) / count
    squares = np.add.reduceat(np.square(magnitude - np.repeat(mean, count)), first)
    # Seconds at the edges of a segment have too few samples.
    full = (count >= 0.7 * count.max()) & (count >= 5)
    quiet = full & (np.sqrt(squares / np.maximum(count - 1, 1)) < QUIET_SPREAD * mean)
    at_rest = int(quiet.sum()) >= QUIET_SECONDS
    value = float(np.median(mean[quiet]) if at_rest else np.median(magnitude))
    low, high = RESTING if at_rest else MOVING
    return value, at_rest, low <= value <= high


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
