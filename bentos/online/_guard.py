"""The champion behind a deadline and a circuit breaker; when it fails, the previous model answers, or the rule."""

from __future__ import annotations

import logging
import math
import time
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bentos.online._breaker import Breaker
from bentos.online._metrics import Metrics
from bentos.online._models import Model
from har.errors import DeadlineError, ModelError
from har.inference import MagnitudeRule

logger = logging.getLogger("bentoml.har.guard")


_QUICK_MS = 20.0


class _NonFiniteError(ModelError):
    """A model returned NaN or infinity."""


class Classified(NamedTuple):
    """Classified windows: N rows of K probabilities, and who computed them in what time.

    `features` is float32 (N, F), None from the rule; `fallback` names what answered in the champion's place; `unknown`
    says which windows are unlike the model's training data, None where what answered cannot say.
    """

    probabilities: list[list[float]]
    features: NDArray[np.float32] | None
    version: int
    fallback: str | None
    ms: float
    unknown: list[bool] | None = None


class Guard:
    """Answers every request with valid windows.

    Args:
        champion: answers as long as it works.
        previous: answers in its place, if it was packaged.
        rule: answers where that fails too.
        deadline_s: for one call of a model.
        failures: failed or late calls in a row that open the breaker.
        pause_s: until an open breaker tries the champion again.
        unknown_share: `scoring.unknown_share`.
        metrics: counts fallbacks, shows the breaker's state.
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
        unknown_share: float,
        metrics: Metrics,
    ) -> None:
        self._champion, self._previous, self._rule = champion, previous, rule
        self._deadline_s = deadline_s
        self._metrics = metrics
        self._last_ms = 0.0
        # Looked up once: it takes as long as a small request's inference in part.
        self._unknown_beyond = {
            model: model.classifier.metadata.unknown_beyond(unknown_share)
            for model in (champion, previous)
            if model is not None and model.classifier.has_distance and unknown_share > 0
        }
        self._breaker = Breaker(failures=failures, pause_s=pause_s, on_change=self._breaker_changed)

    def warm_up(self) -> None:
        """Call each model once, before any request waits for it.

        Raises:
            ModelError: one of them fails.
        """
        metadata = self._champion.classifier.metadata
        window = np.zeros((1, metadata.length, len(metadata.channels)), np.float32)
        for model in (self._champion, self._previous):
            if model is not None:
                model.classifier.predict(window)
        self._rule.predict(window)

    @property
    def is_quick(self) -> bool:
        """Whether the last call was in time and short, so that the next one may be made in the event loop's thread."""
        return self._breaker.is_sound and self._last_ms < _QUICK_MS

    def classify(self, windows: NDArray[np.float32]) -> Classified:
        """Classify windows, float32 (N, T, C), finite."""
        began = time.perf_counter()
        if not self._breaker.permits():
            return self._fall_back(windows, "open", began)
        try:
            answer = self._ask(self._champion, windows, None, began)
        except DeadlineError:
            self._breaker.failed()
            return self._fall_back(windows, "deadline", began)
        except ModelError as error:
            self._breaker.failed()
            logger.warning("%s", error)
            return self._fall_back(windows, "nonfinite" if isinstance(error, _NonFiniteError) else "error", began)
        except BaseException:
            self._breaker.failed()
            raise
        self._breaker.succeeded()
        self._last_ms = answer.ms
        return answer

    def _fall_back(self, windows: NDArray[np.float32], reason: str, began: float) -> Classified:
        if self._previous is not None:
            try:
                answer = self._ask(self._previous, windows, "previous", began)
            except ModelError as error:
                logger.warning("fallback: %s", error)
            else:
                self._metrics.fallback("previous", reason)
                return answer
        self._metrics.fallback("rule", reason)
        rows = self._rule.predict(windows).tolist()
        return Classified(rows, None, self._champion.version, "rule", _ms_since(began))

    def _ask(self, model: Model, windows: NDArray[np.float32], fallback: str | None, began: float) -> Classified:
        classifier, version = model
        prediction = classifier.predict(windows, deadline_s=self._deadline_s)
        rows: list[list[float]] = prediction.probabilities.tolist()
        if not math.isfinite(sum(map(sum, rows))):
            raise _NonFiniteError(
                where=str(classifier.path),
                expected="finite probabilities",
                got="NaN or infinity, from finite windows",
                remedy="Roll back: har rollback --reason …",
            )
        unknown = None
        if prediction.distance is not None and model in self._unknown_beyond:
            unknown = (prediction.distance > self._unknown_beyond[model]).tolist()
        return Classified(rows, prediction.features, version, fallback, _ms_since(began), unknown)

    def _breaker_changed(self, state: str) -> None:
        self._metrics.breaker(state)
        logger.warning("circuit breaker: %s", state)


def _ms_since(began: float) -> float:
    return 1000 * (time.perf_counter() - began)
