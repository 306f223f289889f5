"""Log lines of flow runs name the run; imported by every flow, before it logs anything."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

from har import logs


def run_fields() -> Mapping[str, str]:
    """The keys of the flow run in which this is called; none outside of one."""
    if "prefect.context" not in sys.modules:
        return {}
    from prefect.context import FlowRunContext, TaskRunContext

    task = TaskRunContext.get()
    flow = FlowRunContext.get()
    found: dict[str, str] = {}
    if task is not None:
        found = {"task_run_name": task.task_run.name}
        if task.task_run.flow_run_id is not None:
            found["flow_run_id"] = str(task.task_run.flow_run_id)
    if flow is not None and flow.flow_run is not None:
        found |= {"flow_run_id": str(flow.flow_run.id), "flow_run_name": flow.flow_run.name}
    return found


logs.provide(run_fields)
if os.environ.get(logs.VARIABLE) == "json":
    logs.start(service="flow")
