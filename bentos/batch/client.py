"""The client of the batch service: sends samples, returns predictions. `score` uses it if `scoring.service` is set."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import polars as pl

from bentos.batch._headers import FEATURES_HEADER, PARQUET, VERSION_HEADER
from har.errors import HarError, ModelMismatchError, RequestError, ServiceError
from har.files import temporary_folder
from har.predictions import FEATURES, Parts
from har.schema import PREDICTIONS
from har.settings import Settings

_TIMEOUT = httpx.Timeout(10, read=3600, write=600)
_PIECE = 1 << 20
_ROW_GROUP = 250_000
_TRANSIENT = (408, 425, 429, 500, 502, 503, 504, 507)
_REPACKAGE = "Package the champion (har package) and restart the service from the new batch bento."


@dataclass(frozen=True)
class BatchService:
    """The service at `settings.scoring.service`; answers of another model version are refused.

    Attributes:
        settings: address, window and channels.
        version: the champion's; answers of another are refused.
        features: names of the model's features to be returned with the predictions.
        required: False: whoever asks can do without it.
    """

    settings: Settings
    version: int
    features: tuple[str, ...] = ()
    required: bool = True

    @property
    def address(self) -> str:
        """The service's URL."""
        return self.settings.scoring.service

    def require_champion(self) -> None:
        """Check that the service holds the champion and cuts windows as these settings do.

        Raises:
            ModelMismatchError: it does not.
            ServiceError: it does not answer.
        """
        with self._connected() as client:
            answer = client.get("/model")
            self._require_answer(answer)
        try:
            served: dict[str, Any] = answer.json()
            self._require_version(int(served["version"]))
            theirs = {name: served[name] for name in ("length", "stride", "rate_hz", "channels")}
        except (ValueError, KeyError, TypeError) as error:
            if isinstance(error, HarError):
                raise
            raise ServiceError(
                where=f"{self.address}/model",
                expected="a batch bento's description of its model",
                got=answer.text[:200],
                remedy="Fix scoring.service in har.toml: it names another service.",
            ) from error
        ours: dict[str, Any] = {
            "length": self.settings.length,
            "stride": self.settings.stride,
            "rate_hz": self.settings.sensors.rate_hz,
            "channels": list(self.settings.sensors.channels),
        }
        for name, value in ours.items():
            if theirs[name] != value:
                raise ModelMismatchError(
                    where=f"{self.address}, {name}", expected=str(value), got=str(theirs[name]), remedy=_REPACKAGE
                )

    def predict(self, parts: Parts) -> pl.DataFrame:
        """Predict these partitions, as `har.predictions.predict` would.

        Raises:
            ModelMismatchError: another version answered.
            ServiceError: the service cannot be reached, is busy or fails; trying again may help.
            RequestError: the service refuses the samples.
        """
        columns = {FEATURES: pl.Array(pl.Float32, len(self.features))} if self.features else {}
        with temporary_folder("score") as folder:
            samples, predictions = folder / "samples.parquet", folder / "predictions.parquet"
            if not self._write(parts, samples):
                return pl.DataFrame(schema={**PREDICTIONS, **columns})
            with (
                samples.open("rb") as body,
                self._connected() as client,
                client.stream(
                    "POST",
                    "/score",
                    content=iter(lambda: body.read(_PIECE), b""),
                    headers={
                        "Content-Type": PARQUET,
                        "Content-Length": str(samples.stat().st_size),
                        FEATURES_HEADER: ",".join(map(quote, self.features)),
                    },
                ) as answer,
            ):
                if answer.is_error:
                    answer.read()
                self._require_answer(answer)
                self._require_version(int(answer.headers.get(VERSION_HEADER, -1)))
                with predictions.open("wb") as file:
                    for piece in answer.iter_bytes(_PIECE):
                        file.write(piece)
            try:
                found = pl.read_parquet(predictions, glob=False)
                # A service of an older release lacks the newer columns.
                missing = [pl.lit(None, kind).alias(name) for name, kind in PREDICTIONS.items() if name not in found]
                return found.with_columns(missing)
            except pl.exceptions.PolarsError as error:
                raise ServiceError(
                    where=self.address, expected="predictions", got=str(error).splitlines()[0], remedy="Try again."
                ) from error

    def _write(self, parts: Parts, path: Path) -> bool:
        """Write all parts to one file, sorted as the service requires; False if there are no samples."""
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
    def _connected(self) -> Iterator[httpx.Client]:
        try:
            # The service is addressed directly; proxies of the environment are not used.
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
        if answer.status_code in _TRANSIENT:
            raise ServiceError(
                where=self.address,
                expected="predictions",
                got=f"status {answer.status_code}: {answer.text[:200]}",
                remedy="The service is busy or failing: try again later, and see its log.",
            )
        refusal = _refusal(answer)
        raise RequestError(
            where=f"{self.address}, {refusal.get('field', answer.request.url.path)}",
            expected=str(refusal.get("expected", "an answer of a batch bento")),
            got=str(refusal.get("got", f"status {answer.status_code}: {answer.text[:200]}")),
            remedy=str(refusal.get("remedy", "Check scoring.service in har.toml.")),
            status=answer.status_code,
        )

    def _require_version(self, served: int) -> None:
        if served != self.version:
            raise ModelMismatchError(
                where=f"{self.address}, model",
                expected=f"version {self.version}, the champion",
                got=f"version {served}" if served >= 0 else "no version",
                remedy=_REPACKAGE,
            )


def connect(settings: Settings, version: int, features: tuple[str, ...]) -> BatchService | None:
    """The service that `scoring.service` names; None if it names none."""
    return BatchService(settings, version, features) if settings.scoring.service else None


def _refusal(answer: httpx.Response) -> dict[str, Any]:
    """The parts of a batch service's error; empty if the answer is something else."""
    try:
        parts = answer.json()["error"]
    except (ValueError, KeyError, TypeError):
        return {}
    return parts if isinstance(parts, dict) else {}
