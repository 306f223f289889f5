"""A second model that sees a share of the requests, after their answers are out; nobody waits for it."""

from __future__ import annotations

import logging
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from bentos.online._journal import Journal
from bentos.online._metrics import Metrics
from bentos.online._models import Model
from har.errors import HarError

logger = logging.getLogger("bentoml.har.shadow")

_WAITING = 64


class Shadow:
    """Runs the shadow model on one thread; more than it has time for is counted and let go."""

    def __init__(
        self,
        model: Model,
        *,
        share: float,
        deadline_s: float,
        journal: Journal,
        metrics: Metrics,
    ) -> None:
        self._classifier, self._version = model
        self._share, self._deadline_s = share, deadline_s
        self._journal, self._metrics = journal, metrics
        self._slots = threading.BoundedSemaphore(_WAITING)
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="shadow")

    def offer(self, window: NDArray[np.float32], activities: list[str], *, request_id: str, received_us: int) -> None:
        """Maybe show it a request: windows (N, T, C) and the champion's activities (N,)."""
        if random.random() >= self._share:  # noqa: S311
            return
        if not self._slots.acquire(blocking=False):
            self._metrics.shadow_failed("busy")
            return
        self._pool.submit(self._run, window, activities, request_id, received_us)

    def stop(self) -> None:
        """Let go of what waits."""
        self._pool.shutdown(cancel_futures=True)

    def _run(self, window: NDArray[np.float32], activities: list[str], request_id: str, received_us: int) -> None:
        began = time.perf_counter()
        try:
            probabilities = self._classifier.predict(window, deadline_s=self._deadline_s).probabilities
        except HarError as error:
            logger.warning("shadow: %s", error)
            self._metrics.shadow_failed("error")
            return
        finally:
            self._slots.release()
        seconds = time.perf_counter() - began
        names = self._classifier.metadata.activities
        own = [names[index] for index in probabilities.argmax(axis=1).tolist()]
        agreeing = sum(mine == theirs for mine, theirs in zip(own, activities, strict=True))
        self._metrics.shadow(agreeing, len(own), seconds)
        self._journal.append(
            {
                "kind": "shadow",
                "request_id": request_id,
                "received_us": received_us,
                "model_version": self._version,
                "ms": round(1000 * seconds, 3),
                "activity": own,
                "confidence": [round(value, 6) for value in probabilities.max(axis=1).tolist()],
            }
        )
