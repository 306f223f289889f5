"""Log lines: one JSON object each, whatever a process does, and people can read them."""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from har import logs


def run(code: str, *arguments: str, **variables: str) -> list[dict[str, object]]:
    """The lines that a program writes to both of its streams."""
    environment = {name: value for name, value in os.environ.items() if name != logs.VARIABLE} | variables
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        env=environment,
    )
    return [json.loads(text) for text in done.stdout.splitlines()]


def test_whatever_a_process_prints_logs_warns_and_dies_of_is_json() -> None:
    found = run("""
        import logging, sys, threading, warnings
        from rich.console import Console
        from har import logs
        early = logging.StreamHandler(sys.stdout)
        logging.getLogger("early").addHandler(early)
        logging.getLogger("early").propagate = False
        logs.start(service="trial", level="INFO")
        print("plain")
        print("two\\nlines", file=sys.stderr)
        Console(stderr=True).print("[red]coloured[/] text")
        logging.getLogger("a.b").info("%d of %d", 1, 2)
        logging.getLogger("early").error("also")
        warnings.warn("old")
        threading.Thread(target=lambda: 1 / 0, name="worker").start()
        sys.stdout.write("no newline, ")
        sys.stdout.write("then one\\n")
        raise ValueError("the end")
    """)
    assert all(set(one) >= {"time", "level", "logger", "message"} for one in found)
    assert {one["service"] for one in found} == {"trial"}
    by_logger = {(one["logger"], str(one["message"])): one for one in found}
    assert by_logger["stdout", "plain"]["level"] == "INFO"
    assert ("stderr", "two") in by_logger and ("stderr", "lines") in by_logger
    assert ("stderr", "coloured text") in by_logger
    assert ("stdout", "no newline, then one") in by_logger
    assert by_logger["a.b", "1 of 2"]["level"] == "INFO"
    assert by_logger["early", "also"]["level"] == "ERROR"
    (warned,) = (one for one in found if one["logger"] == "py.warnings")
    assert "UserWarning: old" in str(warned["message"])
    (thread,) = (one for one in found if one["message"] == "ZeroDivisionError in worker")
    assert "1 / 0" in str(thread["error"]) or "division by zero" in str(thread["error"])
    last = found[-1] if found[-1]["logger"] == "uncaught" else found[-2]
    assert last["level"] == "CRITICAL"
    # A traceback has many lines and is one line of the log.
    assert str(last["error"]).startswith("Traceback") and str(last["error"]).endswith("ValueError: the end")


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("[NOTICE]   (12) : New worker (13) forked", "INFO"),
        ("[WARNING]  (12) : Server blue/s1 is DOWN", "WARNING"),
        ("[ALERT]    (12) : cannot bind", "CRITICAL"),
        ("level=error msg=no", "ERROR"),
        ("a warning in the middle of a sentence", "INFO"),
    ],
)
def test_a_printed_line_keeps_the_level_that_it_begins_with(text: str, level: str) -> None:
    stream = io.StringIO()
    print(text, file=logs.Lines(stream, "stderr"))
    assert json.loads(stream.getvalue())["level"] == level


def test_json_that_a_program_prints_passes_unchanged() -> None:
    found = run("""
        from har import logs
        logs.start()
        print('{"date": "2026-11-27", "frontend": "online", "status": 200}')
    """)
    assert found == [{"date": "2026-11-27", "frontend": "online", "status": 200}]


def test_keys_of_the_record_the_task_and_the_run() -> None:
    formatter = logs.Formatter()
    record = logging.makeLogRecord(
        {"name": "x", "msg": "m", "levelname": "WARNING", "flow_run_id": "f-1", "created": 0}
    )
    with logs.bound(request_id="r-1", model_version=3):
        line = json.loads(formatter.format(record))
    assert line == {
        "time": "1970-01-01T00:00:00.000000Z",
        "level": "WARNING",
        "logger": "x",
        "message": "m",
        "request_id": "r-1",
        "model_version": 3,
        "flow_run_id": "f-1",
    }
    assert "request_id" not in json.loads(formatter.format(record))


@pytest.mark.parametrize(
    ("setting", "variable", "json_wanted"),
    [("auto", None, True), ("auto", "text", False), ("text", "json", False), ("json", "text", True)],
)
def test_who_decides(monkeypatch: pytest.MonkeyPatch, setting: str, variable: str | None, json_wanted: bool) -> None:
    monkeypatch.delenv(logs.VARIABLE, raising=False)
    if variable:
        monkeypatch.setenv(logs.VARIABLE, variable)
    with open(os.devnull, "w") as file:  # noqa: PTH123  no terminal
        assert logs.wants_json(setting, file) is json_wanted


def test_a_terminal_gets_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(logs.VARIABLE, raising=False)
    main, terminal = os.openpty()
    with os.fdopen(terminal, "w") as shown:
        assert not logs.wants_json("auto", shown)
    os.close(main)


def test_people_can_read_a_log_file() -> None:
    text = logs.line(
        "no answer", level="ERROR", logger="har.x", created=0.0, request_id="r-7", error="Traceback\n  a\nE: b"
    )
    assert logs.readable(f"{text}\nplain line") == (
        "1970-01-01T00:00:00.000000Z ERROR har.x: no answer [request_id=r-7]\nTraceback\n  a\nE: b\nplain line"
    )
    assert logs.readable(logs.line("printed", logger="stdout")) == "printed"


def test_a_pseudonym_is_the_same_everywhere_and_another_with_another_key(tmp_path: Path) -> None:
    first, again, other = (logs.Pseudonyms(tmp_path / name) for name in ("key", "key", "other"))
    assert first("s01") == again("s01") != first("s02")
    assert first("s01") != other("s01")
    assert first("s01").startswith("p-") and "s01" not in first("s01")
    assert (tmp_path / "key").stat().st_mode & 0o077 == 0


def test_without_a_key_lines_name_nobody(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("short")
    name_of = logs.subject_names("pseudonym", tmp_path / "key")
    assert name_of("s01") is None
    assert logs.subject_names("plain", tmp_path / "key")("s01") == "s01"
    assert logs.subject_names("none", tmp_path / "key")("s01") is None
