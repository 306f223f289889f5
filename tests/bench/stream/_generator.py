"""The load, a process of its own: messages of many devices, paced or as fast as they are taken. Prints what it did.

A message is stamped so that its last sample is taken at the moment at which it is due, whether or not this process is
late: what its lateness adds to a window's delay is reported beside it, and not hidden.
"""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from har.settings import load_settings
from tests.bench.stream._messages import Messages
from tests.bench.stream._senders import Item, open_sender

_SOON_S = 0.2


@dataclass(frozen=True)
class Load:
    """What to send.

    Attributes:
        kind: queue, kafka or mqtt.
        address: of the broker.
        devices: how many.
        rounds: messages of each device.
        paced: each message at its time; false: all at once, as if they were an hour old.
        slots: moments of a second at which devices send, evenly.
        session: of the devices.
    """

    kind: str
    address: str
    devices: int
    rounds: int
    paced: bool
    slots: int
    session: str = "bench"

    def dumps(self) -> str:
        """For the command line."""
        return json.dumps(asdict(self))


def main() -> None:
    """Send; `HAR_ROOT` names the project."""
    load = Load(**json.loads(sys.argv[1]))
    settings = load_settings(Path(os.environ["HAR_ROOT"]))
    messages = Messages(settings, load.devices, load.session)
    messages.body(0, 0, 0)
    sender = open_sender(load.kind, load.address, messages, settings)
    groups = [range(slot, load.devices, load.slots) for slot in range(min(load.slots, load.devices))]
    # A device keeps its moment of the second; fewer devices than slots are spread, too.
    moments = [round(1e6 * slot / len(groups)) for slot in range(len(groups))]
    start_us = round((time.time() + (_SOON_S if load.paced else -3600)) * 1e6)
    late_us: list[float] = []
    began = time.perf_counter()
    for sequence in range(load.rounds):
        for group, moment in zip(groups, moments, strict=True):
            due_us = start_us + sequence * 1_000_000 + moment
            if load.paced:
                pause = due_us / 1e6 - time.time()
                if pause > 0:
                    time.sleep(pause)
            sender.send([Item(device, sequence, due_us - messages.last_us) for device in group])
            if load.paced:
                late_us.append(time.time() * 1e6 - due_us)
    acknowledged = sender.finish()
    found: dict[str, Any] = {
        "start": start_us / 1e6,
        "sent": load.devices * load.rounds,
        "acknowledged": acknowledged,
        "seconds": time.perf_counter() - began,
        "cpu_s": time.process_time(),
    }
    if late_us:
        p50, p99 = np.percentile(late_us, (50, 99)) / 1000
        found |= {"late_ms_p50": round(p50, 1), "late_ms_p99": round(p99, 1)}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
