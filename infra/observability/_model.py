"""The dashboard "Model and data": what the model sees and answers, and whether the data keep coming."""

from __future__ import annotations

from infra.observability._panel import Panel, Query

_NO_MODEL = "before the first promotion"
_NO_DAY = "before the first monitored day"
_NO_TRAFFIC = "before the first request of the last minutes"
_NO_VERSION = "before the first version is packaged"

MODEL: tuple[Panel, ...] = (
    Panel(
        "Champion",
        "model",
        "Champion",
        (Query("har_champion_version", "version"),),
        kind="stat",
        empty=_NO_MODEL,
    ),
    Panel(
        "Since its promotion",
        "model",
        "Champion",
        (Query("time() - har_champion_promoted_timestamp_seconds"),),
        unit="age",
        kind="stat",
        levels=((7_776_000, "warn"),),
        help="Older than 90 days, it should be trained again on newer recordings.",
        empty=_NO_MODEL,
    ),
    Panel(
        "Accuracy on labelled windows",
        "model",
        "Champion",
        (
            Query("har_accuracy", "last days"),
            Query("har_accuracy_expected", "at training"),
        ),
        unit="share",
        help="Of the newest monitored day's report; only where feedback or labels exist.",
        empty="without labels",
    ),
    Panel(
        "Answers like the other version",
        "model",
        "Champion",
        (
            Query(
                'sum(rate(har_shadow_windows_total{job="online",agrees="true"}[5m])) '
                '/ sum(rate(har_shadow_windows_total{job="online"}[5m]))'
            ),
        ),
        unit="share",
        help="Windows of which the shadow model says the same.",
        empty="only while a shadow model answers, too",
    ),
    Panel(
        "Windows by activity",
        "model",
        "Answers",
        (Query('sum by (activity) (rate(har_predictions_total{job="online"}[5m]))', "{activity}"),),
        unit="/s",
        help="A class that is suddenly missing or alone is a fault of the model or of the data.",
        empty=_NO_VERSION,
    ),
    Panel(
        "Mean confidence by version",
        "model",
        "Answers",
        (Query("version:har_confidence:mean_rate5m", "version {version}"),),
        unit="share",
        empty=_NO_TRAFFIC,
    ),
    Panel(
        "Unsure and implausible",
        "model",
        "Answers",
        (
            Query(
                'sum(rate(har_abstained_total{job="online"}[5m])) / sum(rate(har_windows_total{job="online"}[5m]))',
                "unsure",
            ),
            Query('sum by (code) (rate(har_warnings_total{job="online"}[5m]))', "{code}"),
        ),
        help="Share of windows below `scoring.abstain_below`; and requests per second whose values do not fit their "
        "unit.",
        empty=_NO_VERSION,
    ),
    Panel(
        "Drift score",
        "model",
        "Drift",
        (
            Query("har_drift_score", "everyone"),
            Query("har_drift_feature_score", "{feature}"),
        ),
        levels=((1, "warn"),),
        help="Of the newest monitored day: 1 is the alarm level. The features are the five worst.",
        empty=_NO_DAY,
    ),
    Panel(
        "Drift confirmed",
        "model",
        "Drift",
        (Query("har_drift_confirmed"),),
        kind="stat",
        levels=((1, "bad"),),
        words={0: "no", 1: "yes"},
        help="On enough of the last days (drift.days of drift.of_days).",
        empty=_NO_DAY,
    ),
    Panel(
        "Faults of the data",
        "model",
        "Drift",
        (Query("har_data_faults", "{kind}"),),
        levels=((1, "warn"),),
        help="Subjects of the newest monitored day whose sensor or upload is at fault, by kind.",
        empty=_NO_DAY,
    ),
    Panel(
        "Since the last monitored day",
        "model",
        "Drift",
        (Query("time() - har_monitored_day_timestamp_seconds"),),
        unit="age",
        kind="stat",
        help="Counted from the day's end.",
        empty=_NO_DAY,
    ),
    Panel(
        "Newest sample in the lake",
        "model",
        "Data",
        (Query("time() - har_newest_sample_timestamp_seconds"),),
        unit="age",
        kind="stat",
        help="How old the newest measured value is.",
        empty="before the first recording",
    ),
    Panel(
        "Days not scored",
        "model",
        "Data",
        (Query("har_unscored_days"),),
        kind="stat",
        levels=((1, "warn"), (3, "bad")),
        help="Dates with recordings that no model has scored; the nightly flow scores them.",
    ),
    Panel(
        "Files",
        "model",
        "Data",
        (
            Query("har_inbox_files", "in the inbox"),
            Query("har_quarantine_files", "in quarantine"),
        ),
        kind="stat",
        help="Each file in quarantine has a .json beside it that says why.",
    ),
    Panel(
        "Rows",
        "model",
        "Data",
        (Query("har_table_rows", "{table}"),),
        help="Of the lake's tables.",
    ),
    Panel(
        "Rows added in a day",
        "model",
        "Data",
        (Query("delta(har_table_rows[1d])", "{table}"),),
        help="Of the lake's tables; none on a day on which nothing came.",
    ),
    Panel(
        "Since a table changed",
        "model",
        "Data",
        (Query("time() - har_table_changed_timestamp_seconds", "{table}"),),
        unit="age",
        kind="stat",
        empty="before a table's first write",
    ),
)
