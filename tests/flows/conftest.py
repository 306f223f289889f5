"""One Prefect server for all flow tests of a worker, with a home of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from infra.local.server import local_server


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The API's URL; flows of this process use it."""
    with local_server(tmp_path_factory.mktemp("prefect")) as url:
        yield url
