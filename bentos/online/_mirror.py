"""Copies of a share of the answered requests for a new version's replica; no request waits for it.

The replica counts a copy, as its id begins with `probe.`, and does not log it; what it answers becomes a line of this
service's prediction log. Whoever releases a version says where to send copies, in a small file that is read again
every second.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import logging
import random
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from bentos.online._journal import Journal
from bentos.online._metrics import Metrics
from har.errors import reason
from har.log_lines import PROBE

logger = logging.getLogger("bentoml.har.mirror")

_WAITING = 32
"""Copies that may wait; further ones are counted and skipped."""
_READ_S = 1.0
_PAUSE_S = 1.0
"""After a failure, copies are skipped for this long: a dead replica costs nothing."""
_LONGEST_ID = 64


class _Target(NamedTuple):
    host: str
    port: int
    share: float


class Mirror:
    """Sends copies on one thread.

    Args:
        file: a JSON object with `address`, such as "http://127.0.0.1:3081", and `share` of the requests, 0 to 1. No
            file, or one that cannot be read: no copies.
        timeout_s: of a copy.
        journal: gets a line per answered copy.
        metrics: counts copies by what became of them.
    """

    def __init__(self, file: Path, *, timeout_s: float, journal: Journal, metrics: Metrics) -> None:
        self._file, self._timeout_s = file, timeout_s
        self._journal, self._metrics = journal, metrics
        self._slots = threading.BoundedSemaphore(_WAITING)
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="mirror")
        self._target: _Target | None = None
        self._connection: tuple[_Target, http.client.HTTPConnection] | None = None
        self._quiet_until = 0.0
        self._last: Future[None] | None = None
        self._stopping = threading.Event()
        self._reading = threading.Thread(target=self._read_again, name="mirror-file", daemon=True)

    def start(self) -> None:
        """Begin to look at the file."""
        self._reading.start()

    def offer(self, windows: NDArray[np.float32], *, request_id: str, received_us: int) -> None:
        """Sample an answered request: its windows (N, T, C)."""
        target = self._target
        if target is None or random.random() >= target.share:  # noqa: S311
            return
        if time.monotonic() < self._quiet_until:
            self._metrics.mirrored("skipped")
        elif not self._slots.acquire(blocking=False):
            self._metrics.mirrored("busy")
        else:
            self._last = self._pool.submit(self._send, target, windows, request_id, received_us)

    def stop(self) -> None:
        """Drop the waiting copies; one that is on its way has its time and a second more."""
        self._stopping.set()
        self._target = None
        self._pool.shutdown(wait=False, cancel_futures=True)
        if self._last is None or not wait([self._last], timeout=self._timeout_s + 1).not_done:
            self._forget_connection()

    def _read_again(self) -> None:
        told = None
        while True:
            before = self._target
            try:
                self._target, trouble = _read(self._file), None
            except (OSError, ValueError, TypeError) as error:
                self._target, trouble = None, reason(error)
            if before is not None and self._target is None:
                # The replica waits for its open connections before it ends.
                with contextlib.suppress(RuntimeError):  # the pool has stopped, and so has the connection
                    self._pool.submit(self._forget_connection)
            if trouble is not None and trouble != told:
                logger.warning("%s: %s; no copies are sent", self._file, trouble)
            told = trouble
            if self._stopping.wait(_READ_S):
                return

    def _send(self, target: _Target, windows: NDArray[np.float32], request_id: str, received_us: int) -> None:
        began = time.perf_counter()
        try:
            status, content = self._ask(target, windows, request_id)
            line = _line(content) if status == 200 else None
        except (OSError, http.client.HTTPException, ValueError, LookupError, TypeError) as error:
            self._forget_connection()
            if not self._quiet_until:
                logger.warning("copies to %s:%d: %s", target.host, target.port, reason(error) or type(error).__name__)
            self._quiet_until = time.monotonic() + _PAUSE_S
            self._metrics.mirrored("error")
            return
        finally:
            self._slots.release()
        self._quiet_until = 0.0
        if line is None:
            self._metrics.mirrored("refused" if status != 200 else "fallback")
            return
        self._metrics.mirrored("answered")
        ms = round(1000 * (time.perf_counter() - began), 3)
        self._journal.append({"kind": "shadow", "request_id": request_id, "received_us": received_us, "ms": ms, **line})

    def _ask(self, target: _Target, windows: NDArray[np.float32], request_id: str) -> tuple[int, bytes]:
        if self._connection is None or self._connection[0][:2] != target[:2]:
            self._forget_connection()
            connection = http.client.HTTPConnection(target.host, target.port, timeout=self._timeout_s)
            self._connection = (target, connection)
        connection = self._connection[1]
        headers = {
            "Content-Type": "application/octet-stream",
            "X-Shape": ",".join(map(str, windows.shape)),
            "X-Request-Id": f"{PROBE}{request_id}"[:_LONGEST_ID],
        }
        connection.request("POST", "/predict/raw", np.ascontiguousarray(windows, "<f4").tobytes(), headers)
        answer = connection.getresponse()
        return answer.status, answer.read()

    def _forget_connection(self) -> None:
        if self._connection is not None:
            self._connection[1].close()
            self._connection = None


def _read(file: Path) -> _Target | None:
    """Where copies go.

    Raises:
        ValueError: another content than the one that is described above.
    """
    try:
        content = json.loads(file.read_bytes())
    except FileNotFoundError:
        return None
    if not isinstance(content, dict):
        raise ValueError("expected a JSON object with address and share")
    share, address = float(content.get("share", 0)), urlsplit(str(content.get("address", "")))
    if not share > 0:
        return None
    if address.scheme != "http" or not address.hostname or address.port is None:
        raise ValueError("expected an address such as http://127.0.0.1:3081")
    return _Target(address.hostname, address.port, min(share, 1.0))


def _line(content: bytes) -> dict[str, Any] | None:
    """What an answer says about each window; None: the model did not answer."""
    answer = json.loads(content)
    if answer["fallback"]:
        return None
    return {
        "model_version": int(answer["model_version"]),
        "activity": [str(one["activity"]) for one in answer["predictions"]],
        "confidence": [round(float(one["confidence"]), 6) for one in answer["predictions"]],
    }
