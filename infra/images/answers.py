"""Compare the answers of a service in a container with those of the model in its image."""

from __future__ import annotations

import datetime as dt
import io
import json
from pathlib import Path

import httpx
import numpy as np
import polars as pl
import yaml
from numpy.typing import NDArray

from har.errors import PackagingError
from har.inference import Classifier, ModelMetadata, Package
from har.jobs.package import TOLERANCE
from har.predictions import predict
from har.settings import STANDARD_GRAVITY, Settings, load_settings

_WINDOWS = 8
_TIMEOUT_S = 120.0
_PARQUET = "application/vnd.apache.parquet"


def require_own_answers(box: str, address: str, bento: Path) -> None:
    """Send samples of a made-up movement, and compare.

    Args:
        box: online or batch.
        address: of the service.
        bento: a copy of the bento in the image.

    Raises:
        PackagingError: the service refuses, or answers otherwise than its model.
    """
    settings = load_settings(bento / "src" / "har.toml")
    manifest = yaml.safe_load((bento / "bento.yaml").read_text(encoding="utf-8"))
    name, _, version = manifest["services"][0]["models"][0]["tag"].partition(":")
    package = Package.read(bento / "models" / name / version)
    classifier = Classifier(package.model, threads=1)
    (_online if box == "online" else _batch)(address, settings, package.version, classifier)


def movement(metadata: ModelMetadata, count: int, seed: int = 0) -> NDArray[np.float32]:
    """Made-up samples float32 (n, C) for `count` windows: gravity on one axis, and noise as of a moving arm."""
    rng = np.random.default_rng(seed)
    samples = rng.normal(0, 0.5, (metadata.length * count, len(metadata.channels)))
    vertical = next((index for index, unit in enumerate(metadata.units) if unit == "m/s^2"), None)
    if vertical is not None:
        samples[:, vertical] += STANDARD_GRAVITY
    return samples.astype(np.float32)


def _online(address: str, settings: Settings, version: int, classifier: Classifier) -> None:
    metadata = classifier.metadata
    windows = movement(metadata, _WINDOWS).reshape(_WINDOWS, metadata.length, -1)
    shape = ",".join(str(size) for size in windows.shape)
    body = windows.astype("<f4").tobytes()
    answer = json.loads(_posted(f"{address}/predict/raw?shape={shape}", body, "application/octet-stream"))
    if answer["model_version"] != version or answer["fallback"]:
        raise _differs(f"answers of version {version}", f"version {answer['model_version']}'s, or a fallback")
    found = np.array([[row["probabilities"][name] for name in metadata.activities] for row in answer["predictions"]])
    _compare(found, classifier.predict(windows).probabilities)


def _batch(address: str, settings: Settings, version: int, classifier: Classifier) -> None:
    metadata = classifier.metadata
    values = movement(metadata, _WINDOWS)
    day, step = dt.datetime(2024, 1, 1, 12, tzinfo=dt.UTC), 1e6 / metadata.rate_hz
    samples = pl.DataFrame(
        {
            "session": ["a"] * len(values),
            "segment": np.zeros(len(values), np.int32),
            "time": [day + dt.timedelta(microseconds=round(number * step)) for number in range(len(values))],
            **{channel: values[:, index] for index, channel in enumerate(metadata.channels)},
        },
        schema_overrides={"time": pl.Datetime("us", "UTC")},
    )
    partition = (day.astimezone(settings.project.zone).date(), "smoke")
    upload = io.BytesIO()
    samples.select(pl.lit(partition[0]).alias("date"), pl.lit(partition[1]).alias("subject"), pl.all()).write_parquet(
        upload
    )
    answer = pl.read_parquet(io.BytesIO(_posted(f"{address}/score", upload.getvalue(), _PARQUET)))
    expected = predict([(partition, samples)], settings, classifier, version)
    exact = ["date", "subject", "session", "start", "end", "activity", "abstained", "model_version"]
    if expected.is_empty() or not answer.select(exact).equals(expected.select(exact)):
        raise _differs(f"{len(expected)} predictions as its model makes them", f"{len(answer)} others")
    _compare(answer["confidence"].to_numpy(), expected["confidence"].to_numpy())


def _posted(address: str, body: bytes, kind: str) -> bytes:
    try:
        # The container runs on this machine, which a proxy cannot reach.
        with httpx.Client(timeout=_TIMEOUT_S, trust_env=False) as client:
            answer = client.post(address, content=body, headers={"Content-Type": kind})
    except httpx.HTTPError as error:
        raise _differs("an answer", str(error) or type(error).__name__) from error
    if answer.is_error:
        raise _differs("an answer", f"{answer.status_code}: {answer.text[:500]}")
    return answer.content


def _compare(found: NDArray[np.float64], expected: NDArray[np.float32]) -> None:
    if found.shape != expected.shape:
        raise _differs(f"probabilities of shape {expected.shape}", f"shape {found.shape}")
    difference = float(np.abs(found - expected).max(initial=0))
    if not difference <= TOLERANCE:
        raise _differs(f"the model's probabilities to {TOLERANCE:g}", f"a difference of {difference:g}")


def _differs(expected: str, got: str) -> PackagingError:
    return PackagingError(
        where="service in the container",
        expected=expected,
        got=got,
        remedy="`har package` compares the same bento without a container: build the image again from one that passes.",
    )
