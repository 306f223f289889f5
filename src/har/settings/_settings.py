"""`Settings`: all sections of `har.toml` in one frozen object."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from har.settings._card import Card
from har.settings._scale import Engine, Maintenance, Storage
from har.settings._sections import (
    Activities,
    Alerts,
    Drift,
    Gates,
    Images,
    Logs,
    Monitoring,
    Paths,
    Project,
    Recordings,
    Release,
    Retraining,
    Scoring,
    Sensors,
    Serving,
    Snapshots,
    Split,
    Tracking,
    Training,
    Windows,
)
from har.settings._stream import Stream
from har.settings._tuning import Tuning
from har.settings._variables import is_foreign
from har.storage import Location, Service


class Settings(BaseSettings):
    """All settings of a project; `root` is the folder of `har.toml`."""

    model_config = SettingsConfigDict(extra="forbid", frozen=True, env_prefix="HAR_", env_nested_delimiter="__")
    reads_environment: ClassVar[bool] = True

    project: Project
    recordings: Recordings = Recordings()
    sensors: Sensors
    windows: Windows
    activities: Activities
    split: Split = Split()
    training: Training = Training()
    tuning: Tuning = Tuning()
    gates: Gates = Gates()
    scoring: Scoring = Scoring()
    serving: Serving = Serving()
    release: Release = Release()
    stream: Stream = Stream()
    logs: Logs = Logs()
    monitoring: Monitoring = Monitoring()
    drift: Drift = Drift()
    retraining: Retraining = Retraining()
    alerts: Alerts = Alerts()
    tracking: Tracking = Tracking()
    images: Images = Images()
    snapshots: Snapshots = Snapshots()
    card: Card = Card()
    engine: Engine = Engine()
    storage: Storage = Storage()
    maintenance: Maintenance = Maintenance()
    paths: Paths = Paths()
    root: Path = Field(default=Path(), exclude=True)

    @model_validator(mode="after")
    def _window_is_long_enough(self) -> Settings:
        if self.length < 8:
            raise ValueError(
                f"at least 8 samples per window; windows.length_s = {self.windows.length_s} "
                f"at {self.sensors.rate_hz} Hz gives {self.length}"
            )
        return self

    @property
    def length(self) -> int:
        """Samples per window."""
        return round(self.windows.length_s * self.sensors.rate_hz)

    @property
    def stride(self) -> int:
        """Samples between the starts of two consecutive windows."""
        return max(1, round(self.length * (1 - self.windows.overlap)))

    @property
    def model_input(self) -> dict[str, Any]:
        """The input and classes that a model of this project must have, as `ModelMetadata.require` takes them."""
        return {
            "activities": self.activities.all,
            "channels": self.sensors.channels,
            "units": self.sensors.units,
            "rate_hz": self.sensors.rate_hz,
            "length": self.length,
        }

    def path(self, name: str) -> Path:
        """One of `paths`, absolute.

        Raises:
            StorageError: it is on object storage; `location` takes that, too.
        """
        return self.location(name).local

    def location(self, name: str) -> Location:
        """One of `paths`, which may be on object storage."""
        return self.place(getattr(self.paths, name))

    def place(self, text: str | Path) -> Location:
        """A folder, `file:///path` or `s3://bucket/prefix` as a place; folders are relative to that of `har.toml`."""
        return Location.of(text, self.service, self.root)

    @property
    def service(self) -> Service:
        """The S3 service behind addresses of object storage."""
        return Service(**self.storage.model_dump())

    @property
    def artifacts(self) -> Location | None:
        """Where model files are on object storage; None: they are not."""
        return self.place(self.tracking.artifacts) if self.tracking.artifacts else None

    @classmethod
    def from_values(cls, values: dict[str, Any], *, root: Path) -> Settings:
        """Settings from recorded values; the environment is ignored."""
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
        """The environment overrides what `load_settings` read from the file."""
        if not cls.reads_environment:
            return (init_settings,)
        if isinstance(env_settings, EnvSettingsSource):  # a service's variable may read like a key of a section
            own = {name: value for name, value in env_settings.env_vars.items() if not is_foreign(name, value or "")}
            env_settings.env_vars = own
        return (env_settings, init_settings)


class _RecordedSettings(Settings):
    reads_environment: ClassVar[bool] = False
