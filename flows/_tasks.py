"""How flows run a job's parts: as Prefect tasks that are tried again where the failure can pass."""

from __future__ import annotations

from typing import Any

from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import TaskRun
from prefect.states import State
from prefect.variables import Variable

from har.errors import HarError


def retraining_is_on() -> bool:
    """Whether trainings may start by themselves: `prefect variable set har_retraining off` forbids it at once."""
    value = Variable.get("har_retraining", default="on")
    return str(value).strip().lower() not in ("off", "false", "no", "0")


def is_transient(_task: object, _run: TaskRun, state: State[Any]) -> bool:
    """Whether a retry may help: the disk or another writer, not bad data or a bug."""
    error = state.data
    return isinstance(error, OSError) or not isinstance(error, HarError | TypeError | ValueError | AssertionError)


IO_RETRIES: dict[str, Any] = {
    "cache_policy": NO_CACHE,
    "retries": 3,
    "retry_delay_seconds": [1, 4, 16],
    "retry_condition_fn": is_transient,
}
"""Settings of a task that reads or writes: four tries with growing pauses, if the failure can pass."""
