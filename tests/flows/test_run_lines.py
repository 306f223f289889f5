"""A flow run's lines name the run, those that a job prints among them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL

from infra.local.child import LOGS

ROOT = Path(__file__).parents[2]
CODE = """
import logging
from har.console import console
from prefect import flow, get_run_logger, task
import flows.collect

@task
def part():
    console.print("a part of a job")
    logging.getLogger("har.somewhere").warning("from a library")

@flow(name="trial")
def trial():
    get_run_logger().info("by Prefect's logger")
    part()
    console.print("[green]done[/]")

trial()
"""


@pytest.mark.stack
@pytest.mark.release
@pytest.mark.usefixtures("server")
def test_every_line_of_a_run_is_json_and_names_it(tmp_path: Path) -> None:
    environment = {
        **os.environ,
        LOGS: "json",
        "PREFECT_LOGGING_SETTINGS_PATH": str(ROOT / "flows" / "logging.yml"),
        "PREFECT_LOGGING_LEVEL": "INFO",
        "PREFECT_API_URL": PREFECT_API_URL.value(),
        "PREFECT_API_AUTH_STRING": PREFECT_API_AUTH_STRING.value() or "",
        "PREFECT_HOME": str(tmp_path),
        "PYTHONPATH": str(ROOT),
    }
    done = subprocess.run(
        [sys.executable, "-c", CODE], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert done.returncode == 0, done.stdout
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    told = {line["message"]: line for line in lines}
    (run,) = {line["flow_run_id"] for line in lines if "flow_run_id" in line}
    for message in ("by Prefect's logger", "a part of a job", "from a library", "done"):
        assert told[message]["flow_run_id"] == run, told[message]
    assert told["from a library"]["level"] == "WARNING" and told["from a library"]["logger"] == "har.somewhere"
    assert told["a part of a job"]["task_run_name"].startswith("part")
