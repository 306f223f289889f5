"""Peer: bare Starlette with orjson, as fast as Python's usual server gets; nothing is checked, counted or logged."""

from __future__ import annotations

import numpy as np
import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.bench._peer import classify


def _answer(windows: np.ndarray) -> Response:
    return Response(orjson.dumps({"predictions": classify(windows)}), media_type="application/json")


async def predict(request: Request) -> Response:
    """JSON."""
    return _answer(np.array(orjson.loads(await request.body())["windows"], np.float32))


async def predict_raw(request: Request) -> Response:
    """Float32, little-endian, its shape in the query."""
    shape = [int(size) for size in request.query_params["shape"].split(",")]
    return _answer(np.frombuffer(await request.body(), "<f4").reshape(shape))


async def ready(request: Request) -> Response:
    """The model is loaded."""
    return Response()


app = Starlette(
    routes=[
        Route("/predict", predict, methods=["POST"]),
        Route("/predict/raw", predict_raw, methods=["POST"]),
        Route("/readyz", ready),
    ]
)
