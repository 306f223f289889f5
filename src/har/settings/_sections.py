"""The sections of `har.toml`, each key with its type, default and limits."""

from __future__ import annotations

import datetime as dt
import math
from itertools import pairwise
from pathlib import Path
from typing import Annotated, ClassVar, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from har.settings._values import Named, Value, Values
from har.storage import check_address

STANDARD_GRAVITY = 9.80665
"""m/s² in one g (CGPM 1901)."""

TICKS_PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
"""For each unit of epoch counts that `recordings.time_unit` can name."""

_FLOAT32 = 3.4e38

Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$")]


class Section(BaseModel):
    """A section: unknown keys are refused, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Project(Section):
    """The project's name and time zone."""

    name: str = Field(min_length=1)
    timezone: str = "UTC"
    share_with_group: bool = False

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        if value == "UTC":
            return value  # needs no time zone database, which small container images lack
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ValueError("an IANA time zone such as Europe/Vienna") from error
        return value

    @property
    def zone(self) -> dt.tzinfo:
        """The time zone, which for UTC needs no time zone database."""
        return dt.UTC if self.timezone == "UTC" else ZoneInfo(self.timezone)


MAX_CLOCK_OFFSET_S = 600.0
"""No larger offset between the clocks of two sensors is looked for."""


class Recordings(Section):
    """Columns and stamps of the inbox files."""

    time_column: str = "time"
    time_unit: Literal["iso", "s", "ms", "us", "ns"] = "iso"
    activity_column: str = "activity"
    placement_column: str = "placement"
    device_column: str = "device"
    placement: str = ""
    device: str = ""
    max_gap_s: float = Field(default=0.5, gt=0)
    max_clock_offset_s: float = Field(default=1.0, ge=0, le=MAX_CLOCK_OFFSET_S)


class Sensor(Section):
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
            raise ValueError(f"one of {', '.join(cls.factors)}")
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


class Channel(Section):
    """A channel of another kind of sensor, such as air pressure: stored unconverted, in the unit of the files."""

    name: Name
    unit: str = Field(min_length=1)


class Sensors(Section):
    """All sensors, sampled (or resampled) at one rate."""

    rate_hz: float = Field(gt=0, le=2000)
    further: tuple[Channel, ...] = ()
    accelerometer: Accelerometer | None = None
    gyroscope: Gyroscope | None = None

    @model_validator(mode="after")
    def _distinct(self) -> Sensors:
        if not self.all:
            raise ValueError("at least one sensor: [sensors.accelerometer] or [sensors.gyroscope]")
        repeated = sorted({name for name in self.channels if self.channels.count(name) > 1})
        if repeated:
            raise ValueError(f"a name of its own for every channel; {repeated[0]!r} is listed twice")
        return self

    @property
    def all(self) -> tuple[Sensor, ...]:
        """The configured three-axis sensors in the model's order; their channels come before the further ones."""
        return tuple(sensor for sensor in (self.accelerometer, self.gyroscope) if sensor is not None)

    @property
    def channels(self) -> tuple[str, ...]:
        """Channel names in the model's order."""
        return (*(channel for sensor in self.all for channel in sensor.channels), *(one.name for one in self.further))

    @property
    def units(self) -> tuple[str, ...]:
        """Unit of each channel in the lake: SI, and for a further channel the unit of the files."""
        return (*(sensor.si_unit for sensor in self.all for _ in sensor.channels), *(one.unit for one in self.further))

    @property
    def full_scales(self) -> dict[str, float]:
        """Full scale of each channel in the lake's units; for a further channel the largest float32."""
        sensors = {channel: sensor.full_scale * sensor.to_si for sensor in self.all for channel in sensor.channels}
        return sensors | {one.name: _FLOAT32 for one in self.further}

    @property
    def factors(self) -> tuple[float, ...]:
        """Factor for each channel from the unit of the files to the unit of the lake."""
        return (*(sensor.to_si for sensor in self.all for _ in sensor.channels), *(1.0 for _ in self.further))


class Windows(Section):
    """How samples are cut into windows."""

    length_s: float = Field(gt=0)
    overlap: float = Field(default=0.5, ge=0, lt=1)
    purity: float = Field(default=0.6, gt=0, le=1)


class Activities(Section):
    """The classes in the model's order; the null class, if any, is the last."""

    names: tuple[Name, ...] = Field(min_length=1)
    null: Name | None = None

    @model_validator(mode="after")
    def _distinct(self) -> Activities:
        repeated = sorted({name for name in self.all if self.all.count(name) > 1})
        if repeated:
            raise ValueError(f"every activity once; {repeated[0]!r} is listed twice")
        if len(self.all) < 2:
            raise ValueError("at least two activities, or one and a null class")
        return self

    @property
    def all(self) -> tuple[str, ...]:
        """Every class name, null class included."""
        return self.names if self.null is None else (*self.names, self.null)


class Split(Section):
    """Which subjects are held out and used for validation, and the number of folds of an evaluation."""

    held_out: tuple[str, ...] = ()
    held_out_share: float = Field(default=0.3, gt=0, lt=1)
    validation: float = Field(default=0.2, gt=0, lt=1)
    folds: int = Field(default=5, ge=2)


class Training(Section):
    """The settings of training that a project can change; the network defines the others.


    `network` is checked where a training begins: torch and the networks are not installed everywhere.
    """

    network: str = Field(default="spectral", min_length=1)
    seed: int = Field(default=0, ge=0)
    epochs: int = Field(default=15, ge=1)
    batch_size: int = Field(default=128, ge=2)
    device: Literal["auto", "cpu", "cuda"] = "auto"
    values: Values = Named()
    """Of `network`, in place of its own: of its optimisation, and arguments of its class."""

    def values_of(self, network: str) -> dict[str, Value]:
        """`values`, if they are this network's; of another one: none."""
        return dict(self.values) if network == self.network else {}


class Gates(Section):
    """The thresholds that a challenger must meet before it is promoted."""

    margin: float = Field(default=0.02, ge=0, lt=1)
    class_floor: float = Field(default=0.3, ge=0, le=1)
    latency_ratio: float = Field(default=3.0, gt=0)
    reference_ratio: float = Field(default=10.0, gt=0)
    latency_ms: float = Field(default=10.0, gt=0)
    old_margin: float = Field(default=0.05, ge=0, lt=1)
    champion_drop: float = Field(default=0.2, gt=0, le=1)
    mix_change: float = Field(default=0.3, gt=0, le=1)
    denied_share: float = Field(default=0.5, gt=0, le=1)


class Scoring(Section):
    """How samples of the lake are scored."""

    abstain_below: float = Field(default=0.5, ge=0, lt=1)
    batch_size: int = Field(default=64, ge=1)
    service: str = Field(default="", pattern=r"^(https?://[^\s/]+)?$")
    smoothing: Literal["none", "hmm", "duration"] = "none"
    """How the answers of consecutive windows are smoothed, beside the raw ones."""
    unknown_share: float = Field(default=0.01, ge=0, lt=0.5)
    """Share of the held-out subjects' windows that counts as unlike the training data; 0: none is marked."""


class Serving(Section):
    """The online service; limits are per worker process."""

    replicas: int = Field(default=1, ge=1, le=16)
    """Processes of each version, each with its workers; more than one needs HAProxy."""
    replicas_max: int = Field(default=0, ge=0, le=16)
    """The supervisor adds replicas up to this number while they are busy; 0: it never does."""
    workers: int = Field(default=1, ge=1)
    timeout_s: float = Field(default=1.0, gt=0)
    max_concurrency: int = Field(default=64, ge=1)
    max_windows: int = Field(default=256, ge=1)
    deadline_ms: float = Field(default=250.0, gt=0)
    breaker_failures: int = Field(default=5, ge=1)
    breaker_pause_s: float = Field(default=10.0, gt=0)
    shadow: Literal["shadow", "previous"] = "shadow"
    """Which packaged model answers a share of the requests again, for the log; in a release, the former version."""
    shadow_share: float = Field(default=0.1, ge=0, le=1)
    mirror: str = ""
    """Path of a file that says where copies of a share of the requests go; `har release` writes it."""
    strict: bool = False
    log_queue: int = Field(default=4096, ge=1)
    log_rotate_mb: float = Field(default=16.0, gt=0)
    log_rotate_s: float = Field(default=60.0, gt=0)
    hosts: tuple[str, ...] = ()
    """Names of a proxy, under which browsers may reach the services and pages, such as `har.example.org`."""
    feedback_max_s: float = Field(default=3600.0, gt=0, le=86_400)
    feedback_per_minute: int = Field(default=60, ge=1)
    feedback_token_always: bool = False
    predict_token: bool = False
    requests_per_minute: int = Field(default=6000, ge=0)
    tls: str = Field(default="", pattern=r"^(([0-9a-z.-]+|\[[0-9a-f:]+\]):[0-9]{1,5})?$")


class Release(Section):
    """How a new version of the model comes into the online service, step by step, and what it must hold.

    `automatic`, and all steps, need HAProxy; without it, a new version replaces the former one at once.
    """

    automatic: bool = True
    place: Literal["here", "kubernetes"] = "here"
    """here: the processes of this folder, behind HAProxy; kubernetes: the namespace of this process or of kubectl."""
    shadow: bool = True
    steps: tuple[Annotated[float, Field(gt=0, le=1)], ...] = (0.05, 0.25, 0.5, 1.0)
    dwell_s: float = Field(default=300.0, ge=0)
    requests: int = Field(default=200, ge=1)
    subjects: int = Field(default=3, ge=1)
    hold_h: float = Field(default=12.0, gt=0)
    keep_former_s: float = Field(default=600.0, ge=0)
    lease_s: float = Field(default=10.0, ge=2)
    margin: float = Field(default=0.05, gt=0, lt=1)
    risk: float = Field(default=0.01, gt=0, le=0.5)
    failed_share: float = Field(default=0.02, gt=0, le=1)
    slow_ratio: float = Field(default=3.0, gt=1)
    prometheus: str = Field(default="", pattern=r"^(https?://[^\s/]+)?$")

    @model_validator(mode="after")
    def _steps_rise(self) -> Release:
        if not self.steps or self.steps[-1] != 1.0 or any(a >= b for a, b in pairwise(self.steps)):
            raise ValueError("steps that rise and end with 1.0, such as [0.05, 0.25, 0.5, 1.0]")
        return self


class Logs(Section):
    """What services, flows and servers log, and how; `har.logs` says what a line holds."""

    format: Literal["auto", "json", "text"] = "auto"
    """auto: text on a terminal, JSON in files and containers."""
    subjects: Literal["plain", "pseudonym", "none"] = "plain"
    """How lines name a subject; a pseudonym is a keyed hash, whose key is the file `paths.log_key`."""
    requests: Literal["all", "failed", "none"] = "all"
    """Which answered requests get a line in the log of the online service."""


class Monitoring(Section):
    """Profiles of the model's features."""

    enabled: bool = True
    features: tuple[str, ...] = ("*.mean", "*.log_var", "*.log_jerk", "*.corr", "*_norm.band_*")
    max_features: int = Field(default=100, ge=1)
    keep_days: int = Field(default=90, ge=1)


class Drift(Section):
    """When a day's report alarms, and when drift counts as confirmed."""

    false_alarms: float = Field(default=0.01, gt=0, le=0.5)
    days: int = Field(default=2, ge=1)
    of_days: int = Field(default=3, ge=1)
    min_subjects: int = Field(default=2, ge=1)
    min_windows: int = Field(default=30, ge=2)
    own_history_days: int = Field(default=5, ge=0)
    own_history_windows: int = Field(default=200, ge=1)

    @model_validator(mode="after")
    def _days_fit(self) -> Drift:
        if self.days > self.of_days:
            raise ValueError(f"days ({self.days}) no larger than of_days ({self.of_days})")
        return self


class Retraining(Section):
    """When monitoring starts a training, and when it rolls a promotion back."""

    min_windows: int = Field(default=200, ge=1)
    new_windows: int = Field(default=5000, ge=1)
    cooldown_days: int = Field(default=7, ge=0)
    probation_days: int = Field(default=7, ge=0)
    accuracy_drop: float = Field(default=0.05, gt=0, lt=1)
    confidence_drop: float = Field(default=0.1, gt=0, lt=1)
    label_requests: int = Field(default=50, ge=0)


class Alerts(Section):
    """Whom Alertmanager tells of alerts."""

    webhook: str = Field(default="", pattern=r"^(https?://[^\s]+)?$")
    webhook_token_file: Path | None = None
    mail: tuple[Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+$")], ...] = ()
    mail_from: str = Field(default="", pattern=r"^([^@\s]+@[^@\s]+)?$")
    smtp: str = Field(default="", pattern=r"^([^\s:/]+:[0-9]+)?$")
    smtp_tls: bool = True
    smtp_user: str = ""
    smtp_password_file: Path = Path("data/mail-password")

    @field_validator("webhook")
    @classmethod
    def _no_secret(cls, value: str) -> str:
        if urlsplit(value).password:
            raise ValueError("an address without a password; put a token into a file: alerts.webhook_token_file")
        return value

    @model_validator(mode="after")
    def _mail_is_complete(self) -> Alerts:
        if self.mail and not (self.smtp and self.mail_from):
            raise ValueError("smtp and mail_from, where mail names addresses")
        return self


class Tracking(Section):
    """Where MLflow stores runs and model versions."""

    uri: str = ""
    artifacts: Annotated[str, BeforeValidator(lambda value: check_address(str(value)))] = Field(
        default="", pattern="^(s3://.*)?$"
    )
    """Of model files, such as s3://bucket/models; empty: in paths.mlflow, or where an MLflow server keeps them."""

    @field_validator("uri")
    @classmethod
    def _no_password(cls, value: str) -> str:
        if urlsplit(value).password:
            raise ValueError("an address without a password; set PGPASSWORD or use ~/.pgpass instead")
        return value


class Images(Section):
    """Container images of the project, for `make images` and `make stack`."""

    engine: Literal["docker", "podman", "buildah"] = "docker"
    """The program that builds and runs them; where it does not answer, another one is used. ENGINE overrides it."""
    registry: str = Field(default="", pattern=r"^([a-z0-9][a-z0-9.-]*(:[0-9]+)?(/[a-z0-9][a-z0-9._-]*)*)?$")
    """Prefix of the images' names, such as "ghcr.io/our-team". PREFIX overrides it."""


class Snapshots(Section):
    """Snapshots of the raw data with DVC."""

    before_training: bool = True
    """Take one before every training, where a DVC remote is configured."""


class Paths(Section):
    """Folders, relative to the folder of `har.toml`; the lake may be on object storage."""

    inbox: Path = Path("data/inbox")
    labels: Path = Path("data/labels")
    """Imported label files, and the table of labels as each snapshot has it."""
    quarantine: Path = Path("data/quarantine")
    lake: Annotated[str, BeforeValidator(lambda value: check_address(str(value)))] = "lake"
    """A folder, file:///path, or s3://bucket/prefix."""
    reports: Path = Path("reports")
    runs: Path = Path("runs")
    mlflow: Path = Path("mlruns")
    bentoml: Path = Path(".bentoml")
    journal: Path = Path("data/journal")
    stream: Path = Path("data/stream")
    feedback_token: Path = Path("data/feedback-token")
    tls: Path = Path("data/tls")
    log_key: Path = Path("data/log-key")
