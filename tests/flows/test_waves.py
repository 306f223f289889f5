"""A wave is one task run: its name says which, a retry runs only what failed, and all other parts are done."""

from __future__ import annotations

from pathlib import Path

import pytest
from engine_support import Part, work
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State

from flows import _tasks
from har.errors import LakeBusyError, PartsError
from har.settings import Settings

pytestmark = pytest.mark.stack


def busy_once(part: Part) -> int:
    """`work`, but the lake is busy at the first run of some parts."""
    assert part.folder is not None
    if part.does == "busy once" and not list(part.folder.glob(f"{part.number}-*")):
        work(part)
        raise LakeBusyError(where="lake", expected="no other writer", got="one", remedy="Wait.")
    return work(part)


def test_waves_retries_and_failures(
    server: str, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_tasks, "PAUSES_S", [0, 0, 0])
    runs = tmp_path / "runs"
    runs.mkdir()
    engine = settings.model_copy(update={"engine": settings.engine.model_copy(update={"wave": 4, "workers": 2})})
    does = {1: "busy once", 6: "fails"}
    parts = [Part(number, does.get(number, ""), runs) for number in range(10)]
    done: list[int] = []

    @flow(name="waves")
    def waves() -> None:
        done.extend(_tasks.tasks(engine)(busy_once, parts))

    state: State[None] = waves(return_state=True)
    assert state.is_failed()
    with pytest.raises(PartsError, match=r"part 6: 1 of 10 parts failed\. The first: nothing to do with 6"):
        state.result()
    numbers = sorted(int(path.name.split("-")[0]) for path in runs.iterdir())
    assert numbers == sorted([*range(10), 1])
    with get_client(sync_client=True) as client:
        found = client.read_task_runs()
    named = {run.name: (run.state_name, run.run_count) for run in found if run.name.startswith("busy-once")}
    assert named == {
        "busy-once wave 1 of 3 (4 parts)": ("Completed", 2),
        "busy-once wave 2 of 3 (4 parts)": ("Failed", 1),
        "busy-once wave 3 of 3 (2 parts)": ("Completed", 1),
    }
