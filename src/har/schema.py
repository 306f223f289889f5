"""The columns of every table in the lake: names, types, units and meaning."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

import polars as pl

FLAGS = {"saturated": 1, "stuck": 2, "interpolated": 4}
"""Bits of the column `flags`.

saturated: a channel is at its full scale or beyond. stuck: a channel has been constant for a second or longer.
interpolated: there is no measured sample within 0.6 of an interval (half an interval, plus tolerance for jitter).
"""

TIME = pl.Datetime("us", "UTC")

Partition = tuple[dt.date, str]
"""A date and a subject. Only rows that earlier releases wrote without a check have no subject (None or empty)."""


def canonical_schema(channels: Iterable[str]) -> pl.Schema:
    """Columns and types of the sample table: channels in m/s² or rad/s, `activity` null where unlabelled."""
    return pl.Schema(
        {
            "date": pl.Date(),
            "subject": pl.String(),
            "session": pl.String(),
            "segment": pl.Int32(),
            "time": TIME,
            **{channel: pl.Float32() for channel in channels},
            "activity": pl.String(),
            "flags": pl.Int8(),
        }
    )


WEAR = {
    "idle_s": pl.Float64(),
    "nonwear_s": pl.Float64(),
    "nonwear": pl.List(pl.Struct({"start": TIME, "end": TIME})),
    "calibration_error_mg": pl.Float64(),
    "calibrated_error_mg": pl.Float64(),
    "calibration_gain": pl.List(pl.Float64()),
    "calibration_offset_mg": pl.List(pl.Float64()),
    "calibrated": pl.Boolean(),
}
"""Columns of `recordings` that only a whole recording tells; null in rows of older releases and of streams."""

RECORDINGS = pl.Schema(
    {
        "date": pl.Date(),
        "subject": pl.String(),
        "session": pl.String(),
        "file": pl.String(),
        "sha256": pl.String(),
        "ingested_at": TIME,
        "samples": pl.Int64(),
        "samples_read": pl.Int64(),
        "duplicates": pl.Int64(),
        "duplicate_stamps": pl.Int64(),
        "reordered": pl.Int64(),
        "gaps": pl.Int64(),
        "longest_gap_s": pl.Float64(),
        "coverage": pl.Float64(),
        "measured_rate_hz": pl.Float64(),
        "resampled": pl.Boolean(),
        "saturated": pl.Int64(),
        "stuck": pl.Int64(),
        "unlabelled": pl.Int64(),
        "interpolated": pl.Int64(),
        "stamps_spread": pl.Int64(),
        "notes": pl.List(pl.String()),
        "placement": pl.String(),
        "device": pl.String(),
        "overlapping": pl.Int64(),
        **WEAR,
    }
)
"""One row per ingested file and date: the source of its samples, and their quality.

`samples` is the number of rows in the sample table. A file that was cut at midnight has a row for each of its dates,
with the same `file` and `sha256`. `overlapping` counts samples that were left out because another session of the
subject and placement has them.

`idle_s` counts seconds in which the accelerometer repeated its last values or zeros, `nonwear_s` those in which it was
not worn (`nonwear` says when), null where a recording is shorter than an hour. `calibration_error_mg` is the mean
distance of the acceleration at rest from 1 g, `calibrated_error_mg` the same after `calibration_gain` · measured +
`calibration_offset_mg`; null where the file does not tell. `calibrated` says whether the samples have that gain and
offset.
"""

PREDICTIONS = pl.Schema(
    {
        "date": pl.Date(),
        "subject": pl.String(),
        "session": pl.String(),
        "start": TIME,
        "end": TIME,
        "activity": pl.String(),
        "confidence": pl.Float32(),
        "abstained": pl.Boolean(),
        "model_version": pl.Int32(),
        "request_id": pl.String(),
        "smoothed": pl.String(),
        "unknown": pl.Boolean(),
    }
)
"""One row per window; `end` is the stamp of the first sample after it.

`activity` is `har.plausibility.NO_SIGNAL`, with confidence 0 and abstained, where a sensor was off, stuck or at its
limit.

`request_id` is null in rows of the nightly job; in rows of the online service it is the id of the request. A subject's
day can have both.

`smoothed` is the activity by `scoring.smoothing`, beside the model's own answer. `unknown` says whether the window is
unlike the training data. Both are null where the setting is off or the model's file, of an older release, cannot say,
and in rows of older releases; in rows of the online service, which knows single windows, `smoothed` is always null.
"""

REQUESTS = pl.Schema(
    {
        "date": pl.Date(),
        "subject": pl.String(),
        "request_id": pl.String(),
        "start": TIME,
        "model_version": pl.Int32(),
        "fallback": pl.String(),
        "ms": pl.Float32(),
        "features": pl.List(pl.Float32()),
        "shadow_version": pl.Int32(),
        "shadow_activity": pl.String(),
        "shadow_confidence": pl.Float32(),
        "received_at": TIME,
    }
)
"""One row per window that the online service answered: the features, the fallback if any, and the shadow's answer.

`fallback` is null, "previous" or "rule"; `features` is null where the rule answered; the shadow's columns are null
where no shadow model was asked. `ms` is the time of the whole request.
"""

LABELS = pl.Schema(
    {
        "date": pl.Date(),
        "subject": pl.String(),
        "start": TIME,
        "end": TIME,
        "activity": pl.String(),
        "request_id": pl.String(),
        "feedback_id": pl.String(),
        "received_at": TIME,
        "claimed_start": TIME,
        "claimed_end": TIME,
        "source": pl.String(),
        "batch": pl.String(),
        "review": pl.String(),
        "reviewed_by": pl.String(),
    }
)
"""One row per label that is not in a recording's file: the true activity of an interval, from a person or as feedback.

`review` is "imported" (`har labels FILE`), "accepted" or "rejected" (a person's word about feedback), or null: feedback
that nobody has reviewed. `source` says where it came from, `batch` names the import, `reviewed_by` the person.

Feedback about an interval claims it in `claimed_start` and `claimed_end`; `start` and `end` are the part of it in which
the subject has predictions. A row whose request or predictions are not in the lake yet has no `start` and no `end`; one
about a request also has the date of its receipt, and the subject `UNKNOWN_SUBJECT`, until the request arrives.
"""

IMPORTED, ACCEPTED, REJECTED = "imported", "accepted", "rejected"
"""What `review` in the table `labels` can be, besides null."""

IMPORTED_ID = "table-"
"""How the `feedback_id` of an imported label begins; releases without the column `review` tell imports by it."""

UNKNOWN_SUBJECT = "unknown"
"""The subject of requests without one."""

STREAMED = "stream-"
"""How the `request_id` of a window begins that was answered while its samples came in."""

ONLINE_SESSION = "online"
"""The session of requests without one."""

SCORES = pl.Schema(
    {
        "date": pl.Date(),
        "subject": pl.String(),
        "model_version": pl.Int32(),
        "content": pl.String(),
        "samples_version": pl.Int64(),
        "windows": pl.Int64(),
        "seconds": pl.Float64(),
        "scored_at": TIME,
    }
)
"""One row per scored partition, written after its predictions: the model's version and a hash of the source files."""

PROFILES = pl.Schema(
    {
        "date": pl.Date(),
        "subject": pl.String(),
        "placement": pl.String(),
        "device": pl.String(),
        "online": pl.Boolean(),
        "windows": pl.Int64(),
        "model_version": pl.Int32(),
        "profile": pl.Binary(),
        "made_at": TIME,
        "by_activity": pl.Binary(),
    }
)
"""One row per date, subject, placement and device, online windows separately: distributions of the model's features.

`windows` counts those without a signal, too; the profile holds the others, and the share without one per recording.

`profile` is a `har.monitoring.profiles.Profile`, and `by_activity` a `ByActivity`, null in rows of older releases and
of models without a reference; rows older than `monitoring.keep_days` are deleted. `placement` and `device` are "" where
unknown.
"""

OWN_HISTORY = pl.Schema(
    {
        "date": pl.Date(),
        "subject": pl.String(),
        "day": pl.Date(),
        "placement": pl.String(),
        "device": pl.String(),
        "model_version": pl.Int32(),
        "windows": pl.Int64(),
        "by_activity": pl.Binary(),
    }
)
"""Each subject's own history: one row per quiet `day`, placement and device, in one partition per subject.

`date` is the first of the subject's days. A history has `drift.own_history_days` days, of one model version, and does
not grow after them. `by_activity` is a `har.monitoring.profiles.ByActivity`.
"""

EVERYONE = "everyone"
"""The subject of rows about all subjects of a day."""

DRIFT = pl.Schema(
    {
        "date": pl.Date(),
        "subject": pl.String(),
        "model_version": pl.Int32(),
        "score": pl.Float64(),
        "alarmed": pl.Boolean(),
        "confirmed": pl.Boolean(),
        "since": pl.Date(),
        "report": pl.String(),
        "made_at": TIME,
        "judged": pl.Boolean(),
    }
)
"""One row per monitored day, subject `EVERYONE`: `report` is the whole `har.monitoring.drift.DayReport` as JSON.

The other columns repeat what is in it, so that the log of the table tells which days to read; `judged` is null in rows
of older releases.
"""

DECISIONS = pl.Schema(
    {
        "date": pl.Date(),
        "subject": pl.String(),
        "decision_id": pl.String(),
        "action": pl.String(),
        "reasons": pl.List(pl.String()),
        "event": pl.String(),
        "payload": pl.String(),
        "model_version": pl.Int32(),
        "decided_at": TIME,
        "emitted_at": TIME,
        "handled_at": TIME,
        "attempts": pl.Int32(),
        "outcome": pl.String(),
    }
)
"""The log of the monitoring policy, one row per decision, subject `EVERYONE`; `date` is the monitored day.

`payload` is JSON. A row with an `event` and no `handled_at` has not been handled: the next run sends it again.
`attempts` counts the trainings that were started for it.
"""

LABEL_REQUESTS = pl.Schema(
    {
        "date": pl.Date(),
        "subject": pl.String(),
        "session": pl.String(),
        "start": TIME,
        "end": TIME,
        "request_id": pl.String(),
        "rank": pl.Int32(),
        "activity": pl.String(),
        "confidence": pl.Float32(),
        "reason": pl.String(),
        "decision_id": pl.String(),
        "asked_at": TIME,
    }
)
"""The most informative windows to label, ranked from 1 within a decision; `activity` is the model's prediction."""

_NUMBERS = pl.List(pl.Struct({"name": pl.String(), "value": pl.Float64()}))

BASELINES = pl.Schema(
    {
        "date": pl.Date(),
        "subject": pl.String(),
        "days": pl.Int32(),
        "features": _NUMBERS,
        "minutes": _NUMBERS,
        "windows": pl.Int64(),
        "confidence_sum": pl.Float64(),
        "samples": pl.Int64(),
        "accel_mean": pl.Float64(),
        "accel_m2": pl.Float64(),
        "predictions_at": TIME,
        "made_at": TIME,
    }
)
"""One row per date and subject: features of the subject's last days up to this one, which is over then.

`features` are those of `har.streaming.baselines`, from `days` days with measurements. The columns from `minutes` on
describe this day alone, so that the next days' features need not read its samples again: minutes per activity, windows
with a signal and the sum of their confidences, samples, the mean of the acceleration's magnitude in m/s² and the sum of
its squared deviations. `predictions_at` is when the day's predictions were written.
"""
