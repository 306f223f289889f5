"""Minutes of drawn faults: messages twice, late, lost and broken, consumers killed. Memory stays bounded."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from stream_support import Process, await_true, flush, messages, movement, streamed

from har.lake import Lake
from har.settings import load_settings
from har.streaming.envelope import StreamKey
from har.streaming.ledger import read_ledger
from har.streaming.queue import Refused, open_queue

_SECONDS = 150
_TOML = "\n[stream]\nshards = 3\nlateness_s = 2.0\nidle_s = 2.0\nlake_s = 1.0\nqueue_messages = 4000\n"


@pytest.mark.release
def test_the_ledger_balances_and_memory_stays_bounded_through_faults(project: Path) -> None:
    (project / "har.toml").write_text((project / "har.toml").read_text() + _TOML)
    settings = load_settings(project)
    folder = settings.path("stream")
    drawn = np.random.default_rng(11)
    queue = open_queue(settings)
    values = movement(20, seed=1)
    running = [Process(settings), Process(settings)]
    began, device, used = time.monotonic(), 0, []
    while time.monotonic() - began < _SECONDS:
        # Ten devices come, send for a while and are silent for ever.
        batch = []
        for _ in range(10):
            device += 1
            stream = messages(StreamKey(f"s{device % 25:02d}", f"d{device}", "a"), values)
            kept = [one for one in stream if drawn.random() > 0.02]
            batch += kept + [one for one in kept if drawn.random() < 0.05]
        order = np.argsort(np.arange(len(batch)) + drawn.uniform(0, 3, len(batch)))
        for first in range(0, len(order), 100):
            some = [batch[place] for place in order[first : first + 100]]
            while queue.put(some, [Refused("broken", b"?")] if drawn.random() < 0.1 else []).full:
                time.sleep(0.05)
        if drawn.random() < 0.05:
            victim = int(drawn.integers(2))
            running[victim].kill()
            assert read_ledger(folder).balances
            running[victim] = Process(settings)
        else:
            process = running[0].process
            used.append(psutil.Process(process.pid).memory_info().rss)
    await_true(lambda: read_ledger(folder).total.waiting == 0, 120)
    for process in running:
        process.stop()
    flush(settings)
    ledger = read_ledger(folder)
    assert ledger.balances
    assert ledger.total.scored > 1000
    lake = Lake(settings.path("lake"), settings.sensors.channels)
    samples = lake.samples.read()
    assert samples.select("subject", "session", "time").is_unique().all()
    assert len(samples) == ledger.total.samples
    assert len(streamed(settings)) == ledger.total.windows
    third = max(1, len(used) // 3)
    assert max(used[-third:]) < 1.5 * max(used[third : 2 * third])
