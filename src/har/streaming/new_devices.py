"""The first seconds of a new device in the stream, beside what the champion was trained on: a warning, never a refusal.

A device is new until its first 20 seconds were looked at; `devices.json` in the stream's folder knows them across
restarts. The work is done in a thread of its own: the loop of the stream only collects the first messages.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from har.devices import LEAST_S, DeviceReference, Recorded, diagnose
from har.errors import HarError, reason
from har.files import write_atomically
from har.settings import Settings
from har.streaming.envelope import Envelope
from har.streaming.store import Stored

DEVICES = "devices.json"
"""In the folder of the stream: the devices that were looked at, and what is off about them."""
LOOKED_AT_S = 20.0
_AT_ONCE = 200
"""Devices whose first messages are collected at the same time; others wait for their turn."""
_AXES = 3
_LOG = logging.getLogger("har.stream")


class Wearing(NamedTuple):
    """A device on a subject."""

    subject: str
    device: str


@dataclass(frozen=True)
class Looked:
    """A device that was looked at.

    Attributes:
        wearing: subject and device.
        seconds: how much was looked at.
        findings: what is off, one line each; empty: nothing.
    """

    wearing: Wearing
    seconds: float
    findings: tuple[str, ...]


def read_devices(folder: Path) -> list[Looked]:
    """The devices of a stream's folder that were looked at; a file that cannot be read counts as none.

    It can be made again: the devices are looked at once more.
    """
    try:
        rows = json.loads((folder / DEVICES).read_text(encoding="utf-8"))
        return [
            Looked(Wearing(row["subject"], row["device"]), float(row["seconds"]), tuple(row["findings"]))
            for row in rows
        ]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError) as error:
        _LOG.warning("%s cannot be read, and its devices are looked at again: %s", folder / DEVICES, reason(error))
        return []


class NewDevices:
    """Collects the first seconds of each device that was not looked at yet, and has them diagnosed.

    Args:
        settings: of the project.
        reference: reads the champion's device reference; called in the thread, for each device.
    """

    def __init__(self, settings: Settings, reference: Callable[[], DeviceReference | None]) -> None:
        self._settings = settings
        self._reference = reference
        self._folder = settings.path("stream")
        self._looked = {one.wearing: one for one in read_devices(self._folder)}
        self._done = set(self._looked)
        self._parts: dict[Wearing, list[Envelope]] = {}
        self._lock = threading.Lock()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="new-devices")
        sensors = settings.sensors
        self._can = sensors.accelerometer is not None and len(sensors.accelerometer.channels) == _AXES
        self._turns = sensors.gyroscope is not None and len(sensors.gyroscope.channels) == _AXES

    def saw(self, stored: Iterable[Stored]) -> None:
        """Collect from messages that were read; of a known device, it costs one look into a set."""
        if not self._can:
            return
        for one in stored:
            envelope = one.envelope
            wearing = Wearing(envelope.key.subject, envelope.key.device)
            if wearing in self._done:
                continue
            parts = self._parts.get(wearing)
            if parts is None:
                if len(self._parts) >= _AT_ONCE:
                    continue
                parts = self._parts[wearing] = []
            parts.append(envelope)
            if sum(len(part.samples) / part.rate_hz for part in parts) >= LOOKED_AT_S:
                self._done.add(wearing)
                self._thread.submit(self._look, wearing, self._parts.pop(wearing))

    def close(self) -> None:
        """Finish what is being looked at; what was not begun is looked at after the next start."""
        self._thread.shutdown(wait=True, cancel_futures=True)

    def _look(self, wearing: Wearing, parts: Sequence[Envelope]) -> None:
        try:
            found = diagnose(
                [self._recorded(wearing, parts)],
                self._reference(),
                rate_hz=self._settings.sensors.rate_hz,
                max_gap_s=self._settings.recordings.max_gap_s,
            )
        except HarError as error:
            _LOG.warning("the new device %s of %s was not looked at: %s", wearing.device, wearing.subject, error)
            return
        except Exception:  # noqa: BLE001  a fault of the look must not end the stream, and must not be silent
            _LOG.exception("the new device %s of %s was not looked at", wearing.device, wearing.subject)
            return
        if found.seconds < LEAST_S:
            return
        lines = tuple(one.line for one in found.findings)
        for line in lines:
            _LOG.warning("the new device %s of %s: %s", wearing.device, wearing.subject, line)
        self._keep(Looked(wearing, found.seconds, lines))

    def _keep(self, one: Looked) -> None:
        with self._lock:
            self._looked[one.wearing] = one
            rows = [
                {**wearing._asdict(), "seconds": round(looked.seconds, 2), "findings": looked.findings}
                for wearing, looked in sorted(self._looked.items())
            ]
        try:
            write_atomically(self._folder / DEVICES, json.dumps(rows, indent=0, ensure_ascii=False))
        except OSError as error:
            _LOG.warning("%s was not written: %s", self._folder / DEVICES, reason(error))

    def _recorded(self, wearing: Wearing, parts: Sequence[Envelope]) -> Recorded:
        stamps = [
            part.t0_us + np.round(np.arange(len(part.samples)) * (1e6 / part.rate_hz)).astype(np.int64)
            for part in parts
        ]
        values = np.concatenate([part.samples for part in parts]).astype(np.float64)
        units = {"accelerometer": "m/s^2"} | ({"gyroscope": "rad/s"} if self._turns else {})
        return Recorded(
            np.concatenate(stamps),
            values[:, :_AXES],
            values[:, _AXES : 2 * _AXES] if self._turns else None,
            units,
            placement=parts[0].placement or self._settings.recordings.placement,
            device=wearing.device,
        )
