"""Answer windows by an online service, at `stream.service`; while it is away or busy, the stream waits for it."""

from __future__ import annotations

import os
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray

from har.errors import ServiceError, reason
from har.inference import Answers, Classifier, ModelMetadata
from har.log_lines import PROBE
from har.registry import Registry
from har.settings import Settings
from har.streaming.consumer._answering import Answered

_TIMEOUT_S = 10.0


class Service:
    """An online service of this project.

    Its log has no line of these requests, for the stream stores the answers itself.

    Args:
        settings: of the project.
        registry: has the versions that may answer.
    """

    def __init__(self, settings: Settings, registry: Registry) -> None:
        self._address = settings.stream.service
        self._registry = registry
        self._most = min(settings.stream.batch_windows, settings.serving.max_windows)
        self._client = httpx.Client(base_url=self._address, timeout=_TIMEOUT_S, trust_env=False)
        self._known: dict[int, ModelMetadata] = {}
        self._count = 0

    def close(self) -> None:
        """End the connection."""
        self._client.close()

    def refresh(self) -> None:
        """The service says with each answer which version it has."""

    def answer(self, windows: NDArray[np.float32]) -> Answered:
        """Answer windows, float32 (N, T, C).

        Raises:
            ServiceError: it cannot be reached, is busy, refuses, or changed its version in between.
        """
        parts = [self._ask(windows[row : row + self._most]) for row in range(0, len(windows), self._most)]
        versions = {version for version, _ in parts}
        if len(versions) > 1:
            raise self._error(f"versions {', '.join(map(str, sorted(versions)))}, one after the other")
        version = versions.pop()
        metadata = self._metadata(version)
        # A service of an earlier release does not say which windows are unlike its training data.
        knows = all("unknown" in one for _, predictions in parts for one in predictions)
        places = {name: place for place, name in enumerate(metadata.activities)}
        found = [one for _, predictions in parts for one in predictions]
        try:
            answers = Answers(
                np.array([places.get(one["activity"], -1) for one in found], np.intp),
                np.array([one["confidence"] for one in found], np.float32),
                np.array([one["abstained"] for one in found], np.bool_),
                np.array([one["unknown"] for one in found], np.bool_) if knows else None,
                np.array([[one["probabilities"][name] for name in metadata.activities] for one in found], np.float32),
                np.empty((len(found), 0), np.float32),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise self._error(reason(error)) from error
        return Answered(answers, metadata, version)

    def _ask(self, windows: NDArray[np.float32]) -> tuple[int, list[dict[str, Any]]]:
        self._count += 1
        headers = {
            "content-type": "application/octet-stream",
            "x-shape": ",".join(map(str, windows.shape)),
            "x-request-id": f"{PROBE}stream-{os.getpid()}-{self._count}",
        }
        try:
            answer = self._client.post("/predict/raw", content=windows.astype("<f4").tobytes(), headers=headers)
            if answer.is_error:
                raise self._error(f"{answer.status_code}: {answer.text[:200]}")
            content = answer.json()
            predictions = content["predictions"]
            if len(predictions) != len(windows):
                raise self._error(f"{len(predictions)} answers to {len(windows)} windows")
            return int(content["model_version"]), predictions
        except httpx.HTTPError as error:
            raise self._error(reason(error)) from error
        except (KeyError, TypeError, ValueError) as error:
            if isinstance(error, ServiceError):
                raise
            raise self._error(reason(error)) from error

    def _metadata(self, version: int) -> ModelMetadata:
        if version not in self._known:
            self._known = {version: Classifier(self._registry.model_path(version), threads=1).metadata}
        return self._known[version]

    def _error(self, got: str) -> ServiceError:
        return ServiceError(
            where=f"stream.service, {self._address}",
            expected="answers of an online service of this project",
            got=got,
            remedy="Start it (make up), or clear stream.service in har.toml; the windows wait in the store.",
        )
