"""What the servers that ours is compared with have in common: the same model file, run as ours runs it."""

from __future__ import annotations

import json
import os
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from tests.bench import PEER_MODEL


def _session() -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(os.environ[PEER_MODEL], options, providers=["CPUExecutionProvider"])


SESSION = _session()
NAMES: list[str] = json.loads(SESSION.get_modelmeta().custom_metadata_map["har.activities"])


def classify(windows: NDArray[np.float32]) -> list[dict[str, Any]]:
    """Activity, confidence and all probabilities of windows (N, T, C)."""
    (probabilities,) = SESSION.run(("probabilities",), {"window": windows})
    return [
        {
            "activity": NAMES[int(row.argmax())],
            "confidence": float(row.max()),
            "probabilities": dict(zip(NAMES, row.tolist(), strict=True)),
        }
        for row in probabilities
    ]
