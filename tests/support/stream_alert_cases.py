"""The cases of the stream's alerts, as in `alert_cases`."""

from __future__ import annotations

from alert_case import Case, silent

_AT = "har_stream_oldest_waiting_timestamp_seconds"
_WAITING = 'har_stream_messages{fate="waiting"}'
_LIMIT = "har_stream_queue_limit"


def _aside(fate: str, each: int, received: int) -> dict[str, str]:
    """So many messages every 15 s; the ledger's other fates grow, too."""
    return {
        f'har_stream_messages{{fate="{fate}"}}': f"0+{each}x200",
        'har_stream_messages{fate="scored"}': f"0+{received - each}x200",
        "har_stream_received": f"0+{received}x200",
    }


STREAM: dict[str, list[Case]] = {
    "StreamLags": [
        Case("nobody consumes", "4m", {_AT: "0x60"}),
        silent("windows in progress", "10m", {_AT: "0+15x60"}),
        silent("a consumer was restarted", "3m30s", {_AT: "0x9 120+15x60"}),
        silent("nothing waits", "10m", {_WAITING: "0x60"}),
    ],
    "StreamQueueFills": [
        Case("half of what fits", "5m", {_WAITING: "100001x60", _LIMIT: "200000x60"}),
        silent("a burst", "5m", {_WAITING: "150000x4 3000x60", _LIMIT: "200000x60"}),
        silent("a larger queue", "5m", {_WAITING: "100001x60", _LIMIT: "900000x60"}),
    ],
    "StreamNotDelivered": [
        Case(
            "the history is away",
            "20m",
            {
                'har_stream_undelivered{to="history"}': "5+10x100",
                'har_stream_delivered{to="history"}': "70x100",
                'har_stream_undelivered{to="hot"}': "3x100",
                'har_stream_delivered{to="hot"}': "70+10x100",
            },
        ),
        silent(
            "it catches up",
            "20m",
            {
                'har_stream_undelivered{to="history"}': "9000-10x100",
                'har_stream_delivered{to="history"}': "70x40 80+10x60",
            },
        ),
        silent(
            "nothing to deliver",
            "20m",
            {'har_stream_undelivered{to="lake"}': "0x100", 'har_stream_delivered{to="lake"}': "70x100"},
        ),
    ],
    "StreamSetsAside": [
        Case("a tenth is late", "20m", _aside("late", 10, 100)),
        Case("a firmware writes other units", "20m", _aside("rejected", 50, 100)),
        silent("three of a hundred", "20m", _aside("late", 3, 100)),
        silent("duplicates of a device that sends again", "20m", _aside("duplicate", 50, 100)),
        silent(
            "a few of a few",
            "20m",
            {'har_stream_messages{fate="rejected"}': "0x40 4x60", "har_stream_received": "0x40 8x60"},
        ),
    ],
    "StreamLedgerUnbalanced": [
        Case("a message has no fate", "3m", {"har_stream_ledger_difference": "1x20"}),
        silent("it balances", "3m", {"har_stream_ledger_difference": "0x20"}),
    ],
    "StreamUnknown": [
        Case(
            "a new kind of device", "20m", {"har_stream_subjects_unknown": "2x99", "har_stream_subjects_live": "5x99"}
        ),
        silent("one of twenty", "20m", {"har_stream_subjects_unknown": "1x99", "har_stream_subjects_live": "20x99"}),
        silent("the only one", "20m", {"har_stream_subjects_unknown": "1x99", "har_stream_subjects_live": "1x99"}),
        silent(
            "for some minutes",
            "20m",
            {"har_stream_subjects_unknown": "4x20 0x99", "har_stream_subjects_live": "5x99"},
        ),
    ],
}
