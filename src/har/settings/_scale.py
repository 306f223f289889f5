"""Sections of `har.toml` about work beyond one process and one disk: the engine, object storage, the tables' upkeep."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from har.settings._sections import Section


class Engine(Section):
    """What runs the independent parts of a job."""

    kind: Literal["threads", "processes", "dask"] = "threads"
    address: str = Field(default="", pattern=r"^((tcp|tls|ws|wss)://[^\s]+)?$")
    """Of a Dask scheduler; empty: a local cluster for the time of each job."""
    workers: int = Field(default=0, ge=0)
    """Threads, processes, or workers of a local cluster; 0: one per core."""
    worker_memory_mb: int = Field(default=0, ge=0)
    """Limit of a worker of a local Dask cluster; 0: its share of the machine's memory."""
    wave: int = Field(default=500, ge=1)
    """Parts that are ordered by size together, and are one task run of Prefect."""
    lost_after_s: float = Field(default=120.0, gt=0)
    """A worker of Dask without a sign of life for this long is given up, and its part runs elsewhere."""

    @model_validator(mode="after")
    def _address_is_used(self) -> Engine:
        if self.address and self.kind != "dask":
            raise ValueError(f'kind = "dask" with an address; it is {self.kind!r}')
        return self


class Storage(Section):
    """The S3 service behind addresses such as s3://bucket/prefix. Credentials: environment or profile only."""

    endpoint: str = Field(default="", pattern=r"^(https?://[^\s@]+)?$")
    """Of a service other than AWS, such as "http://127.0.0.1:9000"; empty: AWS."""
    region: str = ""
    """Empty: AWS_REGION, the profile's, or us-east-1 with an endpoint."""
    path_style: bool = True
    """Buckets in the path, not in the host's name, where an endpoint is set."""
    timeout_s: float = Field(default=30.0, gt=0)
    """For one request; a failed one is repeated."""
    retries: int = Field(default=8, ge=0)

    @model_validator(mode="before")
    @classmethod
    def _no_credentials(cls, content: Any) -> Any:
        if isinstance(content, dict):
            for name in content:
                if any(word in str(name).lower() for word in ("key", "secret", "token", "password", "profile")):
                    raise ValueError(
                        f"no credentials in this section ({name}): the environment has them (AWS_ACCESS_KEY_ID and "
                        "AWS_SECRET_ACCESS_KEY), or a profile that AWS_PROFILE names"
                    )
        return content


class Maintenance(Section):
    """The tables' upkeep after each write: automatic, and safe beside readers."""

    small_files: int = Field(default=32, ge=2)
    """Files of a partition from which on they are merged."""
    keep_versions_days: int = Field(default=7, ge=1)
    """Older versions can no longer be read, and their files are removed."""
    checkpoint_commits: int = Field(default=20, ge=1)
    """Commits between two checkpoints of a table's log."""
