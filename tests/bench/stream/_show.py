"""The figures as tables, ratios first."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

_RATES = {
    "vs_raw": "beside the broker's client alone",
    "vs_quix": "beside quixstreams, state on disk",
    "vs_quix_in_memory": "beside quixstreams, state in memory",
    "vs_offline": "beside offline scoring, one thread",
    "two_vs_one": "two consumers beside one",
    "samples_per_s": "samples/s of one consumer",
    "messages_per_s": "messages/s of one consumer",
    "messages_per_cpu_s": "messages per CPU second",
    "cpu_share": "CPU, of one core",
    "raw_messages_per_s": "messages/s of the client alone",
    "quix_messages_per_s": "messages/s of quixstreams, state on disk",
    "quix_in_memory_messages_per_s": "messages/s of quixstreams, state in memory",
    "complete": "all windows answered",
}
_PACED = {
    "kind": "by",
    "devices": "devices",
    "p50_s": "p50 s",
    "p99_s": "p99 s",
    "sustained": "sustained",
    "zero_loss": "no loss",
    "rss_mb": "RSS MB",
    "rss_silent_mb": "silent MB",
    "cpu_share": "CPU",
    "load_late_ms_p99": "load late ms p99",
    "recovered_first_s": "first answer s",
    "recovered_whole_s": "caught up s",
}


def show(figures: dict[str, Any], console: Console) -> None:
    """Print tables of what was measured."""
    about = f"{figures['cores']} cores for load, broker and consumer; load average before: {figures['load_before']}"
    rates = figures.get("rates")
    if rates:
        names = [name for name, found in rates.items() if isinstance(found, dict)]
        table = Table("", *names, title=f"{rates['messages']:,} messages of a second that wait. {about}")
        for key, title in _RATES.items():
            values = [rates[name].get(key) for name in names]
            if any(value is not None for value in values):
                table.add_row(title, *map(_text, values))
        console.print(table)
        console.print(f"Offline: {rates['offline_samples_per_s']:,} samples/s.", highlight=False)
    for name, title in (("paced", "One message a second"), ("recovery", "One message a second, consumer killed")):
        rows = figures.get(name)
        if rows:
            shown = {key: text for key, text in _PACED.items() if any(row.get(key) is not None for row in rows)}
            table = Table(*shown.values(), title=f"{title}. {about}")
            for row in rows:
                table.add_row(*(_text(row.get(key)) for key in shown))
            console.print(table)
    for kind, slope in slopes(figures.get("paced", [])).items():
        console.print(f"By {kind}, 1,000 more devices take {slope:g} MB.", highlight=False)


def slopes(rows: list[dict[str, Any]]) -> dict[str, float]:
    """MB per 1,000 devices, between the fewest and the most, by source."""
    found = {}
    for kind in dict.fromkeys(row["kind"] for row in rows):
        own = sorted((row for row in rows if row["kind"] == kind), key=lambda row: row["devices"])
        if len(own) > 1:
            first, last = own[0], own[-1]
            per_device = (last["rss_mb"] - first["rss_mb"]) / (last["devices"] - first["devices"])
            found[kind] = round(1000 * per_device, 1)
    return found


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "[red]no[/]"
    return f"{value:,}" if isinstance(value, int) else str(value)
