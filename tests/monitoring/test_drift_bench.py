"""`make bench-drift` gives the same figures whatever runs its parts."""

from __future__ import annotations

from dataclasses import replace

import pytest
from run_support import in_processes

from har.engine import in_turn
from har.settings import load_settings
from tests.bench.drift._data import Source
from tests.bench.drift._days import judge_third, thirds


@pytest.mark.stack
@pytest.mark.release
@pytest.mark.timeout(600)
def test_other_processes_judge_days_alike() -> None:
    settings = load_settings()
    drift = settings.drift.model_copy(update={"min_windows": 8})
    whole = thirds(Source(None, settings, in_time=True), drift, 0)[:2]
    assert len({str(part) for part in whole}) == 2
    parts = [replace(part, held=part.held[:2]) for part in whole]
    for ours, theirs in zip(in_turn(judge_third, parts), in_processes(judge_third, parts), strict=True):
        assert ours.subjects
        assert ours == theirs
