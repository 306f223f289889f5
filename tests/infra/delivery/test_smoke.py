"""The smoke test of a running service: it passes a right one, and names what is wrong with every other."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from ports_support import free_port
from prometheus_client import CollectorRegistry, make_asgi_app
from serving_support import Service, listening, make_rule, read_journal, train_model, write_settings
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route

from bentos._front import Front
from bentos.online._answering import Answering
from bentos.online.app import App
from har.inference import Classifier, Package
from infra.delivery.online.smoke import Expected, known_windows, main, smoke

pytestmark = pytest.mark.stack

Serve = Callable[..., Service]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two trained models."""
    folder = tmp_path_factory.mktemp("models")
    return {name: train_model(folder / f"{name}.onnx", seed=seed) for seed, name in ((1, "right"), (2, "wrong"))}


@pytest.fixture
def serve(models: dict[str, Path], tmp_path: Path) -> Iterator[Serve]:
    """Serve one of the models under a version's number: `serve("right", 7)`."""
    with ExitStack() as stack:

        def start(model: str = "right", version: int = 7, **serving: Any) -> Service:
            package = Package.write(
                tmp_path / "package", model=models[model], version=version, previous=None, shadow=None, rule=make_rule()
            )
            settings = write_settings(tmp_path / "project", timeout_s=10.0, deadline_ms=5000.0, **serving)
            registry = CollectorRegistry()
            behind = Starlette(routes=[Mount("/metrics", make_asgi_app(registry))])
            app = App(Answering(package, settings, registry=registry), behind=behind)
            service = Service(stack.enter_context(listening(Front(app))), package, settings, registry, app)
            stack.callback(service.client.close)
            return service

        yield start


@pytest.fixture
def expected(models: dict[str, Path]) -> Expected:
    """What version 7 answers."""
    return Expected(7, Classifier(models["right"], threads=1))


def test_a_right_service_passes(
    serve: Serve, expected: Expected, models: dict[str, Path], monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    service = serve()
    assert smoke(service.url, expected) == []
    monkeypatch.setenv("HAR_ROOT", str(service.settings.root))
    arguments = [service.url, "--expect", "7", "--model", str(models["right"]), "--contract"]
    assert main(arguments) == 0
    assert "serves version 7 as registered" in capsys.readouterr().out
    # Nobody's movement: the lake never hears of it.
    assert read_journal(service.settings.path("journal")) == []


def test_another_version_is_named(serve: Serve, expected: Expected) -> None:
    problems = smoke(serve("right", 8).url, expected)
    assert any("/model, version: expected 7, but got 8" in problem for problem in problems)
    assert any("/predict/raw: expected version 7, but got 8" in problem for problem in problems)
    assert any("/metrics: expected the served model" in problem for problem in problems)


def test_another_model_under_the_same_number_is_noticed(serve: Serve, expected: Expected) -> None:
    problems = smoke(serve("wrong", 7).url, expected)
    assert len(problems) == 2
    assert all("expected the model's probabilities to 1e-05, but got a difference of" in one for one in problems)


def test_a_service_that_is_never_ready_is_not_waited_for_for_ever(expected: Expected) -> None:
    (problem,) = smoke(f"http://127.0.0.1:{free_port()}", expected, wait_s=0.3)
    assert problem.startswith("/readyz: expected 200 within 0.3 s, but got")


def test_other_limits_and_another_api_are_named(
    serve: Serve, models: dict[str, Path], monkeypatch: pytest.MonkeyPatch, capsys: Any, tmp_path: Path
) -> None:
    service = serve(max_windows=16)
    # The project has moved on: it takes more windows than what is served.
    monkeypatch.setenv("HAR_ROOT", str(write_settings(tmp_path / "other", max_windows=64).root))
    assert main([service.url, "--expect", "7", "--model", str(models["right"]), "--contract"]) == 1
    assert "/docs.json: POST /predict, body.windows: maxItems is 16 beside 64" in capsys.readouterr().err


async def _anything(request: Request) -> Response:
    """A service that says yes to everything."""
    body = {"version": 7, "max_windows": 1, "model_version": 7, "fallback": False, "predictions": []}
    return Response(json.dumps(body), media_type="application/json")


def test_a_service_that_says_yes_to_everything_fails_every_check(expected: Expected) -> None:
    app = Starlette(routes=[Route("/{path:path}", _anything, methods=["GET", "POST"])])
    with listening(app) as address:
        problems = "\n".join(smoke(address, expected))
    for words in (
        "/model, activities: expected",
        "/predict: expected probabilities of shape",
        "a window without its last sample: expected 422, but got 200",
        "2 windows: expected 413, but got 200",
        "text: expected 415, but got 200",
        "an unknown path: expected 404, but got 200",
        "/metrics: expected answered requests, but got none",
    ):
        assert words in problems


def test_without_anything_to_compare_with_nothing_passes(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Any
) -> None:
    service = serve()
    monkeypatch.setenv("HAR_ROOT", str(service.settings.root))
    assert main([service.url]) == 2
    assert main([service.url, "--model", str(tmp_path / "none.onnx")]) == 2
    assert "expected the version of this file" in capsys.readouterr().err
    assert main([service.url, "--model", str(tmp_path / "none.onnx"), "--expect", "7"]) == 2
    assert "expected a model file, but got none" in capsys.readouterr().err


def test_known_windows_are_the_same_everywhere_and_plausible(serve: Serve, expected: Expected) -> None:
    windows = known_windows(expected.classifier.metadata)
    assert windows.shape == (8, 16, 6)
    assert (windows == known_windows(expected.classifier.metadata)).all()
    service = serve(strict=True)
    assert service.predict(windows)["warnings"] == []
