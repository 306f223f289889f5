"""`har logs` finds the lines about a request, a subject and a run in all files, and shows them as people read them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from har.errors import SettingsError
from har.logs import Pseudonyms, line
from har.settings import Settings
from har_cli._app import app


@pytest.fixture
def folder(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HAR_ROOT", str(settings.root))
    monkeypatch.setenv("COLUMNS", "160")
    folder = settings.root / ".prefect" / "logs"
    folder.mkdir(parents=True)
    alias = Pseudonyms(settings.path("log_key"))("s01")
    proxy = line("POST /predict 200", created=1.0, logger="proxy", service="proxy", request_id="r-1", status=200)
    online = [
        line("POST /predict 200", created=1.5, service="online", request_id="r-1", subject=alias, model_version=3),
        line("no answer", level="ERROR", created=0.5, service="online", request_id="r-0", error="Traceback\nE: x"),
    ]
    worker = line(
        "collected", created=2.0, logger="stderr", service="flow", flow_run_id="f-77", flow_run_name="calm-owl"
    )
    (folder / "haproxy.log").write_text(proxy + "\n")
    (folder / "online.log").write_text("2026 a line of an older release\n" + "\n".join(online) + "\n")
    (folder / "worker.log").write_text(worker + "\n")
    (folder / "worker.log.1").write_text(line("before", created=0.1, logger="stderr", service="flow") + "\n")
    return folder


def show(*words: str) -> list[str]:
    done = CliRunner().invoke(app, ["logs", *words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return [text.rstrip() for text in done.output.splitlines()]


def test_all_files_are_shown_in_order_of_time(folder: Path) -> None:
    shown = show()
    assert [text.split()[1] for text in shown if text.startswith("1970")] == ["INFO", "ERROR", "INFO", "INFO", "INFO"]
    assert "before" in shown[0] and "collected" in shown[-1]
    assert "E: x" in shown, "a traceback has its lines again"
    assert len(show("--tail", "2")) == 2


def test_one_id_finds_the_lines_of_every_process(folder: Path) -> None:
    shown = show("--request", "r-1")
    assert [("proxy " in text, "online " in text) for text in shown] == [(True, False), (False, True)]
    assert "model_version=3" in shown[1]


def test_a_subject_is_found_under_its_pseudonym(folder: Path) -> None:
    (found,) = show("--subject", "s01", "--json")
    assert json.loads(found)["request_id"] == "r-1"
    assert show("--subject", "s02") == []


def test_runs_levels_and_files_are_chosen(folder: Path) -> None:
    assert len(show("--run", "f-77")) == 1
    assert len(show("online", "--level", "warning")) == 3  # a line and its traceback
    assert len(show("haproxy")) == 1


def test_without_logs_it_says_what_writes_them(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HAR_ROOT", str(settings.root))
    with pytest.raises(SettingsError, match="make up"):
        CliRunner().invoke(app, ["logs"], catch_exceptions=False)
