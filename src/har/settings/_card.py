"""The section of `har.toml` with what no file can tell about a model; its card says it."""

from __future__ import annotations

from pydantic import Field

from har.settings._sections import Section


class Card(Section):
    """What model cards say in a project's own words; what is empty, or 0, is unknown on them."""

    purpose: str = ""
    limits: str = ""
    """What the model must not be used for."""
    consent: str = ""
    """What the subjects agreed to, and where that is recorded."""
    licence: str = Field(default="", pattern=r"^[A-Za-z0-9.+-]*$")
    """An SPDX identifier, such as MIT or CC-BY-4.0."""
    contact: str = ""
    watts: float = Field(default=0.0, ge=0)
    """Mean power of the machine while it trains."""
    grams_co2_per_kwh: float = Field(default=0.0, ge=0)
    """Of the electricity where it trains."""
