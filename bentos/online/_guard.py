"""The champion behind a deadline and a circuit breaker; when it fails, the previous model answers, or a rule."""

from __future__ import annotations

import contextlib
import logging
import math
import threading
import time
from typing import NamedTuple

import numpy as np
import pybreaker
from numpy.typing import NDArray

from bentos.online._metrics import Metrics
from bentos.online._models import Model
from har.errors import DeadlineError, ModelError
from har.inference import Classifier, MagnitudeRule, Prediction

logger = logging.getLogger("bentoml.har.guard")


class Answer(NamedTuple):
    """Probabilities float32 (N, K); features float32 (N, F), None from the rule; who answered, and in what time."""

    probabilities: NDArray[np.float32]
    features: NDArray[np.float32] | None
    version: int
    fallback: str | None
    ms: float


class Guard:
    """Answers every request with valid windows.

    Args:
        champion: whose answers count.
        previous: what answers in its place, if it was packaged.
        rule: what answers where that fails too.
        deadline_s: for one call of a model.
        failures: failed or late calls in a row that open the breaker.
        pause_s: until it lets one call through again.
        metrics: counts fallbacks, shows the breaker.
    """

    def __init__(
        self,
        champion: Model,
        *,
        previous: Model | None,
        rule: MagnitudeRule,
        deadline_s: float,
        failures: int,
        pause_s: float,
        metrics: Metrics,
    ) -> None:
        self._champion, self._previous, self._rule = champion, previous, rule
        self._deadline_s = deadline_s
        self._metrics = metrics
        self._trying = threading.Lock()
        self._breaker = pybreaker.CircuitBreaker(
            fail_max=failures, reset_timeout=pause_s, throw_new_error_on_trip=False, listeners=[_Listener(metrics)]
        )

    def warm_up(self) -> None:
        """One call of each model, before any request waits for it.

        Raises:
            ModelError: one of them fails.
        """
        metadata = self._champion.classifier.metadata
        window = np.zeros((1, metadata.length, len(metadata.channels)), np.float32)
        for model in (self._champion, self._previous):
            if model is not None:
                model.classifier.predict(window)
        self._rule.predict(window)

    def predict(self, window: NDArray[np.float32]) -> Answer:
        """Classify windows, float32 (N, T, C), finite."""
        began = time.perf_counter()
        try:
            answer = self._through_breaker(window)
            return Answer(*answer, self._champion.version, None, 1000 * (time.perf_counter() - began))
        except pybreaker.CircuitBreakerError:
            reason = "open"
        except DeadlineError:
            reason = "deadline"
        except ModelError as error:
            logger.warning("%s", error)
            reason = "error"
        return self._fall_back(window, reason, began)

    def _through_breaker(self, window: NDArray[np.float32]) -> Prediction:
        # The breaker holds a lock over what it calls. One slow batch must not keep every other request waiting for
        # it, so a closed breaker is told of the outcome, and an open one lets a single call try.
        if self._breaker.current_state != pybreaker.STATE_CLOSED:
            if not self._trying.acquire(blocking=False):
                raise pybreaker.CircuitBreakerError("another call is trying the model")
            try:
                return self._breaker.call(self._ask, self._champion.classifier, window)
            finally:
                self._trying.release()
        try:
            answer = self._ask(self._champion.classifier, window)
        except ModelError as error:
            self._breaker.call(_fail, error)
            raise
        if self._breaker.fail_counter:
            with contextlib.suppress(pybreaker.CircuitBreakerError):  # it opened meanwhile; this answer is good
                self._breaker.call(_succeed)
        return answer

    def _fall_back(self, window: NDArray[np.float32], reason: str, began: float) -> Answer:
        if self._previous is not None:
            try:
                answer = self._ask(self._previous.classifier, window)
            except ModelError as error:
                logger.warning("fallback: %s", error)
            else:
                self._metrics.fallback("previous", reason)
                return Answer(*answer, self._previous.version, "previous", 1000 * (time.perf_counter() - began))
        self._metrics.fallback("rule", reason)
        probabilities = self._rule.predict(window)
        return Answer(probabilities, None, self._champion.version, "rule", 1000 * (time.perf_counter() - began))

    def _ask(self, classifier: Classifier, window: NDArray[np.float32]) -> Prediction:
        prediction = classifier.predict(window, deadline_s=self._deadline_s)
        if not math.isfinite(sum(prediction.probabilities.ravel().tolist())):
            raise ModelError(
                where=str(classifier.path),
                expected="finite probabilities",
                got="others, from finite windows",
                remedy="Roll back: har rollback --reason …",
            )
        return prediction


def _succeed() -> None:
    pass


def _fail(error: ModelError) -> None:
    raise error


class _Listener(pybreaker.CircuitBreakerListener):
    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def state_change(
        self,
        cb: pybreaker.CircuitBreaker,
        old_state: pybreaker.CircuitBreakerState | None,
        new_state: pybreaker.CircuitBreakerState,
    ) -> None:
        self._metrics.breaker(new_state.name)
        logger.warning("circuit breaker: %s", new_state.name)
