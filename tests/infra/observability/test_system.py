"""What a running system exports, as a real Prometheus reads it: panels and rules have their figures, and alerts arrive.

The online service has two workers, and its model can be made to fail.
"""

from __future__ import annotations

import math
import os
import re
import signal
import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack

import httpx
import orjson
import psutil
import pytest
import yaml
from observed_support import MISSING, TOKEN, System, observed
from serving_support import eventually, movements, trapped

from infra.observability.panels import PANELS, Panel
from infra.observability.prometheus import RULES

pytestmark = [
    pytest.mark.stack,
    pytest.mark.release,  # a minute on two cores; test_figures.py holds the names in every run
    pytest.mark.skipif(bool(MISSING), reason=f"needs {', '.join(MISSING)} (apt-get install)"),
]

FAILS = 120.0
"""First value of a window that makes the model fail."""


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with observed(tmp_path_factory.mktemp("observed") / "project") as system:
        # In the background of all tests: rates need some traffic.
        system.predict(10)
        eventually(lambda: system.ask("instance_version:har_model_info:max"), 20)
        yield system


def test_metrics_are_sums_over_both_workers_errors_included(system: System) -> None:
    def counted() -> Counter[str]:
        rows = system.ask('sum by (status) (har_requests_total{job="online",route="/predict"})')
        return Counter({row["metric"]["status"]: int(float(row["value"][1])) for row in rows})

    # Not through the proxy, which keeps what has no room away from the service, or sends it twice.
    host, _, port = system.served.url.removeprefix("http://").partition(":")

    def burst() -> Counter[str]:
        """Statuses of forty requests that arrive at the same time; every fourth is none that the service knows."""
        good, bad = (orjson.dumps({"windows": windows}) for windows in (movements(1).tolist(), []))
        with ExitStack() as stack:
            connections = [stack.enter_context(socket.create_connection((host, int(port)), 30)) for _ in range(40)]
            for number, connection in enumerate(connections):
                body = good if number % 4 else bad
                head = f"POST /predict HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: application/json\r\n"
                connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            return Counter(connection.recv(12)[9:].decode() for connection in connections)

    before, statuses = counted(), Counter[str]()
    for _ in range(50):
        statuses += burst()
        if statuses["429"]:
            break
    assert statuses["200"] and statuses["422"] and statuses["429"], statuses
    eventually(lambda: counted() - before == statuses, 20)


def test_a_version_is_joined_to_what_its_replicas_did(system: System) -> None:
    system.predict(20)
    eventually(lambda: system.value('version:har_requests:rate1m{version="7"}') > 0, 20)
    assert system.value('version:har_errors:ratio_rate1m{version="7"}') >= 0
    assert 0 < system.value('version:har_request_seconds:p99_rate1m{version="7"}') < 2.5


def test_a_killed_workers_gauges_vanish(system: System) -> None:
    """Its breaker was open; without it, nobody's is."""
    with httpx.Client(base_url=system.served.url, timeout=10) as client:
        for _ in range(8):  # over one connection, so that they meet one worker
            answer = client.post("/predict", json={"windows": trapped(FAILS).tolist()})
            assert answer.status_code == 200, answer.text
        own = answer.extensions["network_stream"].get_extra_info("client_addr")[1]
        victim = next(
            child.pid
            for child in psutil.Process(system.served.pid).children(recursive=True)
            if any(one.raddr and one.raddr.port == own for one in child.net_connections("tcp"))
        )
        eventually(lambda: system.value('max(har_breaker_state{job="online"})') == 2, 20)
        os.kill(victim, signal.SIGKILL)
    eventually(lambda: system.value('max(har_breaker_state{job="online"})') == 0, 40)
    assert system.value('sum(har_fallback_total{job="online"})') >= 8
    assert system.value('har_model_info{job="online",role="champion"}') == 1


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: f"{panel.dashboard}-{panel.title}")
def test_every_query_of_a_panel_has_a_result(system: System, panel: Panel) -> None:
    for query in panel.queries:
        eventually(lambda query=query: system.ask(query.promql), 30)
        rows = system.ask(query.promql)
        wanted = set(re.findall(r"{(\w+)}", query.legend))
        for row in rows:
            assert wanted <= set(row["metric"]), f"{query.promql} has no {wanted - set(row['metric'])}"
        names = [query.name(row["metric"]) for row in rows]
        assert len(set(names)) == len(names), f"two series are called alike: {names}"


def test_every_recording_rule_has_a_result_and_no_rule_fails(system: System) -> None:
    for file in RULES.glob("*.yml"):
        for group in yaml.safe_load(file.read_text(encoding="utf-8"))["groups"]:
            for rule in group["rules"]:
                if "record" in rule:
                    eventually(lambda name=rule["record"]: system.ask(name), 30)
    rules = httpx.get(f"{system.prometheus}/api/v1/rules", timeout=10).json()["data"]["groups"]
    assert [rule["lastError"] for group in rules for rule in group["rules"] if rule.get("lastError")] == []


def test_every_metric_that_rules_name_is_exported(system: System) -> None:
    """An alert on a metric that nobody has would be silent for ever."""
    known = set(httpx.get(f"{system.prometheus}/api/v1/label/__name__/values", timeout=10).json()["data"])
    # Not there while everything is well.
    known |= {"har_release_ended_timestamp_seconds"}
    for file in RULES.glob("*.yml"):
        for group in yaml.safe_load(file.read_text(encoding="utf-8"))["groups"]:
            for rule in group["rules"]:
                text = re.sub(r"\{[^}]*\}|\[[^\]]*\]", " ", rule["expr"])
                text = re.sub(r"\b(by|on|group_left|group_right|ignoring|without)\s*\([^)]*\)", " ", text)
                named = {name for name in re.findall(r"[a-z_][a-z0-9_:]*", text) if "_" in name}
                named -= {name for name in named if re.search(rf"\b{name}\s*\(", text)}
                assert named <= known, f"{file.name}: {named - known}"


def test_the_exporter_answers_at_once_and_says_how_old_its_figures_are(system: System) -> None:
    page = httpx.get(f"{system.exporter}/metrics", timeout=1).text
    figures = {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in page.splitlines() if line[0] != "#"}
    assert all(figures[f'har_exporter_ok{{part="{part}"}}'] == 1 for part in ("flows", "lake", "release"))
    expected = {
        "har_unscored_days": 1,
        "har_champion_version": 7,
        "har_drift_confirmed": 1,
        "har_inbox_files": 1,
        "har_quarantine_files": 1,
        "har_release_share": 0.25,
        'har_release_state{state="held"}': 1,
        'har_replicas{role="stable",state="ready"}': 2,
        'har_flow_failed_runs{flow="ingest"}': 1,
        'har_flow_failed_runs{flow="score"}': 0,
        'har_flow_late_runs{flow="score"}': 1,
        'har_table_rows{table="recordings"}': 2,
    }
    assert {name: figures.get(name) for name in expected} == expected
    assert figures['har_flow_last_success_timestamp_seconds{flow="score"}'] > 1.7e9
    assert not math.isnan(figures["har_drift_score"])


def test_an_alert_reaches_the_receiver_with_its_token_and_the_projects_name(system: System) -> None:
    """FlowFailed: the last run of `ingest` failed."""

    def arrived() -> list[dict]:
        return [alert for alert in system.receiver.alerts if alert["labels"]["alertname"] == "FlowFailed"]

    eventually(arrived, 40)
    (alert, *_) = arrived()
    assert alert["labels"]["flow"] == "ingest" and alert["labels"]["severity"] == "ticket"
    assert alert["labels"]["project"] == system.settings.project.name
    assert alert["annotations"]["summary"] == "The last run of the flow ingest failed"
    assert system.receiver.tokens == {f"Bearer {TOKEN}"}
