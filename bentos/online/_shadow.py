"""A second model that classifies a sample of the requests after their answers are computed; no request waits for it.

Which one is `serving.shadow`: a new model that looks on, or the former version beside one that is being released.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor, wait

import numpy as np
from numpy.typing import NDArray

from bentos.online._journal import Journal
from bentos.online._metrics import Metrics
from bentos.online._models import Model
from har.errors import HarError
from har.plausibility import NO_SIGNAL

logger = logging.getLogger("bentoml.har.shadow")

_WAITING = 64
"""Requests that may wait for the shadow model; further ones are counted and skipped."""


class Shadow:
    """Runs the shadow model on one thread.

    Args:
        model: the shadow model.
        share: of the requests, 0 to 1.
        deadline_s: for one call of the model.
        journal: gets a line per request.
        metrics: counts agreement with the champion, failures and skipped requests.
    """

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
        self._last: Future[None] | None = None
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="shadow")

    def offer(self, window: NDArray[np.float32], activities: list[str], *, request_id: str, received_us: int) -> None:
        """Sample a request for the shadow model: windows (N, T, C) and the champion's activities (N,)."""
        if random.random() >= self._share:  # noqa: S311
            return
        if not self._slots.acquire(blocking=False):
            self._metrics.shadow_failed("busy")
            return
        self._last = self._pool.submit(self._run, window, activities, request_id, received_us)

    def stop(self) -> None:
        """Drop the waiting requests; one that is worked on has a second more than its deadline."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        if self._last is not None:
            wait([self._last], timeout=self._deadline_s + 1)

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
        predicted = [names[index] for index in probabilities.argmax(axis=1).tolist()]
        confidence = [round(value, 6) for value in probabilities.max(axis=1).tolist()]
        for index, activity in enumerate(activities):
            if activity == NO_SIGNAL:  # whatever model answers
                predicted[index], confidence[index] = NO_SIGNAL, 0.0
        pairs = [pair for pair in zip(predicted, activities, strict=True) if pair[1] != NO_SIGNAL]
        self._metrics.shadow(sum(shadow == champion for shadow, champion in pairs), len(pairs), seconds)
        self._journal.append(
            {
                "kind": "shadow",
                "request_id": request_id,
                "received_us": received_us,
                "model_version": self._version,
                "ms": round(1000 * seconds, 3),
                "activity": predicted,
                "confidence": confidence,
            }
        )
