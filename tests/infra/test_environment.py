"""Telemetry stays off in every process that is started."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from infra.local.environment import quiet_environment


def test_telemetry_is_off_with_and_without_chatter() -> None:
    for chatter in (False, True):
        environment = quiet_environment(chatter=chatter)
        assert environment["DO_NOT_TRACK"] == "true"
        assert environment["PREFECT_SERVER_ANALYTICS_ENABLED"] == "false"
        assert environment["MLFLOW_DISABLE_TELEMETRY"] == "true"
    assert "PREFECT_LOGGING_LEVEL" not in quiet_environment(chatter=True)


def test_the_command_line_passes_it_on_before_it_imports_a_tool() -> None:
    code = "import har_cli, json, os; print(json.dumps(dict(os.environ)))"
    bare = {name: value for name, value in os.environ.items() if name not in quiet_environment()}
    done = subprocess.run([sys.executable, "-c", code], env=bare, capture_output=True, text=True, check=True)
    assert quiet_environment().items() <= json.loads(done.stdout).items()


def test_onnx_runtime_leaves_no_trace_of_telemetry_even_where_nothing_was_set(tmp_path: Path) -> None:
    # It keeps a device's name and a queue of reports in the home folder once a session exists.
    code = "import har.inference, onnxruntime; onnxruntime.SessionOptions(); onnxruntime.get_available_providers()"
    environment = {name: value for name, value in os.environ.items() if name not in quiet_environment()}
    home = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    subprocess.run([sys.executable, "-c", code], env={**environment, **home}, check=True)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
