"""Ask Prometheus: newest values, and courses over a time."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from har.errors import ServerError
from har.files import write_atomically
from har.settings import Settings

DEFAULT = "http://127.0.0.1:9090"
_ADDRESS = "address"
_TIMEOUT_S = 5.0


@dataclass(frozen=True)
class Series:
    """One series of an answer.

    Attributes:
        labels: without `__name__`.
        points: (seconds since 1970, value) in the order of time; one for a newest value.
    """

    labels: Mapping[str, str]
    points: tuple[tuple[float, float], ...]

    @property
    def value(self) -> float:
        """The newest one."""
        return self.points[-1][1]


def note_address(folder: Path, address: str) -> None:
    """Write down where the Prometheus with this folder answers, for `known_address`."""
    write_atomically(folder / _ADDRESS, address)


def noted_address(settings: Settings) -> str:
    """The address of the project's Prometheus: the setting, else that of `make up`; "": none is known."""
    if settings.release.prometheus:
        return settings.release.prometheus
    try:
        return (settings.root / ".prefect" / "prometheus" / _ADDRESS).read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return ""


def known_address(settings: Settings) -> str:
    """The address of the project's Prometheus, or the usual one where none is known."""
    return noted_address(settings) or DEFAULT


class Prometheus:
    """A Prometheus server's API.

    Args:
        address: of the server, such as `http://127.0.0.1:9090`.
        timeout_s: of one query.
    """

    def __init__(self, address: str, *, timeout_s: float = _TIMEOUT_S) -> None:
        self.address = address.rstrip("/")
        # A proxy of the environment cannot reach this machine's ports.
        here = urlsplit(self.address).hostname in ("127.0.0.1", "localhost")
        self._client = httpx.Client(base_url=self.address, timeout=timeout_s, trust_env=not here)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def now(self, promql: str) -> list[Series]:
        """The newest value of each series of an expression.

        Raises:
            ServerError: it cannot be reached, refuses the expression, or answers something else.
        """
        found = self._ask("query", {"query": promql})
        return [Series(_labels(one), (_point(one["value"]),)) for one in found]

    def over(self, promql: str, seconds: float, *, end: float | None = None, points: int = 120) -> list[Series]:
        """The course of each series of an expression.

        Args:
            promql: an instant vector.
            seconds: how far back.
            end: of the time, in seconds since 1970; None: now.
            points: about how many values of each series.

        Raises:
            ServerError: as for `now`.
        """
        until = time.time() if end is None else end
        step_s = max(1, math.ceil(seconds / points))
        given = {"query": promql, "start": until - seconds, "end": until, "step": step_s}
        return [Series(_labels(one), tuple(map(_point, one["values"]))) for one in self._ask("query_range", given)]

    def _ask(self, what: str, given: Mapping[str, Any]) -> list[dict[str, Any]]:
        try:
            answer = self._client.get(f"/api/v1/{what}", params=dict(given))
        except httpx.TransportError as error:
            raise ServerError(
                where=f"Prometheus at {self.address}",
                problem=f"does not answer ({type(error).__name__})",
                remedy="Start it: make up (with Debian's package prometheus installed). Another one: "
                "release.prometheus in har.toml, or --prometheus ADDRESS.",
            ) from error
        try:
            content = answer.json()
            if content["status"] != "success":
                raise ServerError(
                    where=f"Prometheus at {self.address}",
                    problem=f"refuses {given['query']}: {content.get('error')}",
                    remedy="The rules of infra/observability/rules must be loaded, and its version be 2.40 or later.",
                )
            result: list[dict[str, Any]] = content["data"]["result"]
        except (ValueError, KeyError, TypeError) as error:
            raise ServerError(
                where=f"Prometheus at {self.address}",
                problem=f"answers {answer.status_code} and no result, as another program would",
                remedy="Name Prometheus's own address: release.prometheus in har.toml, or --prometheus ADDRESS.",
            ) from error
        return result


def _labels(one: Mapping[str, Any]) -> dict[str, str]:
    return {name: value for name, value in one["metric"].items() if name != "__name__"}


def _point(pair: tuple[float, str]) -> tuple[float, float]:
    return float(pair[0]), float(pair[1])
