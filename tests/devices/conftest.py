"""A reference of the sample's left wrists, and people whom it has not seen."""

from __future__ import annotations

import pytest

from har.devices import DeviceReference, Recorded
from tests.bench.devices._confusion import EACH_S, reference_of
from tests.bench.devices._data import People, sample, spread

HELD_OUT = ("s03", "s07", "s09")
RATE_HZ = 50.0


@pytest.fixture(scope="session")
def people() -> People:
    """Left wrists of all subjects, 84 seconds each."""
    return {name: spread(recorded, 84.0, EACH_S) for name, recorded in sample("left").items()}


@pytest.fixture(scope="session")
def reference(people: People) -> DeviceReference:
    """Of all but `HELD_OUT`."""
    return reference_of({name: recorded for name, recorded in people.items() if name not in HELD_OUT}, RATE_HZ)


@pytest.fixture
def device(people: People) -> list[Recorded]:
    """What the device of a held-out subject recorded."""
    return people["s07"]
