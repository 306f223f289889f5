"""Telemetry stays off for every process that is started, and the Makefile says the same."""

from __future__ import annotations

import re
from pathlib import Path

from flows._environment import quiet_environment

ROOT = Path(__file__).parents[2]


def test_telemetry_is_off_with_and_without_chatter() -> None:
    for chatter in (False, True):
        environment = quiet_environment(chatter=chatter)
        assert environment["DO_NOT_TRACK"] == "true"
        assert environment["PREFECT_SERVER_ANALYTICS_ENABLED"] == "false"
        assert environment["MLFLOW_DISABLE_TELEMETRY"] == "true"
    assert "PREFECT_LOGGING_LEVEL" not in quiet_environment(chatter=True)


def test_the_makefile_exports_no_other_values() -> None:
    exported = dict(re.findall(r"^export (\w+) := (\S+)$", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert exported
    assert exported.items() <= quiet_environment(chatter=True).items()
