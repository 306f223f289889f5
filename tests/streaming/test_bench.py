"""The benchmark of the stream: its messages are what devices send, and the command measures and writes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from har.settings import load_settings
from har.streaming.envelope import Limits, decode
from tests.bench.stream._messages import Messages

ROOT = Path(__file__).resolve().parents[2]


def test_its_messages_are_those_of_the_envelope() -> None:
    settings = load_settings(ROOT)
    messages, limits = Messages(settings, 30), Limits.of(settings)
    for device, sequence, t0_us in ((0, 0, 1_700_000_000_000_000), (29, 70_000, 1_800_000_000_000_001)):
        body = messages.body(device, sequence, t0_us)
        found = decode(body, "application/msgpack", limits)
        expected = messages.envelope(device, sequence, t0_us)
        assert (found.key, found.sequence, found.t0_us) == (expected.key, sequence, t0_us)
        assert found.rate_hz == expected.rate_hz
        assert np.array_equal(found.samples, expected.samples)


@pytest.mark.release
def test_twenty_devices_for_seconds(tmp_path: Path) -> None:
    output = tmp_path / "stream-bench.json"
    options = ["--devices", "20", "--seconds", "10", "--sources", "queue", "--only", "paced", "recovery"]
    command = [sys.executable, "-m", "tests.bench.stream", *options, "--output", str(output)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    figures = json.loads(output.read_text())
    (paced,) = figures["paced"]
    assert paced["windows_answered"] == paced["windows_wanted"] == 20 * 4
    assert paced["zero_loss"]
    assert paced["rss_silent_mb"] > 0
    assert paced["p50_s"] <= paced["p99_s"]
    (killed,) = figures["recovery"]
    assert killed["zero_loss"]
    assert killed["windows_answered"] == killed["windows_wanted"]
    assert killed["recovered_first_s"] > 0
    assert "One message a second" in result.stdout
