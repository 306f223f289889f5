"""The API's OpenAPI document, from the models that validate its requests, with examples that it accepts."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from bentos.online._contract import Contract
from bentos.online._http import JSON
from bentos.online._schema import Accepted, Refusal, answer, samples
from bentos.online.stream import _openapi as stream
from har.inference import ModelMetadata
from har.log_lines import PROBE, REQUEST_ID
from har.settings import Settings

_REF = "#/components/schemas/{model}"
_REFUSALS = {
    "400": "Not JSON, or no shape",
    "405": "Another method",
    "413": "Too many windows, or too large a body",
    "415": "Another content type",
    "422": "A field, a shape or a value that the model does not take",
    "429": "Too many requests at once; retry after the seconds in Retry-After",
    "504": "Not done in time",
}
_TOKENS = {
    "401": ("From outside of the service's machine, and without a token of it", "Refusal"),
    "403": ("From outside of the service's machine, and the service has no token", "Refusal"),
}
_GETS = {
    "/model": ("model", "What is served, and what windows it takes"),
    "/model/card": ("model_card", "What is known of the model: its data, figures and limits, in Markdown"),
    "/livez": ("livez", "Whether the process runs"),
    "/readyz": ("readyz", "Whether it has answered a first window"),
    "/metrics": ("metrics", "Counters and histograms for Prometheus, summed over workers"),
}

_TEXTS = {"/metrics": "text/plain", "/model/card": "text/markdown"}
"""Media types of what is no JSON."""


def describe(contract: Contract, *, version: int) -> dict[str, Any]:
    """OpenAPI 3.1 of the routes for one model."""
    metadata = contract.metadata
    length, channels = contract.length, contract.channels
    shape = f"N,{length},{channels}"
    place = contract.place.model_json_schema()["properties"]
    examples = _examples(contract)
    activities = {"200": ("The activities", "Answer"), **_TOKENS}
    raw = [
        _parameter("shape", "query", {"type": "string"}, f"{shape}; here or as X-Shape", example=f"1{shape[1:]}"),
        _parameter("X-Shape", "header", {"type": "string"}, f"{shape}; here or in the query"),
        *(_parameter(name, "query", schema, schema["description"]) for name, schema in place.items()),
    ]
    octets = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
    feedback = {"oneOf": [model.model_json_schema() for model in (contract.by_request, contract.by_interval)]}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": f"{metadata.project}: online",
            "version": str(version),
            "description": f"Activities of windows of {samples(metadata)}.",
        },
        "paths": {
            "/predict": _post(
                "predict",
                "Classify windows given as JSON",
                _json(contract.predict_request.model_json_schema(), examples["/predict"]),
                activities,
            ),
            "/predict/raw": _post(
                "predictRaw",
                "Classify windows given as float32, little-endian, in C order",
                octets,
                activities,
                parameters=raw,
            ),
            "/feedback": _post(
                "feedback",
                "Report the true activity, of a request or of a subject during an interval; from other machines, with "
                "a token of the service: `Authorization: Bearer TOKEN`",
                _json(feedback, examples["/feedback"]),
                {
                    "202": ("Queued for the prediction log", "Accepted"),
                    **_TOKENS,
                    "503": ("The log is full", "Refusal"),
                },
            ),
            **stream.paths(metadata),
            **{path: _get(path, name, summary) for path, (name, summary) in _GETS.items()},
        },
        "security": [{}, {"token": []}],
        "components": {
            "schemas": _components(answer(metadata), Accepted, Refusal, *stream.MODELS),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def describe_planned(settings: Settings) -> dict[str, Any]:
    """The document of a model that a project with these settings trains: for the handbook, and before there is one."""
    metadata = ModelMetadata(
        project=settings.project.name,
        network="",
        activities=settings.activities.all,
        channels=settings.sensors.channels,
        units=settings.sensors.units,
        rate_hz=settings.sensors.rate_hz,
        length=settings.length,
        stride=settings.stride,
        feature_names=(),
        temperature=1.0,
        abstain_below=0.0,
        git_commit="",
        data_version="",
        split_id="",
        trained_at="",
    )
    max_windows, full_scales = settings.serving.max_windows, settings.sensors.full_scales
    return describe(Contract(metadata, max_windows=max_windows, full_scales=full_scales), version=1)


def _examples(contract: Contract) -> dict[str, dict[str, Any]]:
    activity = contract.metadata.activities[0]
    resting = [9.81 if index == 2 else 0.02 * index for index in range(contract.channels)]
    window = [[round(value + 0.01 * (sample % 5), 3) for value in resting] for sample in range(contract.length)]
    begin = "2026-01-31T09:00:00Z"
    return {
        "/predict": {
            "one": {"windows": [window]},
            "placed": {"windows": [window], "subject": "s01", "start": begin, "rate_hz": contract.metadata.rate_hz},
        },
        "/feedback": {
            "request": {"activity": activity, "request_id": "0a1b2c3d4e5f-1"},
            "interval": {"activity": activity, "subject": "s01", "start": begin, "end": "2026-01-31T09:05:00Z"},
        },
    }


def _post(
    name: str,
    summary: str,
    content: dict[str, Any],
    answers: dict[str, tuple[str, str]],
    *,
    parameters: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    refusals = {status: (text, "Refusal") for status, text in _REFUSALS.items()}
    own = f"Yours, if it matches {REQUEST_ID}; the windows of one that begins with `{PROBE}` are not logged"
    request_id = _parameter("X-Request-ID", "header", {"type": "string"}, own)
    return {
        "post": {
            "operationId": name,
            "summary": summary,
            "parameters": [*(parameters or []), request_id],
            "requestBody": {"required": True, "content": content},
            "responses": {
                status: _response(text, {"$ref": _REF.format(model=model)})
                for status, (text, model) in {**answers, **refusals}.items()
            },
        }
    }


def _get(path: str, name: str, summary: str) -> dict[str, Any]:
    media = _TEXTS.get(path, JSON)
    schema = {"type": "object" if media == JSON else "string"}
    responses = {"200": _response("As asked", schema, media)}
    if path == "/model/card":
        responses["404"] = _response("The package has no card", {"$ref": _REF.format(model="Refusal")})
    return {"get": {"operationId": name, "summary": summary, "responses": responses}}


def _response(text: str, schema: dict[str, Any], media: str = JSON) -> dict[str, Any]:
    return {"description": text, "content": {media: {"schema": schema}}}


def _json(schema: dict[str, Any], examples: dict[str, Any]) -> dict[str, Any]:
    return {JSON: {"schema": schema, "examples": {name: {"value": value} for name, value in examples.items()}}}


def _parameter(name: str, where: str, schema: dict[str, Any], text: str, **example: str) -> dict[str, Any]:
    return {"name": name, "in": where, "description": text, "schema": schema, **example}


def _components(*models: type[BaseModel]) -> dict[str, Any]:
    """The schemas of models and of all that they refer to, by their names."""
    _, schemas = models_json_schema([(model, "validation") for model in models], ref_template=_REF)
    return dict(schemas["$defs"])
