"""The sections of `har.toml`, each key with its type, default and limits."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, ClassVar, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

STANDARD_GRAVITY = 9.80665
"""m/s² in one g (CGPM 1901)."""
_FLOAT32 = 3.4e38

Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$")]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Project(_Section):
    """Who this project is."""

    name: str = Field(min_length=1)
    timezone: str = "UTC"

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        if value == "UTC":
            return value  # needs no time zone database, and the smallest images have none
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ValueError(f"no time zone is called {value!r}; use an IANA name such as Europe/Vienna") from error
        return value


class Recordings(_Section):
    """How inbox files are laid out."""

    time_column: str = "time"
    time_unit: Literal["iso", "s", "ms", "us", "ns"] = "iso"
    activity_column: str = "activity"
    placement_column: str = "placement"
    device_column: str = "device"
    placement: str = ""
    device: str = ""
    max_gap_s: float = Field(default=0.5, gt=0)


class Sensor(_Section):
    """One sensor: its channels in order, the unit in the files, its full scale in that unit."""

    channels: tuple[Name, ...] = Field(min_length=1)
    unit: str
    full_scale: float = Field(gt=0)
    si_unit: ClassVar[str]
    factors: ClassVar[dict[str, float]]

    @field_validator("unit")
    @classmethod
    def _unit_fits(cls, value: str) -> str:
        if value not in cls.factors:
            raise ValueError(f"a unit among {', '.join(cls.factors)}")
        return value

    @property
    def to_si(self) -> float:
        """Factor from the files' unit to m/s² or rad/s."""
        return self.factors[self.unit]


class Accelerometer(Sensor):
    """Total acceleration, gravity included; m/s² in the lake."""

    si_unit = "m/s^2"
    factors = {"g": STANDARD_GRAVITY, "mg": STANDARD_GRAVITY / 1000, "m/s^2": 1.0}


class Gyroscope(Sensor):
    """Angular rate; rad/s in the lake."""

    si_unit = "rad/s"
    factors = {"rad/s": 1.0, "deg/s": math.pi / 180}


class Channel(_Section):
    """A channel of no three-axis sensor, such as air pressure: taken as it is, in the unit that the files have."""

    name: Name
    unit: str = Field(min_length=1)


class Sensors(_Section):
    """All sensors, sampled (or resampled) at one rate."""

    rate_hz: float = Field(gt=0, le=2000)
    further: tuple[Channel, ...] = ()
    accelerometer: Accelerometer | None = None
    gyroscope: Gyroscope | None = None

    @model_validator(mode="after")
    def _distinct(self) -> Sensors:
        if not self.all:
            raise ValueError("one sensor at least: [sensors.accelerometer] or [sensors.gyroscope]")
        repeated = sorted({name for name in self.channels if self.channels.count(name) > 1})
        if repeated:
            raise ValueError(f"channel {repeated[0]!r} is listed twice; every channel needs its own name")
        return self

    @property
    def all(self) -> tuple[Sensor, ...]:
        """The sensors there are, in the model's order; their channels come before the further ones."""
        return tuple(sensor for sensor in (self.accelerometer, self.gyroscope) if sensor is not None)

    @property
    def channels(self) -> tuple[str, ...]:
        """Channel names in the model's order."""
        return (*(channel for sensor in self.all for channel in sensor.channels), *(one.name for one in self.further))

    @property
    def units(self) -> tuple[str, ...]:
        """Unit per channel, as it is in the lake: SI, and for a further channel the one in the files."""
        return (*(sensor.si_unit for sensor in self.all for _ in sensor.channels), *(one.unit for one in self.further))

    @property
    def full_scales(self) -> dict[str, float]:
        """Full scale of every channel as it is in the lake; a further channel may hold what float32 can."""
        sensors = {channel: sensor.full_scale * sensor.to_si for sensor in self.all for channel in sensor.channels}
        return sensors | {one.name: _FLOAT32 for one in self.further}

    @property
    def factors(self) -> tuple[float, ...]:
        """What a value of each channel is multiplied with on its way into the lake."""
        return (*(sensor.to_si for sensor in self.all for _ in sensor.channels), *(1.0 for _ in self.further))


class Windows(_Section):
    """How samples are cut."""

    length_s: float = Field(gt=0)
    overlap: float = Field(default=0.5, ge=0, lt=1)
    purity: float = Field(default=0.6, gt=0, le=1)


class Activities(_Section):
    """The classes, in the model's order; the null class, if there is one, comes last."""

    names: tuple[Name, ...] = Field(min_length=1)
    null: Name | None = None

    @model_validator(mode="after")
    def _distinct(self) -> Activities:
        repeated = sorted({name for name in self.all if self.all.count(name) > 1})
        if repeated:
            raise ValueError(f"activity {repeated[0]!r} is listed twice")
        if len(self.all) < 2:
            raise ValueError("two activities at least (or one and a null class) are needed to tell apart")
        return self

    @property
    def all(self) -> tuple[str, ...]:
        """Every class name, null class included."""
        return self.names if self.null is None else (*self.names, self.null)


class Split(_Section):
    """Which subjects judge, which calibrate, and how many folds an evaluation has."""

    held_out: tuple[str, ...] = ()
    held_out_share: float = Field(default=0.3, gt=0, lt=1)
    validation: float = Field(default=0.2, gt=0, lt=1)
    folds: int = Field(default=5, ge=2)


class Training(_Section):
    """How a model is trained; learning rate, regularisation and the like belong to the network.

    `network` is checked where a training begins: torch and the networks are not installed everywhere.
    """

    network: str = Field(default="spectral", min_length=1)
    seed: int = Field(default=0, ge=0)
    epochs: int = Field(default=15, ge=1)
    batch_size: int = Field(default=128, ge=2)
    device: Literal["auto", "cpu", "cuda"] = "auto"


class Gates(_Section):
    """What a challenger must hold before it serves."""

    margin: float = Field(default=0.02, ge=0, lt=1)
    class_floor: float = Field(default=0.3, ge=0, le=1)
    latency_ratio: float = Field(default=3.0, gt=0)
    reference_ratio: float = Field(default=10.0, gt=0)
    latency_ms: float = Field(default=10.0, gt=0)
    old_margin: float = Field(default=0.05, ge=0, lt=1)


class Scoring(_Section):
    """The nightly job."""

    abstain_below: float = Field(default=0.5, ge=0, lt=1)
    batch_size: int = Field(default=64, ge=1)
    service: str = Field(default="", pattern=r"^(https?://[^\s/]+)?$")


class Serving(_Section):
    """The online service; limits hold for each of its worker processes."""

    workers: int = Field(default=1, ge=1)
    timeout_s: float = Field(default=1.0, gt=0)
    max_concurrency: int = Field(default=64, ge=1)
    max_windows: int = Field(default=256, ge=1)
    deadline_ms: float = Field(default=250.0, gt=0)
    breaker_failures: int = Field(default=5, ge=1)
    breaker_pause_s: float = Field(default=10.0, gt=0)
    shadow_share: float = Field(default=0.1, ge=0, le=1)
    log_queue: int = Field(default=4096, ge=1)
    log_rotate_mb: float = Field(default=16.0, gt=0)
    log_rotate_s: float = Field(default=60.0, gt=0)


class Monitoring(_Section):
    """Profiles of what the model sees."""

    enabled: bool = True
    features: tuple[str, ...] = ("*.mean", "*.log_var", "*.log_jerk", "*.corr", "*_norm.band_*")
    max_features: int = Field(default=100, ge=1)
    keep_days: int = Field(default=90, ge=1)


class Drift(_Section):
    """When a day counts as drifted, and drift as confirmed."""

    false_alarms: float = Field(default=0.01, gt=0, le=0.5)
    days: int = Field(default=2, ge=1)
    of_days: int = Field(default=3, ge=1)
    min_subjects: int = Field(default=2, ge=1)
    min_windows: int = Field(default=30, ge=2)

    @model_validator(mode="after")
    def _days_fit(self) -> Drift:
        if self.days > self.of_days:
            raise ValueError(f"days no larger than of_days; {self.days} of {self.of_days} days can never be")
        return self


class Retraining(_Section):
    """When a model is trained again by itself, and when its promotion is taken back."""

    min_windows: int = Field(default=200, ge=1)
    new_windows: int = Field(default=5000, ge=1)
    cooldown_days: int = Field(default=7, ge=0)
    probation_days: int = Field(default=7, ge=0)
    accuracy_drop: float = Field(default=0.05, gt=0, lt=1)
    confidence_drop: float = Field(default=0.1, gt=0, lt=1)
    label_requests: int = Field(default=50, ge=0)


class Tracking(_Section):
    """Where MLflow keeps its versions."""

    uri: str = ""

    @field_validator("uri")
    @classmethod
    def _no_password(cls, value: str) -> str:
        if urlsplit(value).password:
            raise ValueError("an address without a password; libpq reads that from PGPASSWORD or ~/.pgpass")
        return value


class Paths(_Section):
    """Where things lie, relative to the folder of `har.toml`."""

    inbox: Path = Path("data/inbox")
    quarantine: Path = Path("data/quarantine")
    lake: Path = Path("lake")
    reports: Path = Path("reports")
    runs: Path = Path("runs")
    mlflow: Path = Path("mlruns")
    bentoml: Path = Path(".bentoml")
    journal: Path = Path("data/journal")
