"""A service that scoring can do without: what it does not predict is predicted here, with the same rows."""

from __future__ import annotations

import polars as pl
import pytest
from days_support import Live
from run_support import score

from har.errors import ModelMismatchError, ServiceError
from har.predictions import Parts
from har.project import Project, open_project
from har.settings import Settings


class Failing:
    """Predicts the first chunk, and then is gone or serves another version."""

    def __init__(self, error: Exception, *, required: bool) -> None:
        self.required = required
        self._error, self.calls = error, 0

    def require_champion(self) -> None:
        """It had the champion when it was asked."""

    def predict(self, parts: Parts) -> pl.DataFrame:
        self.calls += 1
        next(iter(parts))
        raise self._error


def rows(project: Project) -> pl.DataFrame:
    return project.lake.predictions.read().sort("date", "subject", "session", "start")


@pytest.mark.parametrize("kind", [ServiceError, ModelMismatchError])
def test_what_a_service_cannot_predict_is_predicted_here(loop: Project, live: Live, kind: type[Exception]) -> None:
    live(0)
    own = rows(loop)
    error = kind(where="http://127.0.0.1:3001", problem="is gone", remedy="Wait.")  # type: ignore[call-arg]
    service = Failing(error, required=False)
    report = score(rescore=True, connect=lambda *_: service)
    assert report.windows == 0, "nothing is due"
    for table in (loop.lake.scores, loop.lake.predictions):
        table.replace(pl.DataFrame(schema=table.schema), table.partitions())
    assert score(connect=lambda *_: service).windows == len(own) > 0
    assert service.calls > 0
    assert rows(open_project()).equals(own)

    for table in (loop.lake.scores, loop.lake.predictions):
        table.replace(pl.DataFrame(schema=table.schema), table.partitions())
    with pytest.raises(kind, match="is gone"):
        score(connect=lambda *_: Failing(error, required=True))


def test_no_service_to_connect_to_means_this_process(loop: Project, live: Live) -> None:
    live(0)
    before = rows(loop)

    def none(settings: Settings, version: int, features: tuple[str, ...]) -> None:
        assert version == 1
        assert features

    assert score(rescore=True, connect=none).windows == 0
    assert rows(loop).equals(before)
