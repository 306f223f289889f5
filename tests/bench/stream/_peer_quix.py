"""Peer: quixstreams with the same topic, windows and model. Runs in an environment of its own; prints its rate.

    python _peer_quix.py '{"address": …, "topic": …, "model": …, "count": …, "folder": …, "durable": true}'

`durable`: its own hopping windows, whose state survives a crash (RocksDB and a changelog topic), as ours does.
Otherwise the last seconds of each device are kept in a dict, and a crash loses them.
"""

from __future__ import annotations

import base64
import json
import sys
import time
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import onnxruntime
from quixstreams import Application

OPTIONS = json.loads(sys.argv[1])
LENGTH_S, STRIDE_S, CHANNELS = OPTIONS["length_s"], OPTIONS["stride_s"], OPTIONS["channels"]


def main() -> None:
    """Read until all messages have come, or none comes for a while."""
    classify = classifier()
    app = Application(
        broker_address=OPTIONS["address"],
        consumer_group=f"quix-{OPTIONS['durable']}",
        auto_offset_reset="earliest",
        state_dir=OPTIONS["folder"],
        loglevel="ERROR",
        consumer_extra_config={"session.timeout.ms": 6000, "receive.message.max.bytes": 1_000_000_000},
    )
    topic = app.topic(OPTIONS["topic"], key_deserializer="str", value_deserializer="bytes")
    answers = app.topic("answers", key_serializer="str", value_serializer="json")
    seen = {"messages": 0, "windows": 0, "began": 0.0, "ended": 0.0, "cpu": 0.0, "cpu_end": 0.0}

    def count(value: bytes) -> bytes:
        if not seen["messages"]:
            seen["began"], seen["cpu"] = time.perf_counter(), time.process_time()
        seen["messages"] += 1
        if seen["messages"] >= OPTIONS["count"]:
            seen["ended"], seen["cpu_end"] = time.perf_counter(), time.process_time()
            app.stop()
        return value

    def answer(window: Any) -> dict[str, Any]:
        seen["windows"] += 1
        return classify(window)

    frame = app.dataframe(topic).apply(count).apply(msgspec.msgpack.decode)
    if OPTIONS["durable"]:
        frame = (
            frame.apply(lambda message: base64.b64encode(message["samples"]).decode())
            .hopping_window(round(LENGTH_S * 1000), round(STRIDE_S * 1000))
            .collect()
            .final()
            .apply(lambda window: b"".join(map(base64.b64decode, window["value"])))
            .filter(lambda content: len(content) == OPTIONS["bytes"])
            .apply(answer)
        )
    else:
        kept: dict[str, list[bytes]] = {}

        def windows(message: dict[str, Any]) -> list[bytes]:
            parts = kept.setdefault(message["subject"], [])
            parts.append(message["samples"])
            if len(parts) < LENGTH_S:
                return []
            whole = b"".join(parts)
            del parts[: round(STRIDE_S)]
            return [whole]

        frame = frame.apply(windows, expand=True).apply(answer)
    frame.to_topic(answers)
    app.run(timeout=20.0)
    ended, cpu = seen["ended"] or time.perf_counter(), seen["cpu_end"] or time.process_time()
    found = {"messages": seen["messages"], "windows": seen["windows"]}
    found["messages_per_s"] = seen["messages"] / max(ended - seen["began"], 1e-9)
    found["messages_per_cpu_s"] = seen["messages"] / max(cpu - seen["cpu"], 1e-9)
    print(json.dumps(found))


def classifier() -> Callable[[bytes], dict[str, Any]]:
    """One window at a time, as its stream brings them."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(OPTIONS["model"], options, providers=["CPUExecutionProvider"])
    names = json.loads(session.get_modelmeta().custom_metadata_map["har.activities"])

    def classify(content: bytes) -> dict[str, Any]:
        window = np.frombuffer(content, np.float32).reshape(1, -1, CHANNELS)
        (probabilities,) = session.run(("probabilities",), {"window": window})
        best = int(probabilities[0].argmax())
        return {"activity": names[best], "confidence": float(probabilities[0, best])}

    return classify


if __name__ == "__main__":
    main()
