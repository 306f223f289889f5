"""What programs built on boto3, such as MLflow and DVC, have to know about the S3 service: variables of a process.

Credentials are none of them: those are in the environment, in a profile, or come from the machine's role.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from har.storage._service import Service

_ours: dict[str, str] = {}
"""Variables that this process set, by name; what somebody else set holds."""


def boto_variables(service: Service, environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The variables for a service.

    Args:
        service: the section `[storage]` of har.toml.
        environment: where a region may be named for other programs of AWS; boto3 reads another variable.
    """
    region = service.region or environment.get("AWS_REGION", "")
    found = {"AWS_MAX_ATTEMPTS": str(service.retries + 1), "AWS_RETRY_MODE": "standard"}
    if region:
        found["AWS_DEFAULT_REGION"] = region
    if service.endpoint:
        found |= {
            "MLFLOW_S3_ENDPOINT_URL": service.endpoint,
            "AWS_ENDPOINT_URL_S3": service.endpoint,
            "MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE": "path" if service.path_style else "virtual",
            # Services other than AWS often refuse the checksums that boto3 adds to each request.
            "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
            "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required",
        }
    return found


def use_service(service: Service) -> None:
    """Let boto3, here and in what this process starts, find the S3 service of the settings.

    A variable that was set by somebody else stays as it is.
    """
    wanted = boto_variables(service)
    for name in [name for name, value in _ours.items() if os.environ.get(name) == value]:
        del os.environ[name], _ours[name]
    for name, value in wanted.items():
        if not os.environ.get(name):
            os.environ[name] = _ours[name] = value
