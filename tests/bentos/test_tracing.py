"""OpenTelemetry is off: nothing is sent, no thread waits to send, and no exporter is installed."""

from __future__ import annotations

import os
import subprocess
import sys

CODE = """
import importlib.util, threading
from bentoml._internal.configuration.containers import BentoMLContainer
provider = BentoMLContainer.tracer_provider.get()
print(provider._active_span_processor._span_processors)
print([thread.name for thread in threading.enumerate()])
print(importlib.util.find_spec("opentelemetry.exporter"))
"""


def test_no_trace_is_collected_and_nothing_could_send_one() -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("BENTOML_", "OTEL_"))}
    done = subprocess.run([sys.executable, "-c", CODE], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["()", "['MainThread']", "None"]
