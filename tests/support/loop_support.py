"""A lake whose movements two hand-made models can name by one channel's mean, for what monitoring does with models."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import polars as pl
from onnx import TensorProto, helper, numpy_helper

from har.inference import Classifier, ModelMetadata
from har.jobs.score import chunks_to_score, pending, score_chunk
from har.lake import Lake
from har.settings import Settings

ACTIVITIES = ("PEN", "ABD")
"""PEN has accel_x around +2, ABD around -2."""
SECONDS = 60


def fill(
    lake: Lake,
    settings: Settings,
    dates: Sequence[dt.date],
    subjects: Sequence[str],
    *,
    labelled: bool = True,
    shift: float = 0.0,
) -> None:
    """Write a minute of PEN and a minute of ABD per subject-day, sessions `0` and `1`; `shift` moves accel_y."""
    rate = round(settings.sensors.rate_hz)
    count = SECONDS * rate
    samples, files = [], []
    for date in dates:
        for subject in subjects:
            random = np.random.default_rng([date.toordinal(), *subject.encode()])
            for number, activity in enumerate(ACTIVITIES):
                start = dt.datetime.combine(date, dt.time(9 + number), dt.UTC)
                values = random.normal(0, 0.3, (count, len(lake.channels)))
                values[:, 0] += 2 * (1 - 2 * number)
                values[:, 1] += shift
                frame = pl.DataFrame(values.astype(np.float32), list(lake.channels)).with_columns(
                    pl.lit(date).alias("date"),
                    pl.lit(subject).alias("subject"),
                    pl.lit(str(number)).alias("session"),
                    pl.lit(0, pl.Int32).alias("segment"),
                    (pl.lit(start) + pl.duration(microseconds=pl.int_range(pl.len()) * (1_000_000 // rate))).alias(
                        "time"
                    ),
                    pl.lit(activity if labelled else None, pl.String).alias("activity"),
                    pl.lit(0, pl.Int8).alias("flags"),
                )
                samples.append(frame.select(lake.samples.schema.names()))
                files.append(
                    {
                        "date": date,
                        "subject": subject,
                        "session": str(number),
                        "sha256": f"{date}{subject}{number}",
                        "samples": count,
                        "unlabelled": 0 if labelled else count,
                    }
                )
    partitions = [(date, subject) for date in dates for subject in subjects]
    lake.samples.replace(pl.concat(samples), partitions)
    lake.recordings.replace(pl.DataFrame(files, lake.recordings.schema), partitions)


def write_mean_model(path: Path, settings: Settings, *, gain: float = 4.0) -> Path:
    """A model that reads accel_x's mean: right for a positive gain, always wrong for a negative, unsure for a small."""
    channels, names = settings.sensors.channels, settings.activities.all
    weights = np.zeros((len(channels), len(names)), np.float32)
    weights[0, :2] = gain, -gain
    bias = np.full(len(names), -20, np.float32)
    bias[:2] = 0
    graph = helper.make_graph(
        [
            helper.make_node("ReduceMean", ["window", "axes"], ["features"], keepdims=0),
            helper.make_node("Gemm", ["features", "weights", "bias"], ["logits"]),
            helper.make_node("Softmax", ["logits"], ["probabilities"], axis=-1),
        ],
        "har",
        [helper.make_tensor_value_info("window", TensorProto.FLOAT, ["N", settings.length, len(channels)])],
        [
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", len(names)]),
            helper.make_tensor_value_info("features", TensorProto.FLOAT, ["N", len(channels)]),
        ],
        [
            numpy_helper.from_array(weights, "weights"),
            numpy_helper.from_array(bias, "bias"),
            numpy_helper.from_array(np.array([1]), "axes"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    metadata = ModelMetadata(
        project=settings.project.name,
        network="spectral",
        **settings.model_input,
        stride=settings.stride,
        feature_names=tuple(f"{channel}.mean" for channel in channels),
        temperature=1.0,
        abstain_below=0.5,
        git_commit="",
        data_version="samples@0",
        split_id="none",
        trained_at="2026-01-02T03:04:05+00:00",
    )
    helper.set_model_props(model, metadata.to_properties())
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, path)
    return path


def score(lake: Lake, settings: Settings, model: Path, version: int) -> None:
    """Predict what no model has predicted."""
    for chunk in chunks_to_score(lake, pending(lake, version)):
        score_chunk(lake, settings, Classifier(model, threads=1), version, chunk)
