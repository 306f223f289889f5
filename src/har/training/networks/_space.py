"""What a network lets a search change: ranges and choices by name."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Range:
    """Numbers between two ends, both included.

    Attributes:
        low: the least.
        high: the largest.
        log: whether to search by ratios.
        whole: integers only.
    """

    low: float
    high: float
    log: bool = False
    whole: bool = False

    def nearest(self, value: float) -> float:
        """The value, or the end that is nearer."""
        return min(max(value, self.low), self.high)


@dataclass(frozen=True)
class Choice:
    """One of several values.

    Attributes:
        values: at least one.
    """

    values: tuple[bool | int | float | str, ...]

    def nearest(self, value: bool | int | float | str) -> bool | int | float | str:
        """The value, if it is one of these; of numbers the nearest, else the first."""
        numbers = [one for one in self.values if isinstance(one, int | float)]
        if value in self.values or not isinstance(value, int | float) or not numbers:
            return value if value in self.values else self.values[0]
        return min(numbers, key=lambda one: abs(one - value))
