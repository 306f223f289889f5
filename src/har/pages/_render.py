"""A template's name and its values in, one self-contained HTML page out."""

from __future__ import annotations

import functools
import hashlib
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2

from har.pages import _formatting as words


def render(template: str, **values: Any) -> str:
    """Fill in one of `har.pages`' templates; equal values give equal bytes."""
    return _environment().get_template(template).render(**values, states=words.STATES, faults=words.FAULTS)


@functools.cache
def look() -> str:
    """Names what decides how pages look besides their content: templates and the code beside this file."""
    digest = hashlib.sha256()
    templates = [
        file for file in resources.files("har.pages").joinpath("templates").iterdir() if file.name.endswith(".j2")
    ]
    for file in sorted([*templates, *Path(__file__).parent.glob("_*.py")], key=lambda file: file.name):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("har.pages"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    names = ("digits", "shift", "score", "percent", "count", "counted", "moment", "action", "fault_value", "state")
    environment.filters.update({name: getattr(words, name) for name in names}, fill=_fill)
    return environment


def _fill(score: float) -> str:
    """How far a score's bar reaches, in percent: the alarm level is the middle, whatever the scale of the others."""
    return f"{100 * score / (1 + score):.1f}" if score > 0 else "0"
