"""Outcomes as fixtures, for tests that make several."""

from __future__ import annotations

import pytest
from outcome_support import MakeOutcome, make_certain, make_outcome


@pytest.fixture(scope="session")
def outcome() -> MakeOutcome:
    return make_outcome


@pytest.fixture(scope="session")
def certain() -> MakeOutcome:
    return make_certain
