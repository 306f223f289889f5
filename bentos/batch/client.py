"""A chunk's samples to a running batch bento, its predictions back: what `score` does when `scoring.service` is set."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import polars as pl

from har.errors import HarError, ModelMismatchError, RequestError, ServiceError
from har.predictions import FEATURES, Parts
from har.schema import PREDICTIONS
from har.settings import Settings

_TIMEOUT = httpx.Timeout(10, read=3600, write=600)
_VERSION_HEADER = "X-Model-Version"
_FEATURES_HEADER = "X-Features"
_PARQUET = {"Content-Type": "application/vnd.apache.parquet"}
_PIECE = 1 << 20
_ROW_GROUP = 250_000
_PASSING = (408, 425, 429, 500, 502, 503, 504, 507)
_PACKAGE = "Package the champion (har package) and restart the service from the new batch bento."


@dataclass(frozen=True)
class BatchService:
    """The service at `settings.scoring.service`, held to one model version.

    Attributes:
        settings: address, window and channels.
        version: the champion's; answers of another are refused.
        features: names of the model's features to be sent back with the predictions.
    """

    settings: Settings
    version: int
    features: tuple[str, ...] = ()

    @property
    def address(self) -> str:
        """Where it listens."""
        return self.settings.scoring.service

    def require_champion(self) -> None:
        """Ask what it serves.

        Raises:
            ModelMismatchError: another version, or windows cut otherwise.
            ServiceError: it does not answer.
        """
        with self._asking() as client:
            answer = client.get("/model")
            self._require_answer(answer)
        try:
            served: dict[str, Any] = answer.json()
            self._require_version(int(served["version"]))
            known = {name: served[name] for name in ("length", "stride", "rate_hz", "channels")}
        except (ValueError, KeyError, TypeError) as error:
            if isinstance(error, HarError):
                raise
            raise ServiceError(
                where=f"{self.address}/model",
                expected="a batch bento's description of its model",
                got=answer.text[:200],
                remedy="Mend scoring.service in har.toml: it names another service.",
            ) from error
        own: dict[str, Any] = {
            "length": self.settings.length,
            "stride": self.settings.stride,
            "rate_hz": self.settings.sensors.rate_hz,
            "channels": list(self.settings.sensors.channels),
        }
        for name, value in own.items():
            if known[name] != value:
                raise ModelMismatchError(
                    where=f"{self.address}, {name}", expected=str(value), got=str(known[name]), remedy=_PACKAGE
                )

    def predict(self, parts: Parts) -> pl.DataFrame:
        """What `har.jobs.score.predict` gives for these partitions.

        Raises:
            ModelMismatchError: another version answered.
            ServiceError: it is not there, busy or failing; another try may succeed.
            HarError: it refuses the samples.
        """
        described = {FEATURES: pl.Array(pl.Float32, len(self.features))} if self.features else {}
        with tempfile.TemporaryDirectory(prefix="har-score-") as folder:
            samples, predictions = Path(folder, "samples.parquet"), Path(folder, "predictions.parquet")
            if not self._write(parts, samples):
                return pl.DataFrame(schema={**PREDICTIONS, **described})
            with (
                samples.open("rb") as body,
                self._asking() as client,
                client.stream(
                    "POST",
                    "/score",
                    content=iter(lambda: body.read(_PIECE), b""),
                    headers={
                        **_PARQUET,
                        "Content-Length": str(samples.stat().st_size),
                        _FEATURES_HEADER: ",".join(map(quote, self.features)),
                    },
                ) as answer,
            ):
                if answer.is_error:
                    answer.read()
                self._require_answer(answer)
                self._require_version(int(answer.headers.get(_VERSION_HEADER, -1)))
                with predictions.open("wb") as file:
                    for piece in answer.iter_bytes(_PIECE):
                        file.write(piece)
            try:
                return pl.read_parquet(predictions)
            except pl.exceptions.PolarsError as error:
                raise ServiceError(
                    where=self.address, expected="predictions", got=str(error).splitlines()[0], remedy="Try again."
                ) from error

    def _write(self, parts: Parts, path: Path) -> bool:
        """Put all parts into one file, sorted as the service wants them; False if there are no samples."""
        frames = [
            frame.sort("session", "time").select(
                pl.lit(date, pl.Date).alias("date"), pl.lit(subject).alias("subject"), pl.all()
            )
            for (date, subject), frame in parts
            if len(frame)
        ]
        if frames:
            pl.concat(frames).write_parquet(path, compression="lz4", row_group_size=_ROW_GROUP)
        return bool(frames)

    @contextmanager
    def _asking(self) -> Iterator[httpx.Client]:
        try:
            # Proxies of the environment are for the outside; the service is named by its own address.
            with httpx.Client(base_url=self.address, timeout=_TIMEOUT, trust_env=False) as client:
                yield client
        except httpx.TransportError as error:
            raise ServiceError(
                where=self.address,
                expected="a batch service that answers",
                got=str(error) or type(error).__name__,
                remedy='Start it, or set scoring.service = "" in har.toml to score in the flow\'s own process.',
            ) from error

    def _require_answer(self, answer: httpx.Response) -> None:
        if answer.is_success:
            return
        if answer.status_code in _PASSING:
            raise ServiceError(
                where=self.address,
                expected="predictions",
                got=f"status {answer.status_code}: {answer.text[:200]}",
                remedy="It is busy or failing: try again later, and see its log.",
            )
        said = _refusal(answer)
        raise RequestError(
            where=f"{self.address}, {said.get('field', answer.request.url.path)}",
            expected=str(said.get("expected", "an answer of a batch bento")),
            got=str(said.get("got", f"status {answer.status_code}: {answer.text[:200]}")),
            remedy=str(said.get("remedy", "Check scoring.service in har.toml.")),
            status=answer.status_code,
        )

    def _require_version(self, served: int) -> None:
        if served != self.version:
            raise ModelMismatchError(
                where=f"{self.address}, model",
                expected=f"version {self.version}, the champion",
                got=f"version {served}" if served >= 0 else "no version",
                remedy=_PACKAGE,
            )


def _refusal(answer: httpx.Response) -> dict[str, Any]:
    """The parts of a batch bento's refusal; empty if this is none."""
    try:
        said = answer.json()["error"]
    except (ValueError, KeyError, TypeError):
        return {}
    return said if isinstance(said, dict) else {}
