"""Telemetry stays off for every process that is started, and the Makefile says the same."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from infra.local.environment import quiet_environment

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


def test_onnx_runtime_leaves_no_trace_of_telemetry_even_where_nothing_was_set(tmp_path: Path) -> None:
    # It keeps a device's name and a queue of reports in the home folder once a session exists.
    code = "import har.inference, onnxruntime; onnxruntime.SessionOptions(); onnxruntime.get_available_providers()"
    environment = {name: value for name, value in os.environ.items() if name not in quiet_environment()}
    home = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    subprocess.run([sys.executable, "-c", code], env={**environment, **home}, check=True)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
