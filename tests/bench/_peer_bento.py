"""Peer: a typed asynchronous endpoint as BentoML's documentation shows it; only its access log is off, as ours is."""

from __future__ import annotations

from typing import Annotated

import bentoml
import numpy as np
from bentoml.validators import DType
from pydantic import BaseModel

from tests.bench._peer import classify


class Prediction(BaseModel):
    """Of one window."""

    activity: str
    confidence: float
    probabilities: dict[str, float]


@bentoml.service(workers=1, traffic={"timeout": 10}, logging={"access": {"enabled": False}})
class Stock:
    """The same model, behind all of BentoML's layers."""

    @bentoml.api
    async def predict(self, windows: Annotated[np.ndarray, DType("float32")]) -> list[Prediction]:
        """Classify windows."""
        return [Prediction.model_construct(**row) for row in classify(windows)]
