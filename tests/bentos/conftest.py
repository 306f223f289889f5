"""Small real models, packages made of them, and the online service listening on a free port."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, make_asgi_app
from serving_support import Service, listening, make_rule, set_traps, store_package, train_model, write_settings
from starlette.applications import Starlette
from starlette.routing import Mount

from har.inference import Package

MakePackage = Callable[..., Package]
Serve = Callable[..., Service]


@pytest.fixture(scope="session")
def model_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Three trained models, and the champion with traps in it."""
    folder = tmp_path_factory.mktemp("models")
    files = {
        name: train_model(folder / f"{name}.onnx", seed=seed, older=name == "previous")
        for seed, name in enumerate(("champion", "previous", "shadow"), start=1)
    }
    return files | {"trapped": set_traps(files["champion"], folder / "trapped.onnx")}


@pytest.fixture(scope="session")
def make_package(model_files: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> MakePackage:
    """A package of the models with these names: version 7, previous 6, shadow 8."""

    def make(
        model: str = "champion", *, previous: str | None = None, shadow: str | None = None, card: Path | None = None
    ) -> Package:
        return Package.write(
            tmp_path_factory.mktemp("package"),
            model=model_files[model],
            version=7,
            previous=(model_files[previous], 6) if previous else None,
            shadow=(model_files[shadow], 8) if shadow else None,
            rule=make_rule(),
            card=card,
        )

    return make


@pytest.fixture(scope="session")
def package(make_package: MakePackage) -> Package:
    """Champion, previous and shadow."""
    return make_package(previous="previous", shadow="shadow")


@pytest.fixture(scope="session")
def model_store(package: Package, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BentoML home with `package` in its model store."""
    return store_package(package, tmp_path_factory.mktemp("store") / ".bentoml")


def _serve(stack: ExitStack, root: Path) -> Serve:
    from bentos._front import Front
    from bentos.online._answering import Answering
    from bentos.online.app import App

    numbers = count()

    def serve(package: Package, *, alone: bool = False, host: str = "127.0.0.1", **serving: Any) -> Service:
        settings = write_settings(root / f"project{next(numbers)}", **serving)
        registry = CollectorRegistry()
        # In the place of BentoML's own application, which has the pages that the API itself has not.
        behind = None if alone else Starlette(routes=[Mount("/metrics", make_asgi_app(registry))])
        app = App(Answering(package, settings, registry=registry), behind=behind)
        service = Service(stack.enter_context(listening(Front(app), host)), package, settings, registry, app)
        stack.callback(service.client.close)
        return service

    return serve


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Start online services: `serve(package, max_concurrency=2, …)`; they stop with the test."""
    with ExitStack() as stack:
        yield _serve(stack, tmp_path)


@pytest.fixture(scope="module")
def service(package: Package, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One service of the full package for tests that leave it as it is; the shadow sees every request."""
    with ExitStack() as stack:
        yield _serve(stack, tmp_path_factory.mktemp("service"))(package, shadow_share=1.0, timeout_s=5.0)
