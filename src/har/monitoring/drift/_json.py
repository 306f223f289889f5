"""How values of drift are written as JSON and read again, by pydantic."""

from __future__ import annotations

import json
from typing import Annotated, Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import PlainSerializer, PlainValidator, TypeAdapter

T = TypeVar("T")

Array = Annotated[
    NDArray[np.float64],
    PlainValidator(lambda value: np.asarray(value, np.float64)),
    PlainSerializer(lambda value: value.tolist()),
]
"""A float64 array, as nested lists in JSON."""


def to_json(adapter: TypeAdapter[T], value: T, **more: Any) -> str:
    """As JSON, floats in full; `more` are further keys, before the value's own.

    Raises:
        ValueError: a float that is not finite.
    """
    return json.dumps({**more, **adapter.dump_python(value, mode="json")}, allow_nan=False)
