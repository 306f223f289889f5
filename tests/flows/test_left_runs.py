"""Runs that a killed stack left behind: they end, and no longer take the place of the next run."""

from __future__ import annotations

import os
from pathlib import Path
from uuid import UUID

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.responses import SetStateStatus
from prefect.states import Pending, Running

from infra.local.worker import WORK_POOL, _create_work_pool, end_left_runs, worker_name

pytestmark = pytest.mark.stack


def begin(client: SyncPrefectClient, deployment: UUID, worker: str) -> FlowRun:
    """A run as a worker leaves it that is killed during it."""
    run = client.create_flow_run_from_deployment(deployment)
    client.update_flow_run_labels(run.id, {"prefect.worker.name": worker})
    assert client.set_flow_run_state(run.id, Pending()).status == SetStateStatus.ACCEPT
    assert client.set_flow_run_state(run.id, Running()).status == SetStateStatus.ACCEPT
    return run


@pytest.mark.timeout(200)
def test_runs_of_a_killed_worker_are_ended_and_make_room_for_the_next(server: str, tmp_path: Path) -> None:
    home = Path(os.environ["PREFECT_HOME"])
    _create_work_pool(home, server)
    ours = worker_name(tmp_path)
    assert ours == worker_name(tmp_path) != worker_name(tmp_path / "other")
    with get_client(sync_client=True) as client:
        flow = client.create_flow_from_name("killed")
        names = ("mine", "theirs", "old")
        made = [client.create_deployment(flow, name, work_pool_name=WORK_POOL, concurrency_limit=1) for name in names]
        runs = [
            begin(client, deployment, worker)
            for deployment, worker in zip(made, (ours, "elsewhere-01234567", WORK_POOL), strict=True)
        ]
        waiting = client.create_flow_run_from_deployment(made[0])
        assert client.set_flow_run_state(waiting.id, Pending()).status != SetStateStatus.ACCEPT
        assert end_left_runs(ours, home, server) == 2
        states = [client.read_flow_run(run.id).state for run in runs]
        assert [state.name for state in states if state] == ["Crashed", "Running", "Crashed"]
        assert client.set_flow_run_state(waiting.id, Pending()).status == SetStateStatus.ACCEPT
