"""When each alert must fire and when it must be silent: series as Prometheus would have them, and a time.

Values are in promtool's notation: `0+60x10` begins with 0 and grows ten times by 60; `_` is no value. Series have a
value each `step` from 1970 on, so that a negative time stamp lies before the beginning.
"""

from __future__ import annotations

from collections.abc import Mapping

from alert_case import Case, silent
from stream_alert_cases import STREAM

__all__ = ["CASES", "Case"]

HOUR, DAY = 3600, 86_400

_PREDICT = 'job="online",route="/predict"'
_MODEL = 'har_model_info{job="online",instance="a",role="champion",version="7"}'
_UP = {'up{job="project",instance="e"}': "1x99999", "har_champion_version": "7x99999"}
_NO_CHAMPION = {'up{job="project",instance="e"}': "1x99999"}


def _proxy(good: str, bad: str) -> dict[str, str]:
    labels = '{job="proxy",proxy="%s",code="%s"}'
    return {
        "haproxy_backend_http_responses_total" + labels % ("blue", "2xx"): good,
        # Also what the proxy refuses itself; and what it answers to Prometheus.
        "haproxy_frontend_http_responses_total" + labels % ("online", "5xx"): bad,
        "haproxy_frontend_http_responses_total" + labels % ("online", "2xx"): "0+100000x500",
    }


def _service(good: str, bad: str = "") -> dict[str, str]:
    found = {f'har_requests_total{{{_PREDICT},instance="a",status="200"}}': good}
    return {**found, **({f'har_requests_total{{{_PREDICT},instance="a",status="500"}}': bad} if bad else {})}


def _times(total: str, within: str) -> dict[str, str]:
    labels = f'{_PREDICT},instance="a"'
    return {
        f"har_request_seconds_count{{{labels}}}": total,
        f'har_request_seconds_bucket{{{labels},le="0.05"}}': within,
        f'har_request_seconds_bucket{{{labels},le="+Inf"}}': total,
    }


def _since(metric: str, seconds: float) -> dict[str, str]:
    """A time stamp that lies this long before the beginning."""
    return {metric: f"{-seconds:g}x99999"}


def _state(name: str) -> str:
    return f'har_release_state{{state="{name}"}}'


ONLINE: dict[str, list[Case]] = {
    "OnlineDown": [
        Case(
            "the proxy has no server", "2m", {**_UP, 'haproxy_backend_active_servers{job="proxy",proxy="blue"}': "0x20"}
        ),
        Case("no proxy, and the service is down", "2m", {**_UP, 'up{job="online",instance="a"}': "0x20"}),
        Case("the exporter is gone, too", "2m", {'up{job="online",instance="a"}': "0x20"}),
        silent("a restart of half a minute", "30s", {**_UP, 'up{job="online",instance="a"}': "0x20"}),
        silent("nothing is packaged yet", "2m", {**_NO_CHAMPION, 'up{job="online",instance="a"}': "0x20"}),
        silent(
            "one of two backends is empty, as between releases",
            "2m",
            {
                **_UP,
                'haproxy_backend_active_servers{job="proxy",proxy="blue"}': "2x20",
                'haproxy_backend_active_servers{job="proxy",proxy="green"}': "0x20",
            },
        ),
        silent(
            "metrics do not arrive, but the proxy sees servers",
            "2m",
            {
                **_UP,
                'up{job="online",instance="a"}': "0x20",
                'haproxy_backend_active_servers{job="proxy",proxy="blue"}': "1x20",
            },
        ),
    ],
    "OnlineSaturated": [
        Case(
            "two of a hundred are refused",
            "8m",
            {
                f'har_requests_total{{{_PREDICT},instance="a",status="200"}}': "0+98x60",
                f'har_requests_total{{{_PREDICT},instance="a",status="503"}}': "0+2x60",
            },
        ),
        Case("requests wait", "8m", {'haproxy_backend_current_queue{job="proxy",proxy="blue"}': "3x60"}),
        silent(
            "one of a thousand is refused",
            "8m",
            {
                f'har_requests_total{{{_PREDICT},instance="a",status="200"}}': "0+999x60",
                f'har_requests_total{{{_PREDICT},instance="a",status="503"}}': "0+1x60",
            },
        ),
        silent("a short queue", "8m", {'haproxy_backend_current_queue{job="proxy",proxy="blue"}': "0x20 9 0x60"}),
        silent("nobody asks", "8m", _service("5x60")),
    ],
    "FallbackAnswers": [
        Case(
            "two of a hundred",
            "12m",
            {
                **_service("0+100x60"),
                'har_fallback_total{job="online",instance="a",by="rule",reason="error"}': "0+2x60",
            },
        ),
        silent(
            "one of two hundred",
            "12m",
            {
                **_service("0+200x60"),
                'har_fallback_total{job="online",instance="a",by="rule",reason="error"}': "0+1x60",
            },
        ),
        silent(
            "a burst of a minute",
            "12m",
            {
                **_service("0+100x60"),
                'har_fallback_total{job="online",instance="a",by="rule",reason="error"}': "0x8 0+5x4 20x60",
            },
        ),
    ],
    "PredictionLogDrops": [
        Case(
            "some lines, once",
            "6m",
            {'har_log_dropped_total{job="online",instance="a",reason="disk"}': "0x10 3x60"},
        ),
        silent("none", "6m", {'har_log_dropped_total{job="online",instance="a",reason="disk"}': "4x60"}),
        silent("an hour ago", "70m", {'har_log_dropped_total{job="online",instance="a",reason="disk"}': "0x10 3x400"}),
    ],
}

SLO: dict[str, list[Case]] = {
    "AvailabilityBurnsFast": [
        Case("two of a hundred fail for an hour", "66m", _proxy("0+588x80", "0+12x80"), step="1m"),
        Case("the same without a proxy", "66m", _service("0+588x80", "0+12x80"), step="1m"),
        silent("one of a hundred fails", "66m", _proxy("0+594x80", "0+6x80"), step="1m"),
        silent("the fault is over since ten minutes", "61m", _proxy("0+588x80", "0+12x50 600x30"), step="1m"),
        silent("two of five requests of a night fail", "66m", _proxy("0x20 1x5 2x5 3x80", "0x20 1x5 2x80"), step="1m"),
        silent("nobody asks", "66m", _proxy("5x80", "0x80"), step="1m"),
    ],
    "AvailabilityBurns": [
        Case("seven of a thousand fail for hours", "361m", _proxy("0+993x400", "0+7x400"), step="1m"),
        silent("five of a thousand fail", "361m", _proxy("0+995x400", "0+5x400"), step="1m"),
        silent("the fault is over since forty minutes", "361m", _proxy("0+900x400", "0+100x310 31000x90"), step="1m"),
    ],
    "AvailabilityBurnsSlowly": [
        Case("two of a thousand fail all the time", "481m", _proxy("0+998x500", "0+2x500"), step="1m"),
        silent("one of two thousand fails", "481m", _proxy("0+1999x500", "0+1x500"), step="1m"),
        silent("two of a thousand, since half an hour", "31m", _proxy("0+998x500", "0+2x500"), step="1m"),
    ],
    "LatencyBurnsFast": [
        Case("one of five is slow for an hour", "66m", _times("0+600x80", "0+480x80"), step="1m"),
        silent("one of ten is slow", "66m", _times("0+600x80", "0+540x80"), step="1m"),
        silent("all were slow until ten minutes ago", "61m", _times("0+600x80", "0x50 0+600x30"), step="1m"),
    ],
    "LatencyBurns": [
        Case("one of ten is slow for hours", "361m", _times("0+600x400", "0+540x400"), step="1m"),
        silent("one of twenty is slow", "361m", _times("0+600x400", "0+570x400"), step="1m"),
    ],
    "LatencyBurnsSlowly": [
        Case("two of a hundred are slow all the time", "481m", _times("0+600x500", "0+588x500"), step="1m"),
        silent("one of two hundred is slow", "481m", _times("0+600x500", "0+597x500"), step="1m"),
    ],
}

RELEASE: dict[str, list[Case]] = {
    "ReleaseHeld": [
        Case("for more than an hour", "1m", _since("har_release_held_since_timestamp_seconds", HOUR)),
        silent("for ten minutes", "1m", _since("har_release_held_since_timestamp_seconds", 600)),
        silent("the step runs", "1m", {_state("running"): "1x20"}),
    ],
    "ReleaseStalled": [
        Case(
            "the lease ran out",
            "4m",
            {**_since("har_release_lease_timestamp_seconds", 30), _state("running"): "1x20", _state("held"): "0x20"},
        ),
        Case("it cannot be watched as it should be", "3m", {"har_release_trouble": "1x20"}),
        silent(
            "the lease is renewed",
            "4m",
            {"har_release_lease_timestamp_seconds": "10+15x20", _state("running"): "1x20"},
        ),
        silent(
            "the release is over",
            "4m",
            {
                **_since("har_release_lease_timestamp_seconds", 30),
                _state("running"): "0x20",
                _state("promoted"): "1x20",
            },
        ),
        silent("trouble of a minute", "1m", {"har_release_trouble": "1x20"}),
    ],
    "ReleaseTakenBack": [
        Case(
            "by the judge",
            "1m",
            {_state("rolled back"): "1x20", **_since("har_release_ended_timestamp_seconds", 60)},
        ),
        silent(
            "yesterday", "1m", {_state("rolled back"): "1x20", **_since("har_release_ended_timestamp_seconds", DAY)}
        ),
        silent("promoted", "1m", {_state("promoted"): "1x20", **_since("har_release_ended_timestamp_seconds", 60)}),
    ],
    "ReplicaDown": [
        Case(
            "one of two",
            "3m",
            {'har_replicas{role="stable",state="ready"}': "1x20", "har_replicas_wanted": "2x20"},
        ),
        silent(
            "all are ready", "3m", {'har_replicas{role="stable",state="ready"}': "2x20", "har_replicas_wanted": "2x20"}
        ),
        silent(
            "one restarts", "1m", {'har_replicas{role="stable",state="ready"}': "1x20", "har_replicas_wanted": "2x20"}
        ),
    ],
    "ReplicaEjected": [
        Case("one fails", "2m", {'har_replicas{role="stable",state="ejected"}': "1x20"}),
        silent("none", "2m", {'har_replicas{role="stable",state="ejected"}': "0x20"}),
        silent("for half a minute", "2m", {'har_replicas{role="stable",state="ejected"}': "0x3 1x2 0x20"}),
    ],
}

PROJECT: dict[str, list[Case]] = {
    "FlowFailed": [
        Case(
            "the last run failed",
            "1m",
            {
                'har_flow_last_success_timestamp_seconds{flow="score"}': "100x20",
                'har_flow_last_failure_timestamp_seconds{flow="score"}': "200x20",
            },
        ),
        Case("no run was ever good", "1m", {'har_flow_last_failure_timestamp_seconds{flow="score"}': "200x20"}),
        silent(
            "the next one was good",
            "1m",
            {
                'har_flow_last_success_timestamp_seconds{flow="score"}': "300x20",
                'har_flow_last_failure_timestamp_seconds{flow="score"}': "200x20",
            },
        ),
        silent("none failed", "1m", {'har_flow_last_success_timestamp_seconds{flow="score"}': "100x20"}),
    ],
    "FlowLate": [
        Case("no worker", "16m", {'har_flow_late_runs{flow="score"}': "1x80"}),
        silent("it waits for another run", "10m", {'har_flow_late_runs{flow="score"}': "1x80"}),
        silent("none is late", "16m", {'har_flow_late_runs{flow="score"}': "0x80"}),
    ],
    "DaysUnscored": [
        Case("for two nights", "1m", _since("har_unscored_since_timestamp_seconds", 37 * HOUR)),
        silent("since yesterday", "1m", _since("har_unscored_since_timestamp_seconds", 30 * HOUR)),
        silent("everything is scored", "1m", {"har_unscored_days": "0x20"}),
    ],
    "CollectLags": [
        Case("three runs were missed", "1m", _since("har_journal_oldest_timestamp_seconds", 3.5 * HOUR)),
        silent("one was missed", "1m", _since("har_journal_oldest_timestamp_seconds", 2.5 * HOUR)),
        silent("nothing waits", "1m", {"har_journal_bytes": "0x20"}),
    ],
    "QuarantineGrows": [
        Case("two files", "30m", {"har_quarantine_files": "3x20 5x200"}),
        silent("old ones", "30m", {"har_quarantine_files": "5x200"}),
        silent("taken out", "30m", {"har_quarantine_files": "5x20 3x200"}),
    ],
    "DataFaults": [
        Case("a stuck sensor", "1m", {'har_data_faults{kind="stuck"}': "1x20", 'har_data_faults{kind="gaps"}': "0x20"}),
        silent("none", "1m", {'har_data_faults{kind="stuck"}': "0x20"}),
    ],
    "DiskLow": [
        Case("a twentieth is free", "11m", {"har_disk_free_bytes": "5x60", "har_disk_size_bytes": "100x60"}),
        silent("a fifth is free", "11m", {"har_disk_free_bytes": "20x60", "har_disk_size_bytes": "100x60"}),
        silent("for a few minutes", "5m", {"har_disk_free_bytes": "5x60", "har_disk_size_bytes": "100x60"}),
    ],
    "DiskFull": [
        Case("a hundredth is free", "3m", {"har_disk_free_bytes": "1x60", "har_disk_size_bytes": "100x60"}),
        silent("a twentieth is free", "3m", {"har_disk_free_bytes": "5x60", "har_disk_size_bytes": "100x60"}),
    ],
    "DriftConfirmed": [
        Case(
            "of the champion",
            "1m",
            {"har_drift_confirmed": "1x20", "har_drift_version": "7x20", "har_champion_version": "7x20"},
        ),
        silent(
            "of the one before",
            "1m",
            {"har_drift_confirmed": "1x20", "har_drift_version": "6x20", "har_champion_version": "7x20"},
        ),
        silent(
            "none", "1m", {"har_drift_confirmed": "0x20", "har_drift_version": "7x20", "har_champion_version": "7x20"}
        ),
    ],
    "ChampionOld": [
        Case("91 days", "1m", _since("har_champion_promoted_timestamp_seconds", 91 * DAY)),
        silent("89 days", "1m", _since("har_champion_promoted_timestamp_seconds", 89 * DAY)),
    ],
}

WATCHING: dict[str, list[Case]] = {
    "TargetDown": [
        Case("Alertmanager", "6m", {**_UP, 'up{job="alerts",instance="m"}': "0x60"}),
        Case(
            "a replica", "6m", {**_UP, 'up{job="online",instance="a"}': "0x60", 'up{job="online",instance="b"}': "1x60"}
        ),
        silent("nothing is packaged yet", "6m", {**_NO_CHAMPION, 'up{job="batch",instance="a"}': "0x60"}),
        silent("for a minute", "2m", {**_UP, 'up{job="batch",instance="a"}': "0x60"}),
        silent("all answer", "6m", {**_UP, 'up{job="batch",instance="a"}': "1x60"}),
    ],
    "ProxyDown": [
        Case("it was killed", "2m", {'up{job="proxy",instance="p"}': "0x20"}),
        silent("a restart", "2m", {'up{job="proxy",instance="p"}': "0x1 1x20"}),
        silent("there is none", "2m", _UP),
    ],
    "ExporterGone": [
        Case("it is down", "6m", {'up{job="project",instance="e"}': "0x60"}),
        Case("nobody reads it", "6m", {'up{job="online",instance="a"}': "1x60"}),
        silent("it answers", "6m", {'up{job="project",instance="e"}': "1x60"}),
    ],
    "ExporterPartStale": [
        Case("an error", "6m", {'har_exporter_ok{part="flows"}': "0x60"}),
        Case("it hangs", "11m", {'har_exporter_last_success_timestamp_seconds{part="lake"}': "0x80"}),
        silent(
            "a failed read",
            "6m",
            {
                'har_exporter_ok{part="flows"}': "1x10 0x2 1x60",
                'har_exporter_last_success_timestamp_seconds{part="flows"}': "0+15x80",
            },
        ),
    ],
    "RuleFails": [
        Case("a rule", "10m", {'prometheus_rule_evaluation_failures_total{job="prometheus",rule_group="g"}': "0+1x60"}),
        silent("none", "10m", {'prometheus_rule_evaluation_failures_total{job="prometheus",rule_group="g"}': "3x60"}),
    ],
    "AlertsNotDelivered": [
        Case("Alertmanager is away", "10m", {'prometheus_notifications_errors_total{alertmanager="m"}': "0+1x60"}),
        Case("the mail server is", "10m", {'alertmanager_notifications_failed_total{integration="email"}': "0+1x60"}),
        silent("all arrive", "10m", {'alertmanager_notifications_failed_total{integration="email"}': "2x60"}),
    ],
}

CASES: Mapping[str, Mapping[str, list[Case]]] = {
    "online": ONLINE,
    "slo": SLO,
    "release": RELEASE,
    "project": PROJECT,
    "watching": WATCHING,
    "stream": STREAM,
}
"""By the name of the rule file, then by the alert."""
