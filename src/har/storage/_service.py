"""An S3 service: how each of the libraries that speak to it has to be told about it."""

from __future__ import annotations

import datetime as dt
import os
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

_CONNECT_S = 5.0


@dataclass(frozen=True)
class Service:
    """The section `[storage]` of har.toml.

    Attributes:
        endpoint: of a service other than AWS; "": AWS_ENDPOINT_URL, or AWS itself.
        region: "": that of the environment or the profile, or us-east-1.
        path_style: with an endpoint: buckets in the path, not in the host's name.
        timeout_s: for one request.
        retries: of a failed request.
    """

    endpoint: str = ""
    region: str = ""
    path_style: bool = True
    timeout_s: float = 30.0
    retries: int = 8

    @property
    def url(self) -> str:
        """The endpoint in use; "": AWS."""
        return self.endpoint or os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""

    @property
    def area(self) -> str:
        """The region in use."""
        from har.storage._credentials import region_of_profile

        named = self.region or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
        return named or region_of_profile() or "us-east-1"

    def config(self, bucket: str) -> dict[str, str]:
        """What every client needs to know of the service, as names and values of `object_store`."""
        url = self.url
        hosted = not (url and self.path_style)
        if url and hosted:
            parts = urlsplit(url)
            host = parts.netloc if parts.netloc.startswith(f"{bucket}.") else f"{bucket}.{parts.netloc}"
            url = f"{parts.scheme}://{host}"
        config = {"aws_region": self.area, "aws_virtual_hosted_style_request": str(hosted).lower()}
        return {**config, "aws_endpoint_url": url} if url else config

    def client(self) -> dict[str, str]:
        """Time limits of an HTTP client; plain HTTP only where the endpoint says so."""
        options = {"timeout": f"{self.timeout_s:g}s", "connect_timeout": f"{min(_CONNECT_S, self.timeout_s):g}s"}
        return {**options, "allow_http": "true"} if self.url.startswith("http://") else options

    @property
    def patience(self) -> dt.timedelta:
        """How long a request is repeated."""
        return dt.timedelta(seconds=max(30.0, self.timeout_s * 3))

    def delta(self, bucket: str) -> dict[str, str]:
        """`storage_options` of deltalake; with the credentials of this moment: make them anew for each table."""
        from har.storage._credentials import credentials

        options = {name.upper(): value for name, value in self.config(bucket).items()}
        retry = {"max_retries": str(self.retries), "retry_timeout": f"{self.patience.total_seconds():g}s"}
        return {**options, **self.client(), **retry, "AWS_CONDITIONAL_PUT": "etag", **credentials().delta()}

    @property
    def lasting(self) -> bool:
        """Whether the credentials in use have no end."""
        from har.storage._credentials import credentials

        return credentials().token is None

    def polars(self, bucket: str) -> dict[str, Any]:
        """Arguments of `polars.scan_parquet` and `read_parquet`; credentials are renewed while it reads."""
        from har.storage._credentials import for_polars

        client = {name.replace("allow_http", "aws_allow_http"): value for name, value in self.client().items()}
        retry = {"max_retries": self.retries, "retry_timeout_ms": round(self.patience.total_seconds() * 1000)}
        return {
            "storage_options": {**self.config(bucket), **client, **retry},
            "credential_provider": for_polars,
        }
