"""The section of `har.toml` about `har tune`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from har.settings._sections import Section
from har.settings._values import Named, Value


class Bounds(Section):
    """A range of numbers, both ends included."""

    low: int | float
    high: int | float
    log: bool = False
    """Whether to search by ratios."""

    @model_validator(mode="after")
    def _in_order(self) -> Bounds:
        if self.low >= self.high or (self.log and self.low <= 0):
            raise ValueError("low below high, and with log above 0")
        return self


class Tuning(Section):
    """What `har tune` searches, and for how long."""

    trials: int = Field(default=30, ge=1)
    """Configurations that one call tries; those of earlier calls do not count."""
    metric: Literal["accuracy", "macro_f1"] = "accuracy"
    """What is made larger, over all subjects, each answered for by a network that was not trained on them."""
    space: tuple[Literal["training", "network", "windows"], ...] = Field(default=("training", "network"), min_length=1)
    """What may change: values of the training, of the network, and how windows are cut."""
    confirm: int = Field(default=2, ge=0)
    """Further seeds that the best configuration and the present one are compared under, after the search."""
    bounds: Annotated[dict[str, Bounds | Annotated[tuple[Value, ...], Field(min_length=1)]], AfterValidator(Named)] = (
        Named()
    )
    """By name, a range or a list of choices, in place of those of the program and of the network."""
