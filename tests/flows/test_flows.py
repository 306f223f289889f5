"""Every flow once on a real server: what it returns, the state it ends in, and what its page shows."""

from __future__ import annotations

from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State

from flows.evaluate import evaluate
from flows.ingest import ingest
from flows.monitor import monitor
from flows.score import score
from flows.train import train
from flows.tune import tune
from har.errors import NoChampionError
from har.settings import Settings

pytestmark = pytest.mark.stack


def end_of(flow: Any, **parameters: object) -> State[Any]:
    state: State[Any] = flow(**parameters, return_state=True)
    return state


def artifacts() -> set[str | None]:
    with get_client(sync_client=True) as client:
        return {artifact.key for artifact in client.read_latest_artifacts()}


def test_the_flows_of_a_night(server: str, two_days: Settings) -> None:
    with pytest.raises(NoChampionError, match="har train"):
        score()
    landed = end_of(ingest)
    assert (landed.name, len(landed.result().landed)) == ("Completed", 18)
    first = train()
    assert (first.trained, first.promoted) == (True, True)
    scored = score()
    assert (scored.days, scored.partitions) == (2, 12)
    assert evaluate(folds=2, seeds=1)["subjects"] == 6
    assert tune(trials=1, folds=2).figures["trials"]["complete"] == 1
    # The champion was trained up to the newest day: nothing is to be judged.
    state = end_of(monitor)
    assert (state.name, state.result().days) == ("Completed", ())
    shown = artifacts()
    assert {"ingest-run", "train-run", "train-report", "score-run", "activity-summaries"} <= shown
    assert {"evaluation", "evaluation-report", "tuning", "tuning-report"} <= shown
    assert (score().windows, train().trained) == (0, False)


def test_a_bad_file_makes_a_warning_state(server: str, two_days: Settings) -> None:
    bad = two_days.path("inbox") / "2024-01-01" / "s09_a.csv"
    bad.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    state = end_of(ingest)
    assert state.is_completed()
    assert state.name == "CompletedWithWarnings"
    assert "2024-01-01/s09_a.csv" in str(state.message)
    assert len(state.result().landed) == 18
    assert "quarantine" in artifacts()


@pytest.mark.release
def test_a_run_with_notes_ends_with_warnings(server: str, two_days: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    ingest()
    train()
    monkeypatch.setenv("HAR_MONITORING__ENABLED", "false")
    state = end_of(monitor)
    assert state.name == "CompletedWithWarnings"
    assert "monitoring.enabled" in str(state.message)
