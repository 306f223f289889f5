"""One Prefect server for all flow tests of a worker, with a home of its own."""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests_support import HAR_TOML, write_recording

from har.project import Project, open_project
from har.settings import Settings
from infra.local.server import local_server

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


TILTED = (1.0, 0.0, 0.0)
"""Gravity where nobody of the champion's training had it."""
OTHER = {"PEN": "ROW", "ROW": "PEN"}
FIRST = dt.date(2024, 1, 8)
"""The first day after the champion's training."""
Live = Callable[..., None]
_PATIENT = ("HAR_GATES__LATENCY_MS", "1000")
"""On a busy machine every model is slow, and none would be promoted."""


def record(
    root: Path,
    day: dt.date,
    subjects: tuple[str, ...] = SUBJECTS,
    *,
    labelled: bool = True,
    tilted: bool = False,
    swapped: bool = False,
    seconds: float = 40,
) -> None:
    """Two activities of each subject on one day: 38 windows each.

    A tilted day is drift that the champion copes with. On a swapped one everybody does the one activity as they did the
    other before: a model that does not know is always wrong.
    """
    for subject in subjects:
        for name in OTHER:
            write_recording(
                root / "data" / "inbox",
                day.isoformat(),
                subject,
                name.lower(),
                name,
                seconds=seconds,
                seed=day.toordinal(),
                labelled=labelled,
                like=OTHER[name] if swapped else None,
                gravity=TILTED if tilted else (0.0, 0.0, 1.0),
            )


@pytest.fixture(scope="session")
def veteran(server: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose champion was trained on two days of six subjects; to be copied."""
    from flows.ingest import ingest
    from flows.train import train

    root = tmp_path_factory.mktemp("veteran") / "project"
    root.mkdir()
    (root / "har.toml").write_text(HAR_TOML)
    for before in (6, 7):
        record(root, FIRST - dt.timedelta(days=before))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HAR_ROOT", str(root))
        patch.setenv(*_PATIENT)
        ingest()
        assert train().promoted
    return root


@pytest.fixture
def loop(veteran: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project of this test's own, with that champion and nothing monitored yet."""
    root = tmp_path / "project"
    shutil.copytree(veteran, root)
    monkeypatch.setenv("HAR_ROOT", str(root))
    monkeypatch.setenv(*_PATIENT)
    return open_project()


@pytest.fixture
def live(loop: Project) -> Live:
    """Record a day (0: `FIRST`) in the project `loop`, as `record` does; ingest and score it."""
    from flows.ingest import ingest
    from flows.score import score

    def day_of(number: int, **how: Any) -> None:
        record(loop.settings.root, FIRST + dt.timedelta(days=number), **how)
        ingest()
        score()

    return day_of
