"""The API's requests and answers as pydantic models: they validate what is not read fast, and describe the API."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, FailFast, Field, PlainValidator, WithJsonSchema, create_model

from har.inference import ModelMetadata
from har.log_lines import REQUEST_ID, SESSION, SUBJECT
from har.plausibility import CODES, NO_SIGNAL, RATE_TOLERANCE

TIME = "a time from 1970 to 2199 with its zone, such as 2026-01-31T09:00:00.250Z"

_FIRST, _LAST = (dt.datetime(year, 1, 1, tzinfo=dt.UTC) for year in (1970, 2200))
_TIME = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(\.\d{1,6})?\d*([Zz]|[+-]\d{2}:\d{2})", re.ASCII)


def microseconds(value: object) -> int:
    """Microseconds since 1970, UTC, of a time as RFC 3339 writes it; finer digits are dropped.

    Raises:
        ValueError: anything else, or a year that the lake cannot hold.
    """
    match = _TIME.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(TIME)
    text, zone = match[0], "+00:00" if match[2] in "Zz" else match[2]
    try:
        time = dt.datetime.fromisoformat(f"{text[:10]}T{text[11:19]}{match[1] or ''}{zone}")
        if not _FIRST <= time < _LAST:
            raise ValueError(TIME)
    except OverflowError as error:
        raise ValueError(TIME) from error
    return (time - _FIRST) // dt.timedelta(microseconds=1)


# The schema's years, 1971 to 2198, stay within the accepted ones in every time zone.
_TIME_SCHEMA = {
    "type": "string",
    "format": "date-time",
    "pattern": "^(197[1-9]|19[89][0-9]|20[0-9]{2}|21[0-8][0-9]|219[0-8])-",
}
Subject = Annotated[str, Field(pattern=SUBJECT)]
Session = Annotated[str, Field(pattern=SESSION)]
RequestId = Annotated[str, Field(pattern=REQUEST_ID)]
Time = Annotated[int, PlainValidator(microseconds), WithJsonSchema(_TIME_SCHEMA)]


_Model = TypeVar("_Model", bound=BaseModel)


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


def _optional(description: str) -> Any:
    # The attribute is None where the field is absent; `null` is refused, as the field's type says.
    return Field(default_factory=lambda: None, description=description)


class Place(_Request):
    """Where windows belong, as far as the client says."""

    subject: Subject = _optional("Whose windows; recorded in the prediction log")
    session: Session = _optional("Of which session; recorded in the prediction log")
    start: Time = _optional("Time of the first window's first sample; the others follow at the model's stride")
    rate_hz: float = _optional("The rate at which the windows were sampled; refused unless it is the model's")


class FeedbackByRequest(_Request):
    """The true activity of all windows of one request."""

    activity: str = Field(description="The true activity")
    request_id: RequestId = Field(description="Of the answer")


class FeedbackByInterval(_Request):
    """The true activity of a subject during an interval."""

    activity: str = Field(description="The true activity")
    subject: Subject = Field(description="Whose it is")
    start: Time = Field(description="Of the interval")
    end: Time = Field(description="Of the interval, later than `start`")


class Prediction(BaseModel):
    """One window's activity."""

    activity: str = Field(
        description=f"The most probable activity; `{NO_SIGNAL}` where a sensor was off, stuck or at its limit"
    )
    confidence: float = Field(description="Its probability; 0 without a signal", ge=0, le=1.00001)
    abstained: bool = Field(description="Confidence below the model's `abstain_below`, or no signal: ask, do not act")
    probabilities: dict[str, float] = Field(description="Of every activity; all 0 without a signal")
    unknown: bool = Field(
        description="Unlike all that the model learned from: its activity may be none that the model knows. False "
        "without a signal, and where the model cannot say"
    )


class RequestWarning(BaseModel):
    """Something implausible about all windows of a request; their answers may be wrong."""

    code: Literal[CODES] = Field(description="What is implausible")  # type: ignore[valid-type]
    text: str = Field(description="What was expected, what came, and what to change")


class Answer(BaseModel):
    """What `/predict` and `/predict/raw` answer."""

    request_id: str
    model_version: int = Field(description="The version that answered; the champion's where the rule did")
    fallback: bool = Field(description="The champion failed: the previous version answered, or the rule")
    predictions: list[Prediction] = Field(description="One per window, in their order")
    warnings: list[RequestWarning] = Field(
        description="Why the values are implausible in the model's units; with `serving.strict` they are refused"
    )


class Accepted(BaseModel):
    """What `/feedback` answers."""

    feedback_id: str


class Error(BaseModel):
    """Why a request was refused."""

    field: str
    expected: str
    got: str
    remedy: str


class Refusal(BaseModel):
    """What a refused request is answered."""

    error: Error
    request_id: str


def place(metadata: ModelMetadata) -> type[Place]:
    """A `Place` whose rate is the one of the model."""
    slack = RATE_TOLERANCE * metadata.rate_hz
    rate: Any = Annotated[float, Field(ge=metadata.rate_hz - slack, le=metadata.rate_hz + slack)]
    field = _optional(str(Place.model_fields["rate_hz"].description))
    return create_model("Place", __base__=Place, __doc__=Place.__doc__, rate_hz=(rate, field))


def predict_request(metadata: ModelMetadata, *, max_windows: int, limits: Sequence[float]) -> type[Place]:
    """The body of `/predict` for one model: `windows`, whose values lie within ± `limits` by channel, and a `Place`.

    The description of the API has the limit of every channel; validation only the largest of them.
    """
    length, channels = metadata.length, len(metadata.channels)
    within = ", ".join(f"±{limit:.4g}" for limit in limits)
    units = ", ".join(f"{name} {unit}" for name, unit in zip(metadata.channels, metadata.units, strict=True))
    largest = max(limits)
    value = Annotated[float, Field(ge=-largest, le=largest, allow_inf_nan=False)]
    each = [{"type": "number", "minimum": -limit, "maximum": limit} for limit in limits]
    sample = Annotated[
        list[value],
        FailFast(),
        Field(min_length=channels, max_length=channels),
        WithJsonSchema({"type": "array", "prefixItems": each, "minItems": channels, "maxItems": channels}),
    ]
    window = Annotated[list[sample], FailFast(), Field(min_length=length, max_length=length)]
    windows = Annotated[
        list[window],
        FailFast(),
        Field(
            min_length=1,
            max_length=max_windows,
            description=f"One window or many, each {samples(metadata)}; {units}; values within {within}.",
            # In words above; so that a tool that compares two releases notices another meaning of the same numbers.
            json_schema_extra={
                "x-channels": list(metadata.channels),
                "x-units": list(metadata.units),
                "x-rate-hz": metadata.rate_hz,
            },
        ),
    ]
    about = "Windows to classify, and where they belong."
    return create_model("PredictRequest", __base__=place(metadata), __doc__=about, windows=(windows, ...))


def feedback_requests(metadata: ModelMetadata) -> tuple[type[FeedbackByRequest], type[FeedbackByInterval]]:
    """The two bodies of `/feedback` for one model, whose activities alone are accepted."""
    return _with_activities(FeedbackByRequest, metadata), _with_activities(FeedbackByInterval, metadata)


def answer(metadata: ModelMetadata) -> type[Answer]:
    """The answer of one model, which has its activities alone."""
    prediction = _with_activities(Prediction, metadata, NO_SIGNAL)
    one_each = Field(description="One per window, in their order")
    predictions: Any = (list[prediction], one_each)  # type: ignore[valid-type]
    return create_model("Answer", __base__=Answer, __doc__=Answer.__doc__, predictions=predictions)


def _with_activities(model: type[_Model], metadata: ModelMetadata, *others: str) -> type[_Model]:
    """The model with the names of activities, and these others, as the type of its field `activity`."""
    description = model.model_fields["activity"].description
    activity: Any = (Literal[*metadata.activities, *others], Field(description=description))
    return create_model(model.__name__, __base__=model, __doc__=model.__doc__, activity=activity)


def samples(metadata: ModelMetadata) -> str:
    """What a window consists of."""
    return f"{metadata.length} samples at {metadata.rate_hz:g} Hz of {', '.join(metadata.channels)}"
