"""Figures of the flows: from Prefect's API where there is one, else the last write to the table that a flow fills."""

from __future__ import annotations

import datetime as dt
import json
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil

from har.errors import ServerError
from har.lake import Lake
from infra.local.login import login
from infra.local.server import AUTH_VARIABLE
from infra.observability.figures._metric import Gauge, gauge

TABLES = {"ingest": "recordings", "score": "scores", "monitor": "drift", "collect": "requests"}
"""The table that tells when a flow last wrote something, by the flow's name."""

_FAILED = ["FAILED", "CRASHED"]
_DAY = dt.timedelta(days=1)
_OVERLAP = dt.timedelta(minutes=2)
_LIMIT = 200
_TIMEOUT_S = 4.0


@dataclass
class _Last:
    """The newest run that ended well, and the newest that did not: when, and how long the former took."""

    success: dt.datetime | None = None
    duration_s: float = 0.0
    failure: dt.datetime | None = None


@dataclass
class Flows:
    """What Prefect, or the lake, says of each flow.

    Attributes:
        home: the folder of the local server, with its note and its login.
        lake: says when a flow last wrote something, where no server is known.
    """

    home: Path
    lake: Lake
    _last: dict[str, _Last] = field(default_factory=dict)
    _names: dict[str, str] = field(default_factory=dict)
    _read_to: dt.datetime | None = None

    def __call__(self) -> list[Gauge]:
        """The figures now.

        Raises:
            ServerError: a server is known and does not answer as it should.
        """
        server = known_server(self.home)
        if server is None:
            return self._of_lake()
        url, auth = server
        try:
            # A proxy cannot reach this machine's ports.
            with httpx.Client(base_url=url, auth=auth, timeout=_TIMEOUT_S, trust_env=False) as client:
                return self._of_server(client)
        except (httpx.HTTPError, KeyError, TypeError, ValueError) as error:
            raise ServerError(
                where=url,
                expected="the runs of the flows",
                got=f"{type(error).__name__}: {error}",
                remedy="Does Prefect's server run? make up starts it; its log is in .prefect/logs.",
            ) from error

    def _of_lake(self) -> list[Gauge]:
        success = {}
        for flow, name in TABLES.items():
            written = getattr(self.lake, name).written_at()
            if written:
                success[flow] = max(written.values())
        return _gauges(success)

    def _of_server(self, client: httpx.Client) -> list[Gauge]:
        now = dt.datetime.now(dt.UTC)
        self._names = {flow["id"]: flow["name"] for flow in _ask(client, "/flows/filter", {})}
        if self._read_to is None:
            # The last run of a flow that runs seldom is not among the last runs of all flows.
            for flow, name in self._names.items():
                for states in (["COMPLETED"], _FAILED):
                    self._note(_runs(client, states, limit=1, flow=flow), name)
        else:
            self._note(_runs(client, ["COMPLETED", *_FAILED], after=self._read_to - _OVERLAP))
        self._read_to = now
        failed = _runs(client, _FAILED, after=now - _DAY)
        late = _ask(client, "/flow_runs/filter", {"flow_runs": {"state": {"name": {"any_": ["Late"]}}}})
        return _gauges(
            {name: last.success.timestamp() for name, last in self._last.items() if last.success},
            {name: last.failure.timestamp() for name, last in self._last.items() if last.failure},
            {name: last.duration_s for name, last in self._last.items() if last.success},
            self._count(failed),
            self._count(late),
        )

    def _note(self, runs: list[dict[str, Any]], name: str = "") -> None:
        for run in runs:
            last = self._last.setdefault(name or self._names.get(run["flow_id"], "other"), _Last())
            ended = dt.datetime.fromisoformat(run["end_time"])
            if run["state_type"] in _FAILED:
                last.failure = max(ended, last.failure or ended)
            elif last.success is None or ended >= last.success:
                last.success, last.duration_s = ended, float(run["total_run_time"])

    def _count(self, runs: list[dict[str, Any]]) -> dict[str, float]:
        counted = Counter(self._names.get(run["flow_id"], "other") for run in runs)
        return {name: counted[name] for name in {*self._names.values(), *counted}}


def known_server(home: Path) -> tuple[str, tuple[str, str] | None] | None:
    """The address of Prefect's API, and its login; from the environment, else of the server on `home`; None: no one.

    Args:
        home: the folder of the local server.
    """
    url, text = os.environ.get("PREFECT_API_URL", ""), os.environ.get(AUTH_VARIABLE, "")
    if not url:
        try:
            note = json.loads((home / "server.json").read_text(encoding="utf-8"))
            url = str(note["url"]) if psutil.pid_exists(int(note["pid"])) else ""
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            url = ""
        if not url:
            return None
        text = login(home)
    user, colon, password = text.partition(":")
    return url, (user, password) if colon else None


def _runs(
    client: httpx.Client,
    states: list[str],
    *,
    limit: int = _LIMIT,
    flow: str = "",
    after: dt.datetime | None = None,
) -> list[dict[str, Any]]:
    """The newest runs, of one flow or of all, that ended in one of these states after a time."""
    runs: dict[str, Any] = {"state": {"type": {"any_": states}}}
    if after is not None:
        runs["end_time"] = {"after_": after.isoformat()}
    asked = {"flow_runs": runs, "sort": "END_TIME_DESC", "limit": limit}
    if flow:
        asked["flows"] = {"id": {"any_": [flow]}}
    return [run for run in _ask(client, "/flow_runs/filter", asked) if run["end_time"]]


def _ask(client: httpx.Client, path: str, content: dict[str, Any]) -> list[dict[str, Any]]:
    answer = client.post(path, json={"limit": _LIMIT, **content})
    answer.raise_for_status()
    found: list[dict[str, Any]] = answer.json()
    return found


def _gauges(
    success: Mapping[str, float],
    failure: Mapping[str, float] | None = None,
    duration: Mapping[str, float] | None = None,
    failed: Mapping[str, float] | None = None,
    late: Mapping[str, float] | None = None,
) -> list[Gauge]:
    """All figures of flows; those that only Prefect knows may be missing."""
    rows = (
        ("flow_last_success_timestamp_seconds", "When a run of the flow last ended well", success),
        ("flow_last_failure_timestamp_seconds", "When a run of the flow last failed or crashed", failure),
        ("flow_last_duration_seconds", "How long the flow's last good run took", duration),
        ("flow_failed_runs", "Runs of the flow that failed or crashed within a day", failed),
        ("flow_late_runs", "Runs of the flow that were due and have not started", late),
    )
    return [gauge(name, text, values or {}, labels=["flow"]) for name, text, values in rows]
