"""The stream's part of the OpenAPI document: `POST /samples`, the routes about subjects, and the visit to the pages."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from bentos.online.stream._schema import Durable, Everyone, One, Samples, Visit
from har.inference import ModelMetadata

MODELS: tuple[type[BaseModel], ...] = (Samples, Durable, Everyone, One, Visit)
"""Their schemas have to be among the document's components."""

_JSON, _EVENTS = "application/json", "text/event-stream"
_READERS = {
    "401": "From another machine, and neither with a token nor with the cookie of a visit",
    "403": "From another machine, and the pages are for this one (stream.pages)",
    "404": "Nobody of that name was heard of lately; or stream.pages is off",
    "503": "The hot store is away; retry after the seconds in Retry-After",
}
_WRITERS = {
    "400": "No body of the form that Content-Type names",
    "401": "From outside of the service's machine, and without a token of it",
    "403": "From outside of the service's machine, and the service has no token",
    "405": "Another method",
    "413": "Too large a body (stream.message_bytes)",
    "415": "Another content type; Arrow comes over MQTT or Kafka",
    "422": "A field or a value that the project does not take; the message is counted as rejected",
    "429": "Too many messages wait, or too many requests at once; retry after the seconds in Retry-After",
    "503": "The queue cannot be written now",
    "504": "Not done in time",
}


def paths(metadata: ModelMetadata) -> dict[str, Any]:
    """The operations, for a project whose model takes these channels."""
    name = {"name": "name", "in": "path", "required": True, "schema": {"type": "string"}, "description": "The subject"}
    packed = {"schema": {"type": "string", "format": "binary"}}
    message = {"schema": _ref(Samples), "examples": {"a fifth of a second": {"value": example(metadata)}}}
    everyone = {key: text for key, text in _READERS.items() if key != "404"} | {"404": "stream.pages is off"}
    return {
        "/samples": {
            "post": _operation(
                "samples",
                "Put a device's message into the queue; once this is answered, it is on the project's disk",
                {"202": ("What is durable", _JSON, _ref(Durable))},
                _WRITERS,
                parameters=[
                    _query("subject", "Whose samples, in messages of the phone app Sensor Logger, which knows no name"),
                    _query("placement", "Where the phone or watch is worn, in such messages"),
                ],
                requestBody={"required": True, "content": {_JSON: message, "application/msgpack": packed}},
            )
        },
        "/subjects": {
            "get": _operation(
                "subjects", "Everyone's present activity", {"200": ("All", _JSON, _ref(Everyone))}, everyone
            )
        },
        "/subjects/{name}": {
            "get": _operation(
                "subject",
                "One subject's present and day",
                {"200": ("It", _JSON, _ref(One))},
                _READERS,
                parameters=[name],
            )
        },
        "/subjects/{name}/live": {
            "get": _operation(
                "live",
                "What comes in about a subject, as server-sent events: `state`, `day`, `answers`, `signal`, `away`",
                {"200": ("Events until one side ends it", _EVENTS, {"type": "string"})},
                {**_READERS, "429": "Too many streams are open; ask /subjects/{name} now and then"},
                parameters=[name],
            )
        },
        "/login": {
            "post": _operation(
                "login",
                "Begin a visit to the pages: the token of the header `Authorization` becomes a cookie for 12 hours",
                {"200": ("The visit", _JSON, _ref(Visit))},
                {key: text for key, text in _READERS.items() if key != "503"},
                security=[{"token": []}],
            )
        },
        "/logout": {
            "post": _operation("logout", "End the visit", {"200": ("It has ended", _JSON, {"type": "object"})}, {})
        },
    }


def example(metadata: ModelMetadata) -> dict[str, Any]:
    """A message that a project takes whose model has these channels."""
    resting = [9.81 if index == 2 else 0.02 * index for index in range(len(metadata.channels))]
    count = max(2, round(metadata.rate_hz / 5))
    return {
        "subject": "s01",
        "device": "watch-1",
        "session": "morning",
        "sequence": 0,
        "t0": "2026-01-31T09:00:00Z",
        "rate_hz": metadata.rate_hz,
        "channels": list(metadata.channels),
        "units": dict(zip(metadata.channels, metadata.units, strict=True)),
        "samples": [[round(value + 0.01 * (row % 5), 3) for value in resting] for row in range(count)],
    }


def _query(name: str, text: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": text, "schema": {"type": "string"}}


def _ref(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{model.__name__}"}


def _operation(
    name: str,
    summary: str,
    answers: dict[str, tuple[str, str, dict[str, Any]]],
    refusals: dict[str, str],
    **further: Any,
) -> dict[str, Any]:
    found = {status: (text, _JSON, {"$ref": "#/components/schemas/Refusal"}) for status, text in refusals.items()}
    responses = {
        status: {"description": text, "content": {media: {"schema": schema}}}
        for status, (text, media, schema) in {**answers, **found}.items()
    }
    return {"operationId": name, "summary": summary, **further, "responses": responses}
