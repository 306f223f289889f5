"""Peer: a typed asynchronous endpoint as BentoML's documentation shows it; only its access log is off, as ours is.

Of the types that were tried none was faster; pydantic models as the answer cost half as much again.
"""

from __future__ import annotations

from typing import Annotated, Any

import bentoml
import numpy as np
from bentoml.validators import DType, Shape

from tests.bench._peer import classify


@bentoml.service(workers=1, traffic={"timeout": 10}, logging={"access": {"enabled": False}})
class Stock:
    """The same model, behind all of BentoML's layers."""

    @bentoml.api
    async def predict(self, windows: Annotated[np.ndarray, DType("float32"), Shape((1, 128, 6))]) -> dict[str, Any]:
        """Classify a window."""
        return {"predictions": classify(windows)}
