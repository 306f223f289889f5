"""Values by name, whose names `har.toml` does not know in advance: a network's own."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator

Value = bool | int | float | str


class Named(dict[str, Any]):
    """A dictionary of frozen settings, which have a hash."""

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(tuple(sorted(self.items())))


Values = Annotated[dict[str, Value], AfterValidator(Named)]
