"""What the stream's routes take and answer, as pydantic models: they describe the API, and validate nothing."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from bentos.online._schema import Session, Subject

Stamp = Annotated[int, Field(description="µs since 1970, UTC")]


class Samples(BaseModel):
    """A device's message: many samples, with whose, when, how fast and in which units."""

    model_config = ConfigDict(extra="allow")

    subject: Subject = Field(description="Whose samples")
    device: Session = Field(description="Of which device")
    session: Session = Field(
        description="Of which stretch of consecutive messages; a device that starts anew begins one"
    )
    sequence: int = Field(ge=0, lt=2**63, description="Number of the message within the session, from 0")
    t0: int | str = Field(description="Stamp of the first sample: µs since 1970, or ISO 8601 with its zone")
    rate_hz: float = Field(gt=0, description="Samples per second")
    channels: list[str] = Field(min_length=1, description="What the columns of `samples` are")
    units: dict[str, str] = Field(description="By sensor or by channel")
    samples: list[list[float]] = Field(min_length=1, description="One list per sample, in the order of `channels`")
    placement: str = Field(default="", description="Where the sensor is worn")


class Durable(BaseModel):
    """What is on the project's disk of a stream."""

    subject: str
    device: str
    session: str
    durable: int = Field(
        ge=-1, description="The device may forget its messages up to this sequence; -1: none of them, one is missing"
    )


class Shown(BaseModel):
    """The answer to a window."""

    start_us: Stamp
    end_us: Stamp
    shown: str = Field(description="What a page shows: smoothed, activity, or `uncertain` where the model abstained")
    activity: str
    confidence: float
    abstained: bool
    smoothed: str = Field(description="Empty where nothing is smoothed, or not yet")
    unknown: bool = Field(description="The window is unlike the training data")
    model_version: int


class Device(BaseModel):
    """The health of a device; counts are of messages."""

    device: str
    placement: str
    seen_us: Stamp
    clock_skew_s: float
    rate_hz: float
    missing: int
    late: int
    duplicates: int
    rejected: int


class Person(BaseModel):
    """A subject's present."""

    subject: str
    seen_us: Stamp = Field(description="Wall clock of the last message")
    date: str = Field(description="The day that `minutes` and `windows` are of, in the project's time zone")
    windows: int
    minutes: dict[str, float] = Field(description="Per activity on that day")
    answer: Shown
    devices: list[Device]


class _About(BaseModel):
    now_us: Stamp
    activities: list[str]
    channels: list[str]
    units: list[str]
    zone: str
    stale_s: float = Field(description="A subject that sent nothing for so long is stale")


class Everyone(_About):
    """What `/subjects` answers."""

    ledger: dict[str, object] = Field(description="What became of all messages; empty where no consumer has reported")
    subjects: list[Person]


class Band(BaseModel):
    """A subject's day."""

    date: str
    start_us: Stamp
    end_us: Stamp
    stretches: list[list[int | str | bool]] = Field(
        description="start_us, end_us, activity, whether a window in it is unlike the training data"
    )


class One(_About, Person):
    """What `/subjects/{name}` answers."""

    baseline: dict[str, float]
    ledger: dict[str, int] = Field(description="What became of this subject's messages")
    day: Band
    answers: list[Shown] = Field(description="The last ones, the newest first")


class Visit(BaseModel):
    """What `/login` answers, with a cookie."""

    token: str = Field(description="The token's name")
