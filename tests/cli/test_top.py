"""`har top` against a real Prometheus: the figures, their colours' marks, the pages, and what it says without one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from ports_support import free_port
from prometheus_client import CollectorRegistry, Gauge
from prometheus_support import PROGRAM, prometheus_of
from typer.testing import CliRunner

from har.errors import ServerError
from har.pages import Curve, amount
from har.settings import Settings
from har_cli._app import app
from har_cli._board import sparkline
from infra.observability.query import Prometheus, known_address, note_address

needs_prometheus = [
    pytest.mark.stack,
    pytest.mark.skipif(PROGRAM is None, reason="prometheus is not installed: apt-get install prometheus"),
]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    registry = CollectorRegistry()
    Gauge("har_champion_version", "", registry=registry).set(7)
    Gauge("har_drift_confirmed", "", registry=registry).set(1)
    Gauge("har_drift_score", "", registry=registry).set(1.7)
    Gauge("har_unscored_days", "", registry=registry).set(1)
    rows = Gauge("har_table_rows", "", ["table"], registry=registry)
    for number in range(9):
        rows.labels(f"table{number}").set(1000 * number)
    Gauge("har_newest_sample_timestamp_seconds", "", registry=registry).set(time.time() - 90_000)
    with prometheus_of(registry, tmp_path_factory.mktemp("prometheus")) as found:
        yield found


def top(settings: Settings, monkeypatch: pytest.MonkeyPatch, *words: str) -> str:
    monkeypatch.setenv("HAR_ROOT", str(settings.root))
    monkeypatch.setenv("COLUMNS", "140")
    done = CliRunner().invoke(app, ["top", *words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


class TestWithPrometheus:
    pytestmark = needs_prometheus

    def test_the_newest_values_are_printed_with_unit_word_and_mark(
        self, address: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        shown = top(settings, monkeypatch, "model", "--once", "--prometheus", address)
        lines = {line.strip() for line in shown.splitlines()}
        assert any("Model and data" in line for line in lines)
        assert "No version is served by the replicas" in shown
        flat = " ".join(shown.split())
        assert "yes ▲" in flat, "drift is confirmed, and that is bad"
        assert "1.7 △" in flat, "the score is above the alarm level"
        assert "1 △" in flat, "one day is not scored"
        assert "1 d 1 h" in flat
        assert "and 3 more" in flat, "of nine tables six are shown"
        assert "nothing: without labels" in flat
        assert "█" in shown, "courses are drawn"

    def test_both_pages_are_written_and_listed(
        self, address: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        shown = top(settings, monkeypatch, "--page", "--prometheus", address)
        reports = settings.path("reports")
        assert shown.split() == [str(reports / "operations.html"), str(reports / "model.html")]
        page = (reports / "model.html").read_text()
        assert "1 figure beyond its limit" in page.replace("\N{NO-BREAK SPACE}", " ") and "Drift confirmed" in page
        assert page.count("<svg") >= 2
        index = (reports / "index.html").read_text()
        assert 'href="operations.html"' in index and 'href="model.html"' in index

    def test_an_expression_that_prometheus_refuses_is_named(self, address: str) -> None:
        with closing(Prometheus(address)) as server, pytest.raises(ServerError, match=r"refuses sum\(.*parse error"):
            server.now("sum(")


def test_without_prometheus_it_says_how_to_get_one(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HAR_ROOT", str(settings.root))
    with pytest.raises(ServerError) as found:
        CliRunner().invoke(
            app, ["top", "--once", "--prometheus", f"http://127.0.0.1:{free_port()}"], catch_exceptions=False
        )
    assert "does not answer" in str(found.value) and "make up" in str(found.value)


def test_its_address_is_the_settings_or_that_of_make_up(settings: Settings, tmp_path: Path) -> None:
    assert known_address(settings) == "http://127.0.0.1:9090"
    note_address(settings.root / ".prefect" / "prometheus", "http://127.0.0.1:5203")
    assert known_address(settings) == "http://127.0.0.1:5203"
    named = settings.model_copy(
        update={"release": settings.release.model_copy(update={"prometheus": "http://other:9090"})}
    )
    assert known_address(named) == "http://other:9090"


@pytest.mark.parametrize(
    ("values", "expected"),
    [([0, 0, 0, 0], "▁▁▁▁"), ([0, 1, 2, 4], "▁▃▅█"), ([5, 5, 5, 5], "████"), ([1, float("nan"), 2, 4], "▃ ▅█")],
)
def test_a_sparkline_begins_at_zero(values: list[float], expected: str) -> None:
    assert sparkline(Curve("", tuple(enumerate(map(float, values)))), width=4) == expected


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.0123, "s", "12 ms"),
        (95.0, "s", "1 min 35 s"),
        (0.0123, "share", "1.2 %"),
        (2.5e9, "bytes", "2.5 GB"),
        (12.0, "", "12"),
        (0.25, "/s", "0.25/s"),
        (3 * 86_400 + 7200, "age", "3 d 2 h"),
        (float("nan"), "share", "–"),
    ],
)
def test_amounts_are_read_with_their_unit(value: float, unit: str, text: str) -> None:
    assert amount(value, unit).replace("\N{NO-BREAK SPACE}", " ") == text
