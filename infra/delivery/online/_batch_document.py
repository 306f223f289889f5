"""Print the batch service's OpenAPI document, as BentoML writes it, without starting the service or needing a model.

A process of its own: the service reads the settings of one project when it is imported.
"""

from __future__ import annotations

import json

# There is no public way without a server (1.4.39).
from _bentoml_sdk.service.openapi import generate_spec  # type: ignore[import-untyped]

from bentos.batch.service import service

if __name__ == "__main__":
    print(json.dumps(generate_spec(service).asdict()))
