"""The API's OpenAPI document, made from the model's own metadata, with examples that the service accepts."""

from __future__ import annotations

from typing import Any

from bentos.online._contract import LARGEST, REQUEST_ID, SESSION, SUBJECT
from har.inference import ModelMetadata

_PREDICTION = {"$ref": "#/components/schemas/Prediction"}
_NAMES = {"subject": SUBJECT, "session": SESSION}


def describe(metadata: ModelMetadata, *, version: int, max_windows: int) -> dict[str, Any]:
    """OpenAPI 3.1 of the routes for one model."""
    length, channels = metadata.length, len(metadata.channels)
    values = f"{length} samples at {metadata.rate_hz:g} Hz of {', '.join(metadata.channels)}"
    units = ", ".join(f"{name} {unit}" for name, unit in zip(metadata.channels, metadata.units, strict=True))
    resting = [9.81 if index == 2 else 0.02 * index for index in range(channels)]
    window = [[round(value + 0.01 * (sample % 5), 3) for value in resting] for sample in range(length)]
    place = {**{name: {"type": "string", "pattern": pattern} for name, pattern in _NAMES.items()}, "start": _stamp()}
    sizes = {"minItems": channels, "maxItems": channels}
    windows = {
        "type": "array",
        "minItems": 1,
        "maxItems": max_windows,
        "description": f"One window or many, each {values}; {units}.",
        "items": {
            "type": "array",
            "minItems": length,
            "maxItems": length,
            "items": {
                "type": "array",
                **sizes,
                "items": {"type": "number", "minimum": -LARGEST, "maximum": LARGEST},
            },
        },
    }
    shape = f"N,{length},{channels}"
    feedback_by_interval = {
        "type": "object",
        "required": ["activity", "subject", "start", "end"],
        "properties": {
            "activity": {"enum": list(metadata.activities)},
            "subject": place["subject"],
            "start": _stamp(),
            "end": _stamp(),
        },
        "additionalProperties": False,
    }
    feedback_by_request = {
        "type": "object",
        "required": ["activity", "request_id"],
        "properties": {
            "activity": {"enum": list(metadata.activities)},
            "request_id": {"type": "string", "pattern": REQUEST_ID},
        },
        "additionalProperties": False,
    }
    activity = metadata.activities[0]
    return {
        "openapi": "3.1.0",
        "info": {
            "title": f"{metadata.project}: online",
            "version": str(version),
            "description": f"Activities of windows of {values}.",
        },
        "paths": {
            "/predict": {
                "post": _operation(
                    "predict",
                    "Classify windows given as JSON",
                    body=_json(
                        {
                            "type": "object",
                            "required": ["windows"],
                            "properties": {"windows": windows, **place},
                            "additionalProperties": False,
                        },
                        {
                            "one": {"windows": [window]},
                            "placed": {"windows": [window], "subject": "s01", "start": "2026-01-31T09:00:00Z"},
                        },
                    ),
                    answers={"200": ("The activities", {"$ref": "#/components/schemas/Answer"})},
                )
            },
            "/predict/raw": {
                "post": _operation(
                    "predictRaw",
                    "Classify windows given as float32, little-endian, in C order",
                    parameters=[
                        _parameter(
                            "shape", "query", {"type": "string"}, f"{shape}; here or as X-Shape", f"1{shape[1:]}"
                        ),
                        _parameter("X-Shape", "header", {"type": "string"}, f"{shape}; here or in the query", None),
                        *(_parameter(name, "query", schema, _PLACES[name], None) for name, schema in place.items()),
                    ],
                    body={
                        "required": True,
                        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
                    },
                    answers={"200": ("The activities", {"$ref": "#/components/schemas/Answer"})},
                )
            },
            "/feedback": {
                "post": _operation(
                    "feedback",
                    "Say what the activity truly was",
                    body=_json(
                        {"oneOf": [feedback_by_request, feedback_by_interval]},
                        {
                            "request": {"activity": activity, "request_id": "0a1b2c3d4e5f-1"},
                            "interval": {
                                "activity": activity,
                                "subject": "s01",
                                "start": "2026-01-31T09:00:00Z",
                                "end": "2026-01-31T09:05:00Z",
                            },
                        },
                    ),
                    answers={
                        "202": (
                            "Logged",
                            {
                                "type": "object",
                                "required": ["feedback_id"],
                                "properties": {"feedback_id": {"type": "string"}},
                            },
                        ),
                        "503": ("The log is full", {"$ref": "#/components/schemas/Refusal"}),
                    },
                )
            },
            "/model": {"get": _get("model", "What is served, and what windows it takes")},
            "/livez": {"get": _get("livez", "Whether the process runs")},
            "/readyz": {"get": _get("readyz", "Whether it has answered a first window")},
            "/metrics": {
                "get": {
                    "operationId": "metrics",
                    "summary": "Counters and histograms for Prometheus, summed over workers",
                    "responses": {
                        "200": {"description": "As asked", "content": {"text/plain": {"schema": {"type": "string"}}}}
                    },
                }
            },
        },
        "components": {
            "schemas": {
                "Answer": {
                    "type": "object",
                    "required": ["request_id", "model_version", "fallback", "predictions"],
                    "properties": {
                        "request_id": {"type": "string"},
                        "model_version": {"type": "integer", "description": "Version in the registry"},
                        "fallback": {
                            "type": "boolean",
                            "description": "The champion failed or was late: the previous model answered, or a rule",
                        },
                        "predictions": {"type": "array", "items": _PREDICTION},
                    },
                },
                "Prediction": {
                    "type": "object",
                    "required": ["activity", "confidence", "abstained", "probabilities"],
                    "properties": {
                        "activity": {"enum": list(metadata.activities)},
                        "confidence": {"type": "number", "minimum": 0, "maximum": 1.00001},
                        "abstained": {
                            "type": "boolean",
                            "description": f"Confidence below {metadata.abstain_below:g}: rather ask than act",
                        },
                        "probabilities": {"type": "object", "additionalProperties": {"type": "number"}},
                    },
                },
                "Refusal": {
                    "type": "object",
                    "required": ["error"],
                    "properties": {
                        "error": {
                            "type": "object",
                            "required": ["field", "expected", "got", "remedy"],
                            "properties": {name: {"type": "string"} for name in ("field", "expected", "got", "remedy")},
                        }
                    },
                },
            }
        },
    }


_PLACES = {
    "subject": "Whose windows; goes into the log",
    "session": "Of which session; goes into the log",
    "start": "Time of the first window's first sample; the others follow at the model's stride",
}
_REFUSALS = {
    "400": "No JSON, or no shape",
    "405": "Another method",
    "413": "Too many windows, or too large a body",
    "415": "Another content type",
    "422": "A field, a shape or a value that the model cannot take",
    "429": "Too many requests at once; come back after Retry-After seconds",
    "504": "Not done in time",
}


def _operation(
    name: str,
    summary: str,
    *,
    body: dict[str, Any],
    answers: dict[str, tuple[str, dict[str, Any]]],
    parameters: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    refusals = {status: (text, {"$ref": "#/components/schemas/Refusal"}) for status, text in _REFUSALS.items()}
    return {
        "operationId": name,
        "summary": summary,
        "parameters": [
            *(parameters or []),
            _parameter("X-Request-ID", "header", {"type": "string"}, f"Yours, if it matches {REQUEST_ID}", None),
        ],
        "requestBody": body,
        "responses": {status: _answer(text, schema) for status, (text, schema) in {**answers, **refusals}.items()},
    }


def _get(name: str, summary: str) -> dict[str, Any]:
    return {"operationId": name, "summary": summary, "responses": {"200": _answer("As asked", {"type": "object"})}}


def _answer(text: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": text, "content": {"application/json": {"schema": schema}}}


def _json(schema: dict[str, Any], examples: dict[str, Any]) -> dict[str, Any]:
    named = {name: {"value": value} for name, value in examples.items()}
    return {"required": True, "content": {"application/json": {"schema": schema, "examples": named}}}


def _parameter(name: str, where: str, schema: dict[str, Any], text: str, example: str | None) -> dict[str, Any]:
    parameter = {"name": name, "in": where, "description": text, "schema": schema}
    return parameter if example is None else {**parameter, "example": example}


def _stamp() -> dict[str, Any]:
    # The years 1971 to 2198: what a time zone cannot move out of what is accepted.
    return {
        "type": "string",
        "format": "date-time",
        "pattern": "^(197[1-9]|19[89][0-9]|20[0-9]{2}|21[0-8][0-9]|219[0-8])-",
    }
