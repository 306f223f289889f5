"""The table of panels as Grafana's dashboards, and the stack's configuration of Prometheus: files of the repository.

`python -m infra.observability.grafana` writes them again after a change; a test compares them. The JSON is made here
and not by Grafana's SDK: the two dashboards use two kinds of panels, and nothing that the SDK checks would show a
query without a result, which the tests of the panels do.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from har.files import write_atomically
from infra.observability.panels import DASHBOARDS, Dashboard, Level, Panel, panels
from infra.observability.prometheus import Job, configuration

COMPOSE = Path(__file__).parents[1] / "compose"
"""Where the files are; a project without containers has no such folder."""

SOURCE = {"type": "prometheus", "uid": "prometheus"}

STACK_JOBS: Mapping[str, Job] = {
    "online": Job(boxes={backend: f"online-{backend}:3000" for backend in ("blue", "green")}),
    "batch": Job(["batch:3000"]),
    "proxy": Job(["haproxy:8405"]),
    "project": Job(["exporter:9101"]),
    "prometheus": Job(["127.0.0.1:9090"]),
    "alerts": Job(["alertmanager:9093"]),
}
"""What Prometheus reads in the stack, by the services' names."""

_COLOURS: Mapping[Level, str] = {"good": "green", "warn": "orange", "bad": "red"}
_UNITS = {"": "short", "s": "s", "share": "percentunit", "bytes": "bytes", "/s": "cps", "age": "dtdurations"}
_WIDTH = 24
_SIZES = {"stat": (6, 5), "line": (8, 8)}


def dashboard(name: Dashboard) -> dict[str, Any]:
    """The JSON of a dashboard, as Grafana provisions it from a file."""
    shown: list[dict[str, Any]] = []
    x = y = height = 0
    for section, row in panels(name):
        y, x, height = y + height, 0, 0
        shown.append(_row(section, len(shown) + 1, y))
        y += 1
        for panel in row:
            width, needed = _SIZES[panel.kind]
            if x + width > _WIDTH:
                y, x, height = y + height, 0, 0
            place = {"x": x, "y": y, "w": width, "h": needed}
            shown.append(_panel(panel, len(shown) + 1, place))
            x, height = x + width, max(height, needed)
    return {
        "uid": f"har-{name}",
        "title": DASHBOARDS[name],
        "tags": ["har"],
        "timezone": "browser",
        "refresh": "10s",
        "schemaVersion": 39,
        "time": {"from": "now-6h", "to": "now"},
        "panels": shown,
    }


def written_files() -> dict[Path, str]:
    """The text of every file that is made here, by its path."""
    made = {
        COMPOSE / "grafana" / "dashboards" / f"{name}.json": json.dumps(dashboard(name), indent=2, ensure_ascii=False)
        + "\n"
        for name in DASHBOARDS
    }
    prometheus = configuration(STACK_JOBS, alertmanager="alertmanager:9093", rules="/etc/prometheus/rules/*.yml")
    head = "# Written by `python -m infra.observability.grafana`; what it reads is in infra/observability/grafana.py.\n"
    return {**made, COMPOSE / "prometheus" / "prometheus.yml": head + prometheus}


def _row(title: str, number: int, y: int) -> dict[str, Any]:
    place = {"x": 0, "y": y, "w": _WIDTH, "h": 1}
    return {"id": number, "type": "row", "title": title, "collapsed": False, "gridPos": place, "panels": []}


def _panel(panel: Panel, number: int, place: dict[str, int]) -> dict[str, Any]:
    defaults: dict[str, Any] = {"unit": _UNITS[panel.unit]}
    if panel.levels:
        defaults["thresholds"] = {"mode": "absolute", "steps": _steps(panel)}
        defaults["color"] = {"mode": "thresholds" if panel.kind == "stat" else "palette-classic"}
    if panel.words:
        texts = {str(value): {"text": text, **_colour(panel, value)} for value, text in panel.words.items()}
        defaults["mappings"] = [{"type": "value", "options": texts}]
    if panel.kind == "line":
        defaults["custom"] = {
            "drawStyle": "line",
            "showPoints": "never",
            "thresholdsStyle": {"mode": "line" if panel.levels else "off"},
        }
    return {
        "id": number,
        "type": "stat" if panel.kind == "stat" else "timeseries",
        "title": panel.title,
        "description": panel.help,
        "datasource": SOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": _options(panel),
        "targets": [
            {
                "refId": chr(ord("A") + place),
                "datasource": SOURCE,
                "expr": query.promql,
                "legendFormat": re.sub(r"{(\w+)}", r"{{\1}}", query.legend) or panel.title,
                "instant": panel.kind == "stat",
                "range": panel.kind != "stat",
            }
            for place, query in enumerate(panel.queries)
        ],
    }


def _options(panel: Panel) -> dict[str, Any]:
    if panel.kind == "stat":
        named = any(query.legend for query in panel.queries)
        return {
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
            "textMode": "value_and_name" if named else "value",
            "colorMode": "value",
            "graphMode": "none",
        }
    return {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi", "sort": "desc"}}


def _steps(panel: Panel) -> list[dict[str, Any]]:
    """Grafana's thresholds: the colour from each value on, the lowest without a value."""
    if panel.falls:
        rising = panel.levels[::-1]
        better = [level for _, level in rising[1:]]
        above = zip([bound for bound, _ in rising[:-1]], better, strict=True)
        return [_step(None, rising[0][1]), *(_step(bound, level) for bound, level in above)]
    return [_step(None, "good"), *(_step(bound, level) for bound, level in panel.levels)]


def _step(value: float | None, level: Level) -> dict[str, Any]:
    return {"value": value, "color": _COLOURS[level]}


def _colour(panel: Panel, value: float) -> dict[str, str]:
    level = panel.level(value)
    return {} if level is None else {"color": _COLOURS[level]}


def main() -> int:
    """Write the files; 1 in a project without containers, which has no place for them."""
    if not COMPOSE.is_dir():
        print(f"{COMPOSE} is not there: this project was made without containers.", file=sys.stderr)
        return 1
    for path, text in written_files().items():
        print(write_atomically(path, text))
    return 0


if __name__ == "__main__":
    sys.exit(main())
