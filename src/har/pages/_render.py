"""The one Jinja environment of all pages: a template's name and its values in, one self-contained HTML page out."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from har.pages import _formatting as formatting

if TYPE_CHECKING:
    import jinja2


def render(template: str, **values: Any) -> str:
    """Fill in one of `har.pages`' templates; equal values give equal bytes."""
    return _environment().get_template(template).render(**values)


@functools.cache
def look() -> str:
    """Identify what decides how pages look besides their content: the templates and the code beside this file."""
    digest = hashlib.sha256()
    for file in sorted(Path(__file__).parent.rglob("*")):
        if file.suffix in {".py", ".j2"}:
            digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


@functools.cache
def _environment() -> jinja2.Environment:
    import jinja2  # most commands write no page

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("har.pages"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update({function.__name__: function for function in formatting.FILTERS})
    environment.globals.update(states=formatting.STATES, faults=formatting.FAULTS)
    return environment
