"""What a service's new OpenAPI document takes away from clients of the old one.

A request may get wider, an answer narrower: what an old client sends must still be taken, and what it gets must be what
it was told. The rules of schemas are in `_schemas`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from infra.delivery.online._schemas import Resolve, Schema, refused, removed

Document = dict[str, Any]

_DROPPED = {"examples", "example", "description", "summary"}
_METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
_AROUND = ("description", "summary", "tags", "externalDocs", "servers", "deprecated")
"""Keys of an operation that no client depends on."""
_OWN = ("parameters", "requestBody", "responses", "x-bentoml-name")


def breaks(old: Document, new: Document) -> list[str]:
    """What breaks clients of the old document, as sentences that begin with method and path; empty: nothing."""
    return list(_breaks(old, new))


def essence(document: Document) -> Document:
    """The document without its words, examples and version, which change without a client's noticing."""
    kept = {key: document[key] for key in ("openapi", "paths", "components") if key in document}
    # As JSON has it: documents that were just made may have tuples, and numbers for statuses.
    found: Document = _without_words(json.loads(json.dumps(kept)))
    return found


def _without_words(value: Any, *, names: bool = False) -> Any:
    # The keys of `properties` and of maps of components are names of fields: one may be called `description`.
    if isinstance(value, dict):
        return {
            key: _without_words(one, names=key in ("properties", "schemas", "responses", "paths") and not names)
            for key, one in value.items()
            if names or key not in _DROPPED
        }
    return [_without_words(one) for one in value] if isinstance(value, list) else value


def _breaks(old: Document, new: Document) -> Iterator[str]:
    resolve = (_follow(old), _follow(new))
    for path, operations in old["paths"].items():
        for method in (method for method in _METHODS if method in operations):
            where = f"{method.upper()} {path}"
            if path not in new["paths"]:
                yield f"{where}: the path is gone"
            elif method not in new["paths"][path]:
                yield f"{where}: the method is gone"
            else:
                yield from _operation(operations[method], new["paths"][path][method], where, resolve)


def _operation(old: Schema, new: Schema, where: str, resolve: tuple[Resolve, Resolve]) -> Iterator[str]:
    for key in sorted((old.keys() | new.keys()) - set(_AROUND) - set(_OWN)):
        if old.get(key) != new.get(key):
            yield f"{where}: {key} was {old.get(key)}, and is {new.get(key)}"
    turned = (_closed(resolve[1]), _closed(resolve[0]))
    yield from _parameters(old, new, where, turned)
    yield from _body(old.get("requestBody"), new.get("requestBody"), where, turned)
    answers = new.get("responses", {})
    for status, response in old.get("responses", {}).items():
        if status not in answers:
            yield f"{where}: the status {status} is gone"
            continue
        contents = answers[status].get("content", {})
        for media, content in response.get("content", {}).items():
            if media not in contents:
                yield f"{where}, {status}: {media} is gone"
                continue
            place, schemas = f"{where}, {status}", (content.get("schema", {}), contents[media].get("schema", {}))
            yield from removed(*schemas, where=place, resolve=resolve)
            opened = (_open(resolve[0]), resolve[1])
            for reason in refused(*schemas, where=place, resolve=opened):
                yield f"{reason} in the new answer"
    for status in answers:
        if status not in old.get("responses", {}) and status.startswith("2"):
            yield f"{where}: answers {status}, which is new"


def _parameters(old: Schema, new: Schema, where: str, turned: tuple[Resolve, Resolve]) -> Iterator[str]:
    before = {(one["in"], one["name"]): one for one in old.get("parameters", [])}
    after = {(one["in"], one["name"]): one for one in new.get("parameters", [])}
    for key, one in before.items():
        place = f"{where}, {key[0]} parameter {key[1]}"
        if key not in after:
            yield f"{place}: is gone"
            continue
        if after[key].get("required") and not one.get("required"):
            yield f"{place}: is required"
        for reason in refused(after[key].get("schema", {}), one.get("schema", {}), where=place, resolve=turned):
            yield f"{reason} in the old request"
    for key, one in after.items():
        if key not in before and one.get("required"):
            yield f"{where}, {key[0]} parameter {key[1]}: is new, and required"


def _body(old: Schema | None, new: Schema | None, where: str, turned: tuple[Resolve, Resolve]) -> Iterator[str]:
    if new and new.get("required") and not (old and old.get("required")):
        yield f"{where}: a body is required"
    if old and not new:
        yield f"{where}: takes no body"
    elif old and new:
        for media, content in old["content"].items():
            if media not in new["content"]:
                yield f"{where}: {media} is not accepted"
                continue
            schemas = (new["content"][media].get("schema", {}), content.get("schema", {}))
            for reason in refused(*schemas, where=f"{where}, body", resolve=turned):
                yield f"{reason} in the old request"


def _follow(document: Document) -> Resolve:
    def resolve(schema: Schema) -> Schema:
        while "$ref" in schema:
            target: Any = document
            for part in schema["$ref"].removeprefix("#/").split("/"):
                target = target[part.replace("~1", "/").replace("~0", "~")]
            schema = target
        return schema

    return resolve


def _closed(resolve: Resolve) -> Resolve:
    """Of requests, only named fields mean something: an unknown one may be taken, and is ignored."""

    def resolved(schema: Schema) -> Schema:
        found = resolve(schema)
        return {"additionalProperties": False, **found} if "properties" in found else found

    return resolved


def _open(resolve: Resolve) -> Resolve:
    """Answers may get further fields: clients ignore what they do not know."""

    def resolved(schema: Schema) -> Schema:
        found = resolve(schema)
        if found.get("additionalProperties") is False:
            return {key: value for key, value in found.items() if key != "additionalProperties"}
        return found

    return resolved
