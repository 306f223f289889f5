"""The section "Stream" of the dashboard "Operations": what devices send while they measure."""

from __future__ import annotations

from infra.observability._panel import Panel, Query

_NO_STREAM = "before the first message of a device"
_NO_HOT = "before the stream's first answer"

STREAM: tuple[Panel, ...] = (
    Panel(
        "Messages by fate",
        "operations",
        "Stream",
        (Query('rate(har_stream_messages{fate!="waiting"}[5m])', "{fate}"),),
        unit="/s",
        help="scored: all their windows are answered. late and rejected messages are in quarantine.",
        empty=_NO_STREAM,
    ),
    Panel(
        "Messages that wait",
        "operations",
        "Stream",
        (Query('har_stream_messages{fate="waiting"}'),),
        help="New ones, and those of windows in progress. With stream.queue_messages, devices are turned away.",
        empty=_NO_STREAM,
    ),
    Panel(
        "Oldest message that waits",
        "operations",
        "Stream",
        (Query("time() - har_stream_oldest_waiting_timestamp_seconds"),),
        unit="age",
        kind="stat",
        levels=((60, "warn"), (120, "bad")),
        help="Some seconds, until its window is complete or the device was silent for stream.idle_s.",
        empty="while nothing waits",
    ),
    Panel(
        "Ledger: messages without a fate",
        "operations",
        "Stream",
        (Query("har_stream_ledger_difference"),),
        kind="stat",
        levels=((1, "bad"),),
        words={0: "balances"},
        help="received = scored + waiting + late + duplicate + rejected.",
        empty=_NO_STREAM,
    ),
    Panel(
        "Devices and subjects",
        "operations",
        "Stream",
        (Query("har_stream_devices", "devices"), Query("har_stream_subjects_live", "subjects")),
        help="That sent something within five minutes.",
        empty=_NO_STREAM,
    ),
    Panel(
        "Windows of devices answered",
        "operations",
        "Stream",
        (Query("rate(har_stream_windows[5m])"),),
        unit="/s",
        empty=_NO_STREAM,
    ),
    Panel(
        "Answers not delivered yet",
        "operations",
        "Stream",
        (Query("har_stream_undelivered", "{to}"),),
        help="They wait in the outbox: for the lake until its next commit, for the others while they are away.",
        empty=_NO_STREAM,
    ),
    Panel(
        "Subjects unlike the training data",
        "operations",
        "Stream",
        (Query("har_stream_subjects_unknown / har_stream_subjects_live"),),
        unit="share",
        levels=((0.1, "warn"), (0.3, "bad")),
        help="Of those that measure now, by their last window.",
        empty=_NO_HOT,
    ),
)
