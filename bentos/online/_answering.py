"""Windows in, an answer and a line of the prediction log out; knows no HTTP."""

from __future__ import annotations

import asyncio
import gc
import math
import secrets
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray
from prometheus_client import REGISTRY, CollectorRegistry

from bentos.online._contract import Contract, Feedback, Windows
from bentos.online._door import Door
from bentos.online._guard import Guard
from bentos.online._journal import Journal
from bentos.online._metrics import Metrics
from bentos.online._mirror import Mirror
from bentos.online._models import describe_models, load
from bentos.online._shadow import Shadow
from har.errors import RequestError
from har.inference import Package, granted_cores
from har.log_lines import PROBE
from har.plausibility import NO_SIGNAL, Doubt, Doubts, SignalRule
from har.settings import Settings

_INLINE_WINDOWS = 16
"""Up to this many windows, a hop to a thread takes longer than the inference, which would not run beside it anyway.

A model that is slow or fails is called in a thread all the same: it must not hold up health and the end of the service.
"""


class Answering:
    """The packaged models, the prediction log and the metrics of one worker process.

    Args:
        package: champion, previous, shadow and rule.
        settings: `serving`, and the prediction log's folder.
        registry: where metrics are registered.

    Raises:
        ModelError: a model file that cannot be served.
        ModelMismatchError: one that takes other windows than the champion.
    """

    def __init__(self, package: Package, settings: Settings, *, registry: CollectorRegistry = REGISTRY) -> None:
        serving = settings.serving
        models = load(package)
        champion = models["champion"]
        metadata = champion.classifier.metadata
        self.settings, self.serving = settings, serving
        self.version = package.version
        full_scales = settings.sensors.full_scales
        self.contract = Contract(metadata, max_windows=serving.max_windows, full_scales=full_scales)
        self.description = describe_models(models, max_windows=serving.max_windows)
        self.card = package.card.read_bytes() if package.card else None
        self.door = Door(settings)
        self.metrics = Metrics(metadata.activities, registry)
        for role, model in models.items():
            described = model.classifier.metadata
            self.metrics.model(role, model.version, described.data_version, described.trained_at)
        self._guard = Guard(
            champion,
            previous=models.get("previous"),
            rule=package.rule,
            deadline_s=serving.deadline_ms / 1000,
            failures=serving.breaker_failures,
            pause_s=serving.breaker_pause_s,
            unknown_share=settings.scoring.unknown_share,
            metrics=self.metrics,
        )
        self._journal = Journal(
            settings.path("journal"),
            queue=serving.log_queue,
            rotate_bytes=1e6 * serving.log_rotate_mb,
            rotate_s=serving.log_rotate_s,
            metrics=self.metrics,
        )
        self._shadow = None
        if serving.shadow in models and serving.shadow_share > 0:
            self._shadow = Shadow(
                models[serving.shadow],
                share=serving.shadow_share,
                deadline_s=serving.deadline_ms / 1000,
                journal=self._journal,
                metrics=self.metrics,
            )
        self._mirror = None
        if serving.mirror:
            file = settings.root / serving.mirror
            self._mirror = Mirror(file, timeout_s=serving.timeout_s, journal=self._journal, metrics=self.metrics)
        shape: dict[str, Any] = {"units": metadata.units, "rate_hz": metadata.rate_hz, "length": metadata.length}
        # The same rule as in the nightly job and in training: a window gets the same answer everywhere.
        self._signal = SignalRule(
            **shape, full_scales=[full_scales.get(channel, math.inf) for channel in metadata.channels]
        )
        self._doubts = Doubts(**shape)
        self._activities, self._abstain_below = metadata.activities, metadata.abstain_below
        self._length_us, self._stride_us = (
            round(1e6 * samples / metadata.rate_hz) for samples in (metadata.length, metadata.stride)
        )
        self._pool = ThreadPoolExecutor(granted_cores(), thread_name_prefix="inference")
        self._prefix, self._count = secrets.token_hex(6), 0
        self.ready = False

    def start(self) -> None:
        """Warm up, start the log, and exclude what exists now from garbage collection.

        Raises:
            ModelError: a model fails.
        """
        self._guard.warm_up()
        self.door.prepare()
        self._journal.start()
        if self._mirror is not None:
            self._mirror.start()
        gc.collect()
        gc.freeze()
        gc.set_threshold(10_000, 50, 1000)
        self.ready = True

    def stop(self) -> None:
        """Write out the log and the metrics."""
        self.metrics.flush()
        self.ready = False
        self._pool.shutdown(wait=False, cancel_futures=True)  # a model may never return; nobody waits for it any more
        for other in (self._shadow, self._mirror):
            if other is not None:
                other.stop()
        self._journal.stop()

    def new_id(self) -> str:
        """An id that no other request or feedback has; only from the event loop's thread."""
        self._count += 1
        return f"{self._prefix}-{self._count:x}"

    async def classify(self, windows: Windows, request_id: str) -> dict[str, Any]:
        """Classify windows; the answer has the fields of `_schema.Answer`.

        Raises:
            RequestError: the values are implausible, and `serving.strict` is set.
        """
        received_us = time.time_ns() // 1000
        values = windows.values
        if len(values) <= _INLINE_WINDOWS:
            silent, doubts = self._judge(values)
        else:
            silent, doubts = await asyncio.get_running_loop().run_in_executor(self._pool, self._judge, values)
        self.metrics.warned([doubt.code for doubt in doubts])
        if doubts and self.serving.strict:
            raise _refusal(doubts[0])
        if len(values) <= _INLINE_WINDOWS and self._guard.is_quick:
            found = self._guard.classify(values)
        else:
            found = await asyncio.get_running_loop().run_in_executor(self._pool, self._guard.classify, values)
        names, rows = self._activities, found.probabilities
        confidence = [max(row) for row in rows]
        activities = [names[row.index(value)] for row, value in zip(rows, confidence, strict=True)]
        abstained = [value < self._abstain_below for value in confidence]
        unknown = found.unknown or [False] * len(rows)
        for index in silent:
            activities[index], confidence[index], abstained[index] = NO_SIGNAL, 0.0, True
            rows[index], unknown[index] = [0.0] * len(names), False
        self.metrics.windows(activities, confidence, abstained, unknown)
        start_us = windows.start_us
        if start_us is None:
            # Where the client does not say, the last window has just ended.
            start_us = received_us - self._length_us - (len(values) - 1) * self._stride_us
        if not request_id.startswith(PROBE):
            self._journal.append(
                {
                    "kind": "prediction",
                    "request_id": request_id,
                    "received_us": received_us,
                    "subject": windows.subject,
                    "session": windows.session,
                    "start_us": start_us,
                    "stride_us": self._stride_us,
                    "length_us": self._length_us,
                    "model_version": found.version,
                    "fallback": found.fallback,
                    "ms": round(found.ms, 3),
                    "activity": activities,
                    "confidence": confidence,
                    "abstained": abstained,
                    "features": found.features,
                    "unknown": None if found.unknown is None else unknown,
                }
            )
            if self._shadow is not None and found.fallback is None:
                self._shadow.offer(values, activities, request_id=request_id, received_us=received_us)
            if self._mirror is not None and found.fallback is None:
                self._mirror.offer(values, request_id=request_id, received_us=received_us)
        return {
            "request_id": request_id,
            "model_version": found.version,
            "fallback": found.fallback is not None,
            "predictions": [
                {
                    "activity": activity,
                    "confidence": value,
                    "abstained": unsure,
                    "probabilities": dict(zip(names, row, strict=True)),
                    "unknown": unlike,
                }
                for activity, value, unsure, row, unlike in zip(
                    activities, confidence, abstained, rows, unknown, strict=True
                )
            ],
            "warnings": [{"code": doubt.code, "text": doubt.text} for doubt in doubts],
        }

    def _judge(self, values: NDArray[np.float32]) -> tuple[list[int], tuple[Doubt, ...]]:
        """Which windows have no signal, and what is implausible about the others together."""
        absent = self._signal.absent(values)
        silent: list[int] = np.flatnonzero(absent).tolist()
        return silent, self._doubts.of(values[~absent] if silent else values)

    def record(self, feedback: Feedback, source: str) -> str:
        """Write feedback of this source, which `door` let in, to the prediction log; its id.

        Raises:
            RequestError: the feedback is too much, or about too long an interval; or the log has no room.
        """
        self.door.admit(feedback, source)
        feedback_id = self.new_id()  # a client may give several feedbacks the same request id
        line = {
            "kind": "feedback",
            "feedback_id": feedback_id,
            "received_us": time.time_ns() // 1000,
            "activity": feedback.activity,
            "request_id": feedback.request_id,
            "subject": feedback.subject,
            "start_us": feedback.start_us,
            "end_us": feedback.end_us,
            "source": source,
        }
        if not self._journal.append(line):
            raise RequestError(
                where="log",
                expected="room in the prediction log",
                got="none",
                remedy="Send the feedback again after the seconds in Retry-After.",
                status=503,
            )
        return feedback_id


def _refusal(doubt: Doubt) -> RequestError:
    return RequestError(where=doubt.where, expected=doubt.expected, got=doubt.got, remedy=doubt.remedy)
