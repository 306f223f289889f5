"""The lines of the online service's prediction log: kinds, keys, types and limits. The service writes them, and
`har.journal` reads them.

A line is one JSON object with exactly the keys of its kind; readers ignore further keys. Times are integer microseconds
since 1970 in UTC. Only the standard library is imported here, so that the service's image needs nothing else.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Literal, NotRequired, TypedDict

# Letters and digits of the scripts in Unicode's first plane, with the marks that Indic and other scripts need. Marks
# that Unicode composes with a Latin letter (NFC), blanks and invisible characters are no part: names that look the same
# are the same. Rarer letters would make the pattern slow for tools that read the API's document.
LETTERS = (
    "\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u02ff\u0370-\u037d\u037f-\u061b\u0620-\u10ff\u1200-\u167f\u1681-\u17b3"
    "\u17b6-\u180a\u1810-\u1fff\u2c00-\u2dff\u3005-\u3007\u3041-\u3096\u309d-\u3163\u3165-\ud7fb"
)
SUBJECT = rf"^(?:[A-Za-z0-9.-]{{1,64}}|[A-Za-z0-9.{LETTERS}-]{{1,27}})$"
"""What a subject may be called, in file names, requests and log lines: the lake has a folder of this name, in which
each byte of another letter than a-z becomes three characters, and no folder's name may be longer than 255."""
SESSION = rf"^(?:[A-Za-z0-9._-]{{1,64}}|[A-Za-z0-9._{LETTERS}-]{{1,27}})$"
"""What requests may call a session."""
NAME_RULE = "letters, digits, '.' and '-', at most 64 (27 with letters other than a-z)"
"""`SUBJECT`, in words; a session may have '_', too."""
REQUEST_ID = r"^[A-Za-z0-9._-]{1,64}$"
"""What clients may call a request."""
PROBE = "probe."
"""Requests whose id begins so are answered and counted, but not logged: a probe is nobody's movement."""

COMES_WITH = ", token "
"""In the source of a feedback, between who sent it and the name of the token that it came with."""
AUTHENTICATED = r"(, token [A-Za-z0-9._-]{1,32}|, with token)$"
"""Sources of feedback that came with a token; the second form is that of releases whose tokens had no names."""

FIRST_STAMP_US, END_STAMP_US = -62_135_596_800_000_000, 253_402_300_800_000_000
"""Times from the start of year 1 to before the start of year 10000, as Python's `datetime` has them."""
DAY_US = 86_400_000_000
"""Also the longest interval of a feedback, whatever a service allows."""


@dataclass(frozen=True)
class Limits:
    """What a value of a line may be, by the names that pydantic's `Field` has for it; None: no limit."""

    ge: float | None = None
    gt: float | None = None
    le: float | None = None
    lt: float | None = None
    min_length: int | None = None
    max_length: int | None = None
    pattern: str | None = None
    allow_inf_nan: bool | None = None


Stamp = Annotated[int, Limits(ge=FIRST_STAMP_US, lt=END_STAMP_US)]
Duration = Annotated[int, Limits(gt=0, le=DAY_US)]
Subject = Annotated[str, Limits(pattern=SUBJECT)]
Name = Annotated[str, Limits(min_length=1, max_length=256)]
Version = Annotated[int, Limits(ge=0, lt=2**31)]
Milliseconds = Annotated[float, Limits(ge=0, allow_inf_nan=False)]
Names = Annotated[list[Name], Limits(min_length=1)]
# Rounding may lift a float32 probability a little above 1.
Confidences = Annotated[list[Annotated[float, Limits(ge=0, le=1.001)]], Limits(min_length=1)]


class PredictionLine(TypedDict):
    """One answered request. The lists have one entry per window.

    `fallback` is null where the champion answered; `features` is base64 of float32, little-endian, all windows in turn,
    and null where no model answered. `unknown` says which windows are unlike the training data; null where the model's
    file cannot say, and lines of releases without it are read, too.
    """

    kind: Literal["prediction"]
    request_id: Name
    received_us: Stamp
    subject: Subject | None
    session: Name | None
    start_us: Stamp
    stride_us: Duration
    length_us: Duration
    model_version: Version
    fallback: Name | None
    ms: Milliseconds
    activity: Names
    confidence: Confidences
    abstained: list[bool]
    features: str | None
    unknown: NotRequired[list[bool] | None]


class ShadowLine(TypedDict):
    """What the shadow model says about a request's windows."""

    kind: Literal["shadow"]
    request_id: Name
    received_us: Stamp
    model_version: Version
    ms: Milliseconds
    activity: Names
    confidence: Confidences


class FeedbackLine(TypedDict):
    """The true activity of a request's windows, or of a subject's interval.

    `source` is who said so, as the service saw it; lines of releases without it are read, too.
    """

    kind: Literal["feedback"]
    feedback_id: Name
    received_us: Stamp
    activity: Name
    request_id: Name | None
    subject: Subject | None
    start_us: Stamp | None
    end_us: Stamp | None
    source: NotRequired[Name | None]


def is_authenticated(source: str | None) -> bool:
    """Whether feedback of this source came with a token. Only such feedback is evidence; all other is a hint."""
    return source is not None and re.search(AUTHENTICATED, source) is not None
