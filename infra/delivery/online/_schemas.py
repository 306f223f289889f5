"""Whether one JSON schema takes all that another one takes: (old, new) of requests, (new, old) of answers turned round.

Only what the services' documents use is judged. A keyword that is not known here counts as broken when it changes, so
that a new kind of rule is never passed over. Packages for this on PyPI compare paths, fields and types alone, or take
no `prefixItems`; limits, lists of values and content types are what a change of har.toml changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

Schema = dict[str, Any]
Resolve = Callable[[Schema], Schema]

WORDS = frozenset(
    ("title", "description", "summary", "example", "examples", "default", "deprecated", "discriminator", "content_type")
)
"""Keywords that explain a schema and restrict no value; `content_type` is BentoML's, whose `content` says it again."""

_LOWER = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
_UPPER = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
_CHOICES = ("oneOf", "anyOf")
_JUDGED = frozenset(
    (
        *_LOWER,
        *_UPPER,
        *_CHOICES,
        *(
            "type",
            "enum",
            "const",
            "items",
            "prefixItems",
            "properties",
            "required",
            "additionalProperties",
            "nullable",
        ),
    )
)


def refused(wide: Schema, narrow: Schema, *, where: str, resolve: tuple[Resolve, Resolve]) -> Iterator[str]:
    """Why `wide` does not take everything that `narrow` takes, as sentences that begin with the place.

    Args:
        wide: has to take all.
        narrow: what it has to take.
        where: the place of both, for messages.
        resolve: follow the references of `wide`, and those of `narrow`.
    """
    wide, narrow = resolve[0](wide), resolve[1](narrow)
    if any(key in schema for key in _CHOICES for schema in (wide, narrow)):
        yield from _choices(wide, narrow, where, resolve)
        return
    yield from _types(wide, narrow, where)
    yield from _limits(wide, narrow, where)
    yield from _arrays(wide, narrow, where, resolve)
    yield from _objects(wide, narrow, where, resolve)
    for key in sorted(wide.keys() - _JUDGED - WORDS):
        # x-: words for tools, such as the units, which a newer document may add. Without another keyword, all is taken.
        if wide[key] != narrow.get(key) and not (key.startswith("x-") and key not in narrow):
            yield f"{where}: {key} is {_shown(wide[key])} beside {_shown(narrow.get(key))}"


def removed(old: Schema, new: Schema, *, where: str, resolve: tuple[Resolve, Resolve]) -> Iterator[str]:
    """Fields of an answer that `old` names and `new` does not."""
    old, new = resolve[0](old), resolve[1](new)
    for name, schema in old.get("properties", {}).items():
        if name not in new.get("properties", {}):
            yield f"{where}.{name}: the field is gone"
        else:
            yield from removed(schema, new["properties"][name], where=f"{where}.{name}", resolve=resolve)
    if isinstance(old.get("items"), dict) and isinstance(new.get("items"), dict):
        yield from removed(old["items"], new["items"], where=f"{where}[]", resolve=resolve)


def _choices(wide: Schema, narrow: Schema, where: str, resolve: tuple[Resolve, Resolve]) -> Iterator[str]:
    offered = _alternatives(wide)
    for one in _alternatives(narrow):
        reasons = [list(refused(other, one, where=where, resolve=resolve)) for other in offered]
        if all(reasons):
            name = resolve[1](one).get("title", "an alternative")
            yield f"{where}: {name} fits none: {min(reasons, key=len)[0]}"


def _alternatives(schema: Schema) -> list[Schema]:
    found = next((schema[key] for key in _CHOICES if key in schema), None)
    return [schema] if found is None else list(found)


def _types(wide: Schema, narrow: Schema, where: str) -> Iterator[str]:
    allowed, taken = _kinds(wide), _kinds(narrow)
    if allowed is not None and (taken is None or not taken <= allowed):
        yield f"{where}: type {_named(allowed)} beside {_named(taken)}"
    values, others = _values(wide), _values(narrow)
    if values is not None:
        if others is None:
            yield f"{where}: only {_shown(values)} beside any value"
        elif missing := [value for value in others if value not in values]:
            yield f"{where}: {_shown(missing)} is none of {_shown(values)}"


def _kinds(schema: Schema) -> set[str] | None:
    kinds = schema.get("type")
    if kinds is None:
        return None
    found = {kinds} if isinstance(kinds, str) else set(kinds)
    if schema.get("nullable"):
        found.add("null")
    return found | {"integer"} if "number" in found else found


def _values(schema: Schema) -> list[Any] | None:
    if "const" in schema:
        return [schema["const"]]
    values: list[Any] | None = schema.get("enum")
    return values


def _limits(wide: Schema, narrow: Schema, where: str) -> Iterator[str]:
    for key in (*_LOWER, *_UPPER):
        limit, other = wide.get(key), narrow.get(key)
        if limit is not None:
            looser = other is None or (other < limit if key in _LOWER else other > limit)
            if looser:
                yield f"{where}: {key} is {limit:g} beside {'none' if other is None else format(other, 'g')}"


def _arrays(wide: Schema, narrow: Schema, where: str, resolve: tuple[Resolve, Resolve]) -> Iterator[str]:
    places, others = wide.get("prefixItems", []), narrow.get("prefixItems", [])
    for index, schema in enumerate(places):
        other = others[index] if index < len(others) else narrow.get("items", {})
        yield from refused(schema, other, where=f"{where}[{index}]", resolve=resolve)
    if isinstance(wide.get("items"), dict):
        for index, other in enumerate(others[len(places) :], start=len(places)):
            yield from refused(wide["items"], other, where=f"{where}[{index}]", resolve=resolve)
        if not others:
            yield from refused(wide["items"], narrow.get("items", {}), where=f"{where}[]", resolve=resolve)


def _objects(wide: Schema, narrow: Schema, where: str, resolve: tuple[Resolve, Resolve]) -> Iterator[str]:
    fields, others = wide.get("properties", {}), narrow.get("properties", {})
    further, other_further = wide.get("additionalProperties", True), narrow.get("additionalProperties", True)
    for name in sorted(set(wide.get("required", [])) - set(narrow.get("required", []))):
        yield f"{where}.{name}: required beside optional"
    for name, other in others.items():
        if name in fields:
            yield from refused(fields[name], other, where=f"{where}.{name}", resolve=resolve)
        elif further is False:
            yield f"{where}.{name}: no such field"
        elif isinstance(further, dict):
            yield from refused(further, other, where=f"{where}.{name}", resolve=resolve)
    if further is False and other_further is not False and _is_object(narrow):
        yield f"{where}: no further fields beside any"
    elif isinstance(further, dict) and other_further is not False and _is_object(narrow):
        other = other_further if isinstance(other_further, dict) else {}
        yield from refused(further, other, where=f"{where}.*", resolve=resolve)


def _is_object(schema: Schema) -> bool:
    kinds = _kinds(schema)
    return kinds is None or "object" in kinds


def _named(kinds: set[str] | None) -> str:
    if kinds is None:
        return "any"
    return " or ".join(sorted(kinds - {"integer"} if "number" in kinds else kinds))


def _shown(value: Any) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= 120 else f"{text[:120]}…"
