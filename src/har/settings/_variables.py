"""Which `HAR_…` variables are settings, which are mistakes, and which belong to somebody else.

Kubernetes and Docker's links add variables for every service in reach, whose names begin with the service's: a
service named `har-online` puts `HAR_ONLINE_SERVICE_HOST` into each container. They are no settings and must not stop
one. A name that could be meant as a setting is judged, so that no typing error passes unseen.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from har.errors import SettingsError, closest, did_you_mean

PREFIX = "HAR_"
NO_SETTINGS = ("HAR_ROOT", "HAR_DATA")
"""Variables that are no settings: the project's folder, and the folder whose tables a batch service may score."""

_ALIKE = 0.85
_OF_A_SERVICE = re.compile(r"(\w+_)?(SERVICE_(HOST|PORT(_\w+)?)|PORT_\d+_(TCP|UDP|SCTP)(_\w+)?|ENV_\w+)")
"""What Kubernetes and Docker's links add, after the prefix."""
_PORT, _ADDRESS = re.compile(r"(\w+_)?PORT"), re.compile(r"(tcp|udp|sctp)://")
_NAME, _LINK = re.compile(r"(\w+_)?NAME"), re.compile(r"/[^/]+/[^/]+")


def is_foreign(name: str, value: str) -> bool:
    """Whether a variable was added for a service in reach: by its name, or by its name and the kind of its value."""
    rest = name.upper().removeprefix(PREFIX)
    if _OF_A_SERVICE.fullmatch(rest):
        return True
    return bool((_PORT.fullmatch(rest) and _ADDRESS.match(value)) or (_NAME.fullmatch(rest) and _LINK.fullmatch(value)))


def refuse_mistaken(variables: Mapping[str, str], model: type[BaseModel]) -> None:
    """Refuse a variable that was meant as a setting and is none.

    Args:
        variables: of the environment.
        model: the settings; its fields are the sections.

    Raises:
        SettingsError: names the variable, and what was probably meant.
    """
    sections = {name: _model_of(field.annotation) for name, field in model.model_fields.items() if name != "root"}
    keys = {name: tuple(section.model_fields) for name, section in sections.items() if section is not None}
    for variable, value in variables.items():
        name = variable.upper()
        if not name.startswith(PREFIX) or name in NO_SETTINGS or is_foreign(name, value):
            continue
        rest = name.removeprefix(PREFIX).lower()
        section, nested, _ = rest.partition("__")
        if section in sections and (nested or rest == section):
            continue  # a wrong key or value below it is refused where the settings are read
        if nested:
            raise _refusal(variable, f"section {section!r}", did_you_mean(section, sections), sections)
        meant = _meant(rest.strip("_"), value, keys)
        if meant:
            raise _refusal(variable, "a name without a section and a key", f"Write {meant}.", sections)


def _meant(rest: str, value: str, keys: Mapping[str, tuple[str, ...]]) -> str:
    """The setting that a name without a double underscore was probably meant as; "": it is somebody else's."""
    pairs = [(section, key) for section in keys for key in keys[section]]
    for section, key in pairs:
        if rest == key:  # the section was forgotten
            return f"{PREFIX}{section}__{key}".upper()
    written = {f"{section}_{key}": f"{PREFIX}{section}__{key}".upper() for section, key in pairs}
    if value.lstrip().startswith("{"):  # a section may be given as a whole, in JSON
        written |= {section: f"{PREFIX}{section}".upper() for section in keys}
    found = closest(rest, written, cutoff=_ALIKE)
    return written[found] if found else ""


def _refusal(variable: str, got: str, remedy: str, sections: Mapping[str, Any]) -> SettingsError:
    return SettingsError(
        where=f"environment variable {variable}",
        expected="HAR_<SECTION>__<KEY> with a section of har.toml",
        got=got,
        remedy=remedy or f"Sections: {', '.join(sections)}.",
    )


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    for part in (annotation, *getattr(annotation, "__args__", ())):
        if isinstance(part, type) and issubclass(part, BaseModel):
            yield part


def _model_of(annotation: Any) -> type[BaseModel] | None:
    return next(_models(annotation), None)
