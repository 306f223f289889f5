"""Read one inbox file as a `Recording`: parse, sort, split into segments, flag, check against the schema, resample."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from har.errors import LakeError, RangeError, RecordingError, UnitError
from har.plausibility import RANGE_SLACK, Calibration
from har.recordings._cleaning import (
    Samples,
    coverage,
    fault_flags,
    measured_rate_hz,
    split_gaps,
)
from har.recordings._contract import breaches, resting_magnitude, sample_contract, unit_remedy
from har.recordings._csv import read_csv
from har.recordings._inbox import InboxFile
from har.recordings._order import Order, order_rows
from har.recordings._parquet import read_parquet
from har.recordings._plausibility import oddities
from har.recordings._resampling import resample
from har.recordings._spreading import MOST_DROPPED, Spread, spread
from har.recordings._stamps import utc_microseconds
from har.recordings._table import Parsed, activity_codes, channel_values, one_value
from har.recordings._timing import check_date, check_interpolated, check_rate
from har.recordings._wear import GAPS_KEPT, Interval, from_text, gaps_of, longest, wear_figures, wear_notes, wear_of
from har.schema import FLAGS, canonical_schema
from har.settings import Sensor, Settings

_STRAY_VALUES = 3


@dataclass(frozen=True)
class Quality:
    """The quality of one file; counts are of the file's samples before resampling, except `interpolated`.

    Attributes:
        samples_read: rows in the file; `samples_kept + duplicates + duplicate_stamps`.
        samples_kept: rows that were kept.
        duplicates: rows dropped because an earlier one has the same stamp and content.
        duplicate_stamps: rows dropped because an earlier one has the same stamp and other content.
        reordered: kept rows that come after a later sample in the file.
        gaps: pauses longer than `recordings.max_gap_s`.
        longest_gap_s: the longest time between consecutive samples.
        coverage: kept samples relative to the number expected from first to last stamp, 0..1.
        measured_rate_hz: samples per second, gaps excluded; 0 for a single sample.
        resampled: whether any segment was resampled to a regular grid.
        saturated, stuck: samples with that flag.
        unlabelled: samples without an activity.
        interpolated: samples after resampling without a measured one near them, see `FLAGS`.
        stamps_spread: kept rows with the stamp of another row, whose times were spread between the stamps.
        longest_gaps: the longest pauses, start and end in µs since 1970, in order; not in the lake, which has all.
        idle_s: seconds for which the accelerometer slept: it repeats its last values, or zeros.
        nonwear_s: seconds for which the sensor was not worn; None if the recording is shorter than an hour.
        nonwear: when, start and end in µs since 1970.
        calibration: what its stretches at rest say about gain and offset of the accelerometer; None: they are too few.
        calibrated: whether the values have that gain and offset; only `har import --calibrate` applies them.
        notes: what is odd about the file but no reason to refuse it, one sentence each.
    """

    samples_read: int
    samples_kept: int
    duplicates: int
    duplicate_stamps: int
    reordered: int
    gaps: int
    longest_gap_s: float
    coverage: float
    measured_rate_hz: float
    resampled: bool
    saturated: int
    stuck: int
    unlabelled: int
    interpolated: int = 0
    stamps_spread: int = 0
    longest_gaps: tuple[Interval, ...] = ()
    idle_s: float = 0.0
    nonwear_s: float | None = None
    nonwear: tuple[Interval, ...] = ()
    calibration: Calibration | None = None
    calibrated: bool = False
    notes: tuple[str, ...] = ()

    @property
    def dropped(self) -> int:
        """Rows of the file that were not kept."""
        return self.duplicates + self.duplicate_stamps


@dataclass(frozen=True)
class Recording:
    """One file's canonical samples (see `canonical_schema`), sorted by time, with placement, device and quality.

    Attributes:
        frame: the samples.
        quality: counts from cleaning.
        placement: where the sensor was worn, "" if unknown.
        device: which device recorded, "" if unknown.
    """

    frame: pl.DataFrame
    quality: Quality
    placement: str = ""
    device: str = ""


def read_recording(file: InboxFile, settings: Settings) -> Recording:
    """Read, clean and check one file.

    Raises:
        RecordingError: the file cannot be ingested; its class says why, its `line` where.
        LakeError: the disk refuses to read the file.
    """
    try:
        if file.path.suffix.lower() == ".parquet":
            parsed = read_parquet(file.path, file.where, settings)
        else:
            parsed = read_csv(file.content(), file.where, settings)
    except OSError as error:
        raise LakeError.unreadable(file.path, error) from error
    max_gap_s, nominal = settings.recordings.max_gap_s, settings.sensors.rate_hz
    values = channel_values(parsed, settings)
    labels = activity_codes(parsed, settings.activities.all)
    placement, device = (one_value(parsed, name, settings) for name in ("placement", "device"))
    times, clock_faults = utc_microseconds(parsed, settings.recordings.time_unit, settings.project.timezone)
    order = order_rows(parsed, times, values, labels, max_gap_s)
    check_date(parsed, times, order.rows, file.date, settings.recordings.time_unit)
    chosen = _choice(order.rows, len(times))
    in_order = times[chosen], values[:, chosen], labels[chosen]
    spaced = spread(parsed, order.rows, *in_order, nominal_hz=nominal, max_gap_s=max_gap_s)
    rows = order.rows[spaced.kept]
    chosen = _choice(rows, len(times))
    rate = measured_rate_hz(spaced.times, max_gap_s)
    check_rate(parsed, spaced.times, rows, rate_hz=rate, nominal_hz=nominal, max_gap_s=max_gap_s)

    cleaned = _clean(spaced.times, values[:, chosen], labels[chosen], settings, rate)
    frame = _frame(file, cleaned, settings)
    _check(parsed, rows, frame, settings)
    regular, resampled = resample(cleaned, nominal)
    interpolated = int(((regular.flags & FLAGS["interpolated"]) > 0).sum())
    check_interpolated(parsed, interpolated, len(regular.times), rate, nominal)
    if resampled:
        frame = _frame(file, regular, settings)
        sample_contract(settings, named=False).validate(frame)
    worn = wear_of(cleaned, settings)
    applied = from_text(parsed.calibration) if parsed.calibration else None
    quality = Quality(
        samples_read=len(times),
        samples_kept=len(cleaned.times),
        duplicates=order.duplicates + spaced.duplicates,
        duplicate_stamps=spaced.duplicate_stamps,
        reordered=order.reordered,
        gaps=int(cleaned.segments[-1]),
        longest_gap_s=float(np.diff(cleaned.times).max(initial=0)) / 1e6,
        coverage=coverage(cleaned.times, rate),
        measured_rate_hz=rate,
        resampled=resampled,
        saturated=int(((cleaned.flags & FLAGS["saturated"]) > 0).sum()),
        stuck=int(((cleaned.flags & FLAGS["stuck"]) > 0).sum()),
        unlabelled=int((cleaned.labels < 0).sum()),
        interpolated=interpolated,
        stamps_spread=spaced.moved,
        longest_gaps=longest(gaps_of(cleaned.times, cleaned.segments), GAPS_KEPT),
        **wear_figures(worn, applied),
        notes=(
            *parsed.notes,
            *(f"{count:,} {words}" for words, count in clock_faults.items()),
            *wear_notes(worn, parsed.calibration, applied),
            *_row_notes(len(times), order, spaced),
            *oddities(regular, settings),
        ),
    )
    return Recording(frame, quality, placement, device)


def _choice(rows: NDArray[np.int64], count: int) -> NDArray[np.int64] | slice:
    """An index of these of `count` rows; all of them in order, as in most files, need no copies."""
    return slice(None) if len(rows) == count and (np.diff(rows) == 1).all() else rows


def _row_notes(count: int, order: Order, spaced: Spread) -> Iterator[str]:
    """What was done to the rows of a file."""
    repeated = order.duplicates + spaced.duplicates
    if repeated > MOST_DROPPED * count:
        yield f"{repeated / count:.0%} of the rows repeat earlier ones and were dropped"
    if spaced.note:
        yield spaced.note


def _clean(
    times: NDArray[np.int64],
    values: NDArray[np.float32],
    labels: NDArray[np.int16],
    settings: Settings,
    rate: float,
) -> Samples:
    segments = split_gaps(times, settings.recordings.max_gap_s)
    return Samples(times, values, labels, fault_flags(times, values, segments, settings.sensors, rate), segments)


def _frame(file: InboxFile, samples: Samples, settings: Settings) -> pl.DataFrame:
    names = pl.Series([*settings.activities.all, None], dtype=pl.String)
    if (samples.labels < 0).all():
        activity = pl.repeat(None, len(samples.labels), dtype=pl.String, eager=True)
    else:
        activity = names.gather(np.where(samples.labels < 0, len(names) - 1, samples.labels))
    columns = {
        "segment": samples.segments,
        "time": pl.Series(samples.times).cast(pl.Datetime("us")).dt.replace_time_zone("UTC"),
        **dict(zip(settings.sensors.channels, samples.values, strict=True)),
        "activity": activity,
        "flags": samples.flags,
    }
    identity = [
        pl.lit(file.date).alias("date"),
        pl.lit(file.subject).alias("subject"),
        pl.lit(file.session).alias("session"),
    ]
    schema = canonical_schema(settings.sensors.channels)
    return pl.DataFrame(columns).with_columns(identity).select(schema.names()).cast(schema)


def _check(parsed: Parsed, rows: NDArray[np.int64], frame: pl.DataFrame, settings: Settings) -> None:
    """Check the cleaned samples, one per kept row, against the schema."""
    from pandera.errors import SchemaError, SchemaErrors

    try:
        sample_contract(settings, named=False).validate(frame)
    except SchemaError:
        pass
    else:
        return
    try:
        sample_contract(settings).validate(frame, lazy=True)
    except SchemaErrors as error:
        names = breaches(error)
        if "gravity" in names:
            raise _unit_error(parsed, frame, settings) from error
        if "range" in names:
            raise _range_error(parsed, rows, frame, settings) from error
        raise RecordingError(
            where=parsed.where,
            expected="samples that satisfy the schema of the sample table",
            got=f"failed checks: {', '.join(sorted(names))}",
            remedy="This is a bug in the program, not in the file: please report it with the file.",
        ) from error


def _unit_error(parsed: Parsed, frame: pl.DataFrame, settings: Settings) -> RecordingError:
    accelerometer = settings.sensors.accelerometer
    assert accelerometer is not None  # noqa: S101  gravity is only checked with an accelerometer
    session = resting_magnitude(frame.lazy(), accelerometer.channels).row(0, named=True)
    magnitude = float(session["magnitude"])
    return UnitError(
        where=parsed.where,
        expected=f"an acceleration near 9.81 m/s² {'at rest' if session['at_rest'] else 'in the median'}",
        got=f"{magnitude:.3g} m/s² when read as {accelerometer.unit}",
        remedy=unit_remedy(magnitude, accelerometer),
    )


def _range_error(parsed: Parsed, rows: NDArray[np.int64], frame: pl.DataFrame, settings: Settings) -> RecordingError:
    worst: tuple[int, str, str] | None = None
    count = 0
    for section, sensor in (
        ("accelerometer", settings.sensors.accelerometer),
        ("gyroscope", settings.sensors.gyroscope),
    ):
        for channel in sensor.channels if sensor is not None else ():
            assert sensor is not None  # noqa: S101  the loop above is empty otherwise
            beyond = np.flatnonzero(frame[channel].abs().to_numpy() > RANGE_SLACK * sensor.full_scale * sensor.to_si)
            count += len(beyond)
            if len(beyond) and (worst is None or rows[beyond].min() < worst[0]):
                worst = int(rows[beyond].min()), section, channel
    assert worst is not None  # noqa: S101  the schema found one with the same limits
    row, section, channel = worst
    sensor = getattr(settings.sensors, section)
    value = parsed.values[settings.sensors.channels.index(channel)][row]
    return RangeError(
        where=parsed.at(row, channel),
        expected=f"at most ±{sensor.full_scale:g} {sensor.unit}, the sensor's full scale",
        got=f"{value:g}",
        remedy=_range_remedy(section, sensor, count),
        line=parsed.line(row),
    )


def _range_remedy(section: str, sensor: Sensor, count: int) -> str:
    """What to do about `count` values beyond full scale: of a few, their lines are wrong; of many, the unit is."""
    if count <= _STRAY_VALUES:
        return f"Delete that line if it is a stray value; otherwise check unit and full_scale of [sensors.{section}]."
    other = {
        unit: f"{sensor.full_scale * sensor.to_si / factor:.4g}"
        for unit, factor in sensor.factors.items()
        if factor < sensor.to_si
    }
    units = " or ".join(f'"{unit}" (then full_scale = {full_scale})' for unit, full_scale in other.items())
    look = f"set sensors.{section}.unit in har.toml to the unit of the files, such as {units}, or " if units else ""
    return f"{count:,} values are beyond it: {look}set sensors.{section}.full_scale to that of the device."
