"""The project's settings: `har.toml` and `HAR_…` variables in, one typed and frozen `Settings` out.

Read once at the edge (`load_settings`); functions further in take the values they need.
"""

from __future__ import annotations

import difflib
import math
import os
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)
from pydantic_settings import (
    SettingsError as SourceError,
)

from har.errors import SettingsError

FILE_NAME = "har.toml"
_NO_SETTINGS = ("HAR_ROOT", "HAR_DATA")
"""Variables that name folders of the machine: the project's, and the one whose tables a batch service may score."""
STANDARD_GRAVITY = 9.80665
"""m/s² in one g (CGPM 1901)."""

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


class Sensors(_Section):
    """All sensors, sampled (or resampled) at one rate."""

    rate_hz: float = Field(gt=0, le=2000)
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
        """The sensors there are, in the model's order."""
        return tuple(sensor for sensor in (self.accelerometer, self.gyroscope) if sensor is not None)

    @property
    def channels(self) -> tuple[str, ...]:
        """Channel names in the model's order."""
        return tuple(channel for sensor in self.all for channel in sensor.channels)

    @property
    def units(self) -> tuple[str, ...]:
        """SI unit per channel."""
        return tuple(sensor.si_unit for sensor in self.all for _ in sensor.channels)


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
    """The recipe's settings; the rest of the recipe is the network's own."""

    network: Literal["spectral", "dscnn"] = "spectral"
    seed: int = Field(default=0, ge=0)
    epochs: int = Field(default=15, ge=1)
    batch_size: int = Field(default=128, ge=2)
    device: Literal["auto", "cpu", "cuda"] = "auto"


class Gates(_Section):
    """What a challenger must hold before it serves."""

    margin: float = Field(default=0.02, ge=0, lt=1)
    class_floor: float = Field(default=0.3, ge=0, le=1)
    latency_ms: float = Field(default=10.0, gt=0)


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


class Settings(BaseSettings):
    """One project's settings, with `root`, the folder that `har.toml` lies in."""

    model_config = SettingsConfigDict(extra="forbid", frozen=True, env_prefix="HAR_", env_nested_delimiter="__")
    reads_environment: ClassVar[bool] = True

    project: Project
    recordings: Recordings = Recordings()
    sensors: Sensors
    windows: Windows
    activities: Activities
    split: Split = Split()
    training: Training = Training()
    gates: Gates = Gates()
    scoring: Scoring = Scoring()
    serving: Serving = Serving()
    paths: Paths = Paths()
    root: Path = Field(default=Path(), exclude=True)

    @model_validator(mode="after")
    def _window_is_long_enough(self) -> Settings:
        if self.length < 8:
            raise ValueError(
                f"windows of 8 samples at least; windows.length_s {self.windows.length_s} "
                f"at {self.sensors.rate_hz} Hz makes {self.length}"
            )
        return self

    @property
    def length(self) -> int:
        """Samples per window."""
        return round(self.windows.length_s * self.sensors.rate_hz)

    @property
    def stride(self) -> int:
        """Samples between two windows' starts."""
        return max(1, round(self.length * (1 - self.windows.overlap)))

    @property
    def model_input(self) -> dict[str, Any]:
        """What a model must have been made for, as `ModelMetadata.require` takes it."""
        return {
            "activities": self.activities.all,
            "channels": self.sensors.channels,
            "units": self.sensors.units,
            "rate_hz": self.sensors.rate_hz,
            "length": self.length,
        }

    def path(self, name: str) -> Path:
        """One of `paths`, absolute."""
        relative: Path = getattr(self.paths, name)
        return (self.root / relative).resolve()

    @classmethod
    def from_values(cls, values: dict[str, Any], *, root: Path) -> Settings:
        """Settings from recorded values alone, whatever the environment says now."""
        return _RecordedSettings(**{**values, "root": root})

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment wins over what `load_settings` read from the file."""
        return (env_settings, init_settings) if cls.reads_environment else (init_settings,)


class _RecordedSettings(Settings):
    reads_environment: ClassVar[bool] = False


def load_settings(start: Path | str | None = None) -> Settings:
    """Read `har.toml` from `start` (a folder or the file itself; default: here or the nearest folder above).

    Raises:
        SettingsError: no file, no TOML, an unknown key or an impossible value; each named.
    """
    path = _find(Path(start) if start is not None else Path(os.environ.get("HAR_ROOT") or Path.cwd()))
    try:
        content = TomlConfigSettingsSource(Settings, path)()
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(
            where=str(path), expected="TOML", got=str(error), remedy="Mend the line; strings need quotes."
        ) from error
    _refuse_unknown_variables()
    try:
        return Settings(**{**content, "root": path.parent.resolve()})
    except (ValidationError, SourceError) as error:
        raise _explain(path, error) from error


def _find(start: Path) -> Path:
    if start.is_file():
        return start
    for folder in (start.resolve(), *start.resolve().parents):
        if (folder / FILE_NAME).is_file():
            return folder / FILE_NAME
    raise SettingsError(
        where=str(start),
        expected=f"a {FILE_NAME} here or in a folder above",
        got="none",
        remedy="Change to the project's folder, or name it in HAR_ROOT.",
    )


def _refuse_unknown_variables() -> None:
    sections = [name for name in Settings.model_fields if name != "root"]
    for variable in os.environ:
        if not variable.upper().startswith("HAR_") or variable.upper() in _NO_SETTINGS:
            continue
        section = variable[4:].split("__")[0].lower()
        if section not in sections:
            raise SettingsError(
                where=f"environment variable {variable}",
                expected="HAR_<SECTION>__<KEY> with a section of har.toml",
                got=f"section {section!r}",
                remedy=_suggest(section, sections) or f"Sections: {', '.join(sections)}.",
            )


def _explain(path: Path, error: ValidationError | SourceError) -> SettingsError:
    if isinstance(error, SourceError):
        return SettingsError(
            where="HAR_ variables",
            expected="a value (JSON for lists)",
            got=str(error),
            remedy="Mend or unset the variable.",
        )
    first = error.errors()[0]
    keys = [str(part) for part in first["loc"]]
    where = f"{path}, {'.'.join(keys)}" if keys else str(path)
    if first["type"] == "extra_forbidden":
        known = list(_keys_at(Settings, keys[:-1]))
        return SettingsError(
            where=where,
            expected="a known key",
            got=f"{keys[-1]!r}",
            remedy=_suggest(keys[-1], known) or f"Known here: {', '.join(known)}.",
        )
    if first["type"] == "missing":
        return SettingsError(where=where, expected="a value", got="none", remedy=f"Add {'.'.join(keys)}.")
    got = repr(first["input"]) if not isinstance(first["input"], dict) else "this combination"
    expected = first["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    return SettingsError(
        where=where, expected=expected, got=got, remedy="Mend the value in har.toml, or the HAR_ variable that sets it."
    )


def _keys_at(model: Any, keys: list[str]) -> Iterator[str]:
    for key in keys:
        if key.isdigit():
            continue
        annotation = model.model_fields[key].annotation
        arguments = [part for part in getattr(annotation, "__args__", ()) if hasattr(part, "model_fields")]
        model = arguments[0] if arguments else annotation
    yield from (name for name in model.model_fields if name != "root")


def _suggest(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"Did you mean {close[0]!r}?" if close else ""
