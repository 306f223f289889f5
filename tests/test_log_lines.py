"""The description of a log line: light enough for every image, and the one that the reader checks."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from journal_support import feedback, prediction, shadow

from har.journal import Reader
from har.log_lines import FeedbackLine, PredictionLine, ShadowLine

INTERVAL = {"subject": "s01", "start_us": 1, "end_us": 2}


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (prediction(1), PredictionLine),
        (shadow(1), ShadowLine),
        (feedback("f", **INTERVAL), FeedbackLine),
    ],
)
def test_the_reader_takes_lines_with_exactly_these_keys(line: dict[str, object], kind: type) -> None:
    assert set(line) == set(kind.__annotations__)
    assert Reader().read([json.dumps(line).encode()]) == []
    for name in line:
        if name not in ("kind", "source", "unknown"):  # lines of earlier releases lack the last two
            without = {key: value for key, value in line.items() if key != name}
            (fault,) = Reader().read([json.dumps(without).encode()])
            assert fault.reason == f"{name}: Field required"


def test_feedback_of_a_release_that_kept_no_source_is_read() -> None:
    line = feedback("f", **INTERVAL)
    del line["source"]
    reader = Reader()
    assert reader.read([json.dumps(line).encode()]) == []
    assert reader.tables().feedback["source"].to_list() == [None]


def test_a_line_that_does_not_say_what_is_unknown_is_read() -> None:
    old = prediction(1, windows=2)
    del old["unknown"]
    reader = Reader()
    assert reader.read([json.dumps(line).encode() for line in (old, {**old, "unknown": None})]) == []
    assert reader.tables().windows["unknown"].to_list() == [None] * 4
    (fault,) = reader.read([json.dumps({**old, "unknown": [True]}).encode()])
    assert "one entry per window" in fault.reason


def test_feedback_cannot_pass_for_a_persons_label() -> None:
    (fault,) = Reader().read([json.dumps(feedback("table-1", **INTERVAL)).encode()])
    assert "a person's labels" in fault.reason


def test_an_interval_without_bound_is_a_bad_line() -> None:
    day_us = 86_400_000_000
    lines = [feedback("f", subject="s01", start_us=0, end_us=day_us + more) for more in (0, 1)]
    (fault,) = Reader().read([json.dumps(line).encode() for line in lines])
    assert (fault.line, "an interval of a day at most" in fault.reason) == (2, True)


@pytest.mark.parametrize(("subject", "good"), [("s" * 64, True), ("s" * 65, False), ("s_1", False), ("", False)])
def test_a_subject_is_checked(subject: str, good: bool) -> None:
    lines = [prediction(1, subject=subject), feedback("f", **{**INTERVAL, "subject": subject})]
    faults = Reader().read([json.dumps(line).encode() for line in lines])
    assert [fault.reason.partition(":")[0] for fault in faults] == ([] if good else ["subject", "subject"])


def test_it_needs_the_standard_library_only() -> None:
    program = "import sys, har.log_lines; print(*{'numpy', 'polars', 'pydantic'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
