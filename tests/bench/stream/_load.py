"""The load generator as a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from tests.bench._server import ROOT
from tests.bench.stream._generator import Load
from tests.bench.stream._project import Run

_LONGEST_S = 300.0


class Generator:
    """Sends a load."""

    def __init__(self, run: Run, load: Load) -> None:
        command = [sys.executable, "-m", "tests.bench.stream._generator", load.dumps()]
        self._process = subprocess.Popen(
            command, cwd=ROOT, env=run.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def wait(self) -> dict[str, Any]:
        """What it did.

        Raises:
            RuntimeError: it failed, or takes too long.
        """
        try:
            output, errors = self._process.communicate(timeout=_LONGEST_S)
        finally:
            self.kill()
        if self._process.returncode:
            raise RuntimeError(f"the load generator failed:\n{errors[-2000:]}")
        found: dict[str, Any] = json.loads(output.strip().splitlines()[-1])
        return found

    def kill(self) -> None:
        """End it, if it runs."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
