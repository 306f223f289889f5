"""What the gate found out about two versions, for the judge of a release."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from har.registry import Promotion
from har.release import evaluated_disagreement


def line(version: int, before: int | None, **figures: Any) -> Promotion:
    when = datetime(2026, 1, 1, tzinfo=UTC)
    return Promotion(when, "gate", "promote", version, before, version, "", figures, True, "har", {})


def test_the_last_comparison_of_these_two_versions_counts() -> None:
    log = [line(4, 3, disagreement=0.2), line(4, 3, disagreement=0.03), line(5, 4, disagreement=0.5), line(4, None)]
    assert evaluated_disagreement(log, 4, 3) == 0.03
    assert evaluated_disagreement(log, 4, 2) is None
    assert evaluated_disagreement([line(4, 3, disagreement=None), line(4, 3)], 4, 3) is None
    assert evaluated_disagreement([], 4, 3) is None
