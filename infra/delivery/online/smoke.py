"""Ask a running online service what it must know: the same for a container, a staging and a production service.

    python -m infra.delivery.online.smoke ADDRESS [--expect VERSION | --candidate] [--model FILE] [--contract]

It must be ready, serve the expected version, answer known windows as the registered model does (1e-5), refuse what it
must refuse, and show its metrics. Without --expect, the registry's champion is expected; --candidate expects what
`make candidate` made, and --model names a model file where there is no registry. --contract also compares its OpenAPI
document with this project's.

Exit status: 0 all as expected, 1 not, 2 there is nothing to compare with.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np
from numpy.typing import NDArray

from har.errors import HarError, ModelError, SettingsError
from har.inference import Classifier, ModelMetadata
from har.jobs.package import TOLERANCE
from har.log_lines import PROBE
from har.project import open_project
from har.settings import load_settings

OCTETS = {"Content-Type": "application/octet-stream"}
_TIMEOUT_S = 60.0
_ATTEMPTS = 5
"""A fallback that answers for a late model is no failure the first time: the machine may be busy."""


@dataclass(frozen=True)
class Expected:
    """What the service has to be like.

    Attributes:
        version: of the model in the registry.
        classifier: of that version's file.
    """

    version: int
    classifier: Classifier

    def answers(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        """The probabilities of these windows, float32 (N, activities)."""
        return self.classifier.predict(windows).probabilities


def client(address: str) -> httpx.Client:
    """A client of a service; a proxy is not asked for services of this machine, which it cannot reach."""
    local = urlsplit(address).hostname in ("127.0.0.1", "localhost", "::1")
    return httpx.Client(
        base_url=address, timeout=_TIMEOUT_S, trust_env=not local, headers={"X-Request-ID": f"{PROBE}smoke"}
    )


def known_windows(metadata: ModelMetadata, count: int = 8) -> NDArray[np.float32]:
    """Windows that every model of these channels can take: a turning device, float32 (N, T, C), always the same."""
    random = np.random.default_rng(20_260_131)
    time_s = np.arange(metadata.length) / metadata.rate_hz
    windows = random.normal(0, 0.2, (count, metadata.length, len(metadata.channels)))
    for number, (name, unit) in enumerate(zip(metadata.channels, metadata.units, strict=True)):
        strength = {"m/s^2": 2.0, "rad/s": 0.5}.get(unit, 0.0)
        phase = random.uniform(0, 2 * np.pi, (count, 1))
        windows[:, :, number] += strength * np.sin(2 * np.pi * 1.5 * time_s + phase)
        if name == "accel_z":
            windows[:, :, number] += 9.81
    return windows.astype(np.float32)


def smoke(address: str, expected: Expected, *, wait_s: float = 60.0, contract: bool = False) -> list[str]:
    """What is wrong with the service at `address`, in sentences; empty: nothing.

    Args:
        address: such as `http://127.0.0.1:3000`.
        expected: the version, and its answers.
        wait_s: how long it may take to get ready.
        contract: also compare its OpenAPI document with that of this project.
    """
    with client(address) as service:
        problem = await_ready(service, wait_s)
        if problem:
            return [problem]
        checks: list[Callable[[httpx.Client, Expected], list[str]]] = [_model, _answers, _refusals, _metrics]
        if contract:
            checks.append(_contract)
        problems = []
        for check in checks:
            try:
                problems += check(service, expected)
            except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
                problems.append(f"{check.__name__.strip('_')}: {type(error).__name__}: {error}")
        return problems


def await_ready(service: httpx.Client, wait_s: float) -> str:
    """Wait until `/readyz` answers 200; why it did not, or nothing."""
    give_up = time.monotonic() + wait_s
    while True:
        try:
            answer = service.get("/readyz")
            if answer.status_code == 200:
                return ""
            last = f"{answer.status_code}: {answer.text[:200]}"
        except httpx.TransportError as error:
            last = str(error) or type(error).__name__
        if time.monotonic() >= give_up:
            return f"/readyz: expected 200 within {wait_s:g} s, but got {last}"
        time.sleep(0.1)


def ask(service: httpx.Client, windows: NDArray[np.float32]) -> httpx.Response:
    """Send windows as float32."""
    shape = ",".join(map(str, windows.shape))
    return service.post(
        "/predict/raw", params={"shape": shape}, content=windows.astype("<f4").tobytes(), headers=OCTETS
    )


def judge(answer: dict[str, Any], expected: Expected, probabilities: NDArray[np.float32]) -> str:
    """What is wrong with an answer, or nothing; an answer of the fallback is not compared."""
    if answer["fallback"]:
        return "the fallback answered"
    if answer["model_version"] != expected.version:
        return f"expected version {expected.version}, but got {answer['model_version']}"
    activities = expected.classifier.metadata.activities
    found = np.array([[one["probabilities"][name] for name in activities] for one in answer["predictions"]])
    if found.shape != probabilities.shape:
        return f"expected probabilities of shape {probabilities.shape}, but got {found.shape}"
    difference = float(np.abs(found - probabilities).max(initial=0))
    if not difference <= TOLERANCE:
        return f"expected the model's probabilities to {TOLERANCE:g}, but got a difference of {difference:g}"
    return ""


def _model(service: httpx.Client, expected: Expected) -> list[str]:
    found = service.get("/model").raise_for_status().json()
    metadata = expected.classifier.metadata
    wanted = {
        "version": expected.version,
        "activities": list(metadata.activities),
        "channels": list(metadata.channels),
        "units": list(metadata.units),
        "rate_hz": metadata.rate_hz,
    }
    return [
        f"/model, {name}: expected {value}, but got {found.get(name)}"
        for name, value in wanted.items()
        if found.get(name) != value
    ]


def _answers(service: httpx.Client, expected: Expected) -> list[str]:
    windows = known_windows(expected.classifier.metadata)
    probabilities = expected.answers(windows)
    ways: dict[str, Callable[[], httpx.Response]] = {
        "/predict": lambda: service.post("/predict", json={"windows": windows.tolist()}),
        "/predict/raw": lambda: ask(service, windows),
    }
    problems = []
    for route, send in ways.items():
        problem = ""
        for _ in range(_ATTEMPTS):
            answer = send()
            if answer.is_error:
                problem = f"{answer.status_code}: {answer.text[:300]}"
            else:
                problem = judge(answer.json(), expected, probabilities)
            if not problem:
                break
        if problem:
            problems.append(f"{route}: {problem}")
    return problems


def _refusals(service: httpx.Client, expected: Expected) -> list[str]:
    windows = known_windows(expected.classifier.metadata, 1)
    largest = service.get("/model").raise_for_status().json()["max_windows"]
    many = np.repeat(windows, largest + 1, axis=0)
    refused: dict[str, tuple[int, Callable[[], httpx.Response]]] = {
        "a window without its last sample": (422, lambda: ask(service, windows[:, :-1])),
        f"{largest + 1} windows": (413, lambda: ask(service, many)),
        "text": (415, lambda: service.post("/predict", content=b"hello", headers={"Content-Type": "text/plain"})),
        "no JSON": (400, lambda: service.post("/predict", content=b"{", headers={"Content-Type": "application/json"})),
        "an unknown path": (404, lambda: service.get("/no-such-path")),
    }
    problems = []
    for what, (status, send) in refused.items():
        answer = send()
        if answer.status_code != status:
            problems.append(f"{what}: expected {status}, but got {answer.status_code}: {answer.text[:200]}")
        elif not {"field", "expected", "got", "remedy"} <= answer.json()["error"].keys():
            problems.append(f"{what}: expected a reason and a remedy, but got {answer.text[:200]}")
    return problems


def _metrics(service: httpx.Client, expected: Expected) -> list[str]:
    lines = service.get("/metrics", follow_redirects=True).raise_for_status().text.splitlines()
    served = ("har_model_info{", 'role="champion"', f'version="{expected.version}"')
    answered = ("har_requests_total{", 'route="/predict"', 'status="200"')
    return [
        f"/metrics: expected {what}, but got none"
        for what, words in (("the served model", served), ("answered requests", answered))
        if not any(all(word in line for word in words) and float(line.rsplit(" ", 1)[1]) >= 1 for line in lines)
    ]


def _contract(service: httpx.Client, expected: Expected) -> list[str]:
    from infra.delivery.online._compare import breaks, essence
    from infra.delivery.online.contract import online

    served = service.get("/docs.json").raise_for_status().json()
    return [f"/docs.json: {reason}" for reason in breaks(essence(online(load_settings())), essence(served))]


def expectation(version: int | None, model: Path | None) -> Expected:
    """What to expect: of the registry, or of a model file.

    Raises:
        HarError: there is no such version or file.
    """
    if model is not None:
        if version is None:
            raise SettingsError(
                where="--model",
                expected="the version of this file",
                got="none",
                remedy=f"Say it: --expect 3 --model {model}.",
            )
        if not model.is_file():
            raise ModelError(where=str(model), expected="a model file", got="none", remedy="Name another one.")
        return Expected(version, Classifier(model, threads=1))
    project = open_project()
    number = project.registry.champion().number if version is None else version
    return Expected(number, project.classifier(number))


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; see the module."""
    parser = argparse.ArgumentParser(prog="python -m infra.delivery.online.smoke", description=__doc__)
    parser.add_argument("address", metavar="ADDRESS")
    parser.add_argument("--expect", type=int, metavar="VERSION", help="of the model; by default the champion's")
    parser.add_argument("--model", type=Path, metavar="FILE", help="the model file, where there is no registry")
    parser.add_argument("--candidate", action="store_true", help="expect the candidate of `make candidate`")
    parser.add_argument("--contract", action="store_true", help="compare its OpenAPI document with this project's")
    parser.add_argument("--wait", type=float, default=60.0, metavar="SECONDS", help="to get ready")
    chosen = parser.parse_args(arguments)
    try:
        if chosen.candidate:
            from infra.delivery.online.candidate import Candidate

            expected = Candidate.read(load_settings().root).expected()
        else:
            expected = expectation(chosen.expect, chosen.model)
    except HarError as error:
        print(error, file=sys.stderr)
        return 2
    problems = smoke(chosen.address, expected, wait_s=chosen.wait, contract=chosen.contract)
    for problem in problems:
        print(f"{chosen.address}: {problem}", file=sys.stderr)
    if not problems:
        print(f"{chosen.address} serves version {expected.version} as registered.")
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())
