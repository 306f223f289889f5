"""One Prefect server for all flow tests of a worker, with a home of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests_support import write_recording

from flows._server import local_server
from har.settings import Settings

SUBJECTS = tuple(f"s{number:02d}" for number in range(1, 7))


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The API's URL; flows of this process use it."""
    with local_server(tmp_path_factory.mktemp("prefect")) as url:
        yield url


@pytest.fixture
def two_days(settings: Settings) -> Settings:
    """A project with two days of six subjects in its inbox."""
    for day, names in (("2024-01-01", ("PEN", "ABD")), ("2024-01-02", ("ROW",))):
        for subject in SUBJECTS:
            for name in names:
                write_recording(settings.path("inbox"), day, subject, name.lower(), name, seconds=40)
    return settings
