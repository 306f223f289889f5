"""Peer: FastAPI with pydantic models for what comes in and what goes out."""

from __future__ import annotations

import numpy as np
from fastapi import FastAPI
from pydantic import BaseModel

from tests.bench._peer import classify


class Windows(BaseModel):
    """What comes in."""

    windows: list[list[list[float]]]


class Prediction(BaseModel):
    """Of one window."""

    activity: str
    confidence: float
    probabilities: dict[str, float]


class Answer(BaseModel):
    """What goes out."""

    predictions: list[Prediction]


app = FastAPI()


@app.post("/predict")
async def predict(body: Windows) -> Answer:
    """Classify windows."""
    rows = classify(np.array(body.windows, np.float32))
    return Answer(predictions=[Prediction.model_construct(**row) for row in rows])


@app.get("/readyz")
async def ready() -> dict[str, str]:
    """The model is loaded."""
    return {}
