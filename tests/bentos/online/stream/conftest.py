"""An online service with a hot store beside it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from live_support import ServeStreaming, Streaming, serve_streaming

from har.inference import Package


@pytest.fixture
def streaming(package: Package, tmp_path: Path) -> Iterator[ServeStreaming]:
    """Start services: `streaming(pages="token", queue_messages=10, …)` with these keys of `[stream]`."""
    with ExitStack() as stack:

        def serve(**stream: object) -> Streaming:
            root = tmp_path / f"place{len(list(tmp_path.iterdir()))}"
            return stack.enter_context(serve_streaming(package, root, **stream))

        yield serve


@pytest.fixture(scope="module")
def shared(package: Package, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Streaming]:
    """One of them, for tests whose subjects have names of their own."""
    with serve_streaming(package, tmp_path_factory.mktemp("streaming")) as served:
        yield served
