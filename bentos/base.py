"""What all images share: their base, pinned by digest in this one place, and how labels reach those of bentos.

A new one: `docker buildx imagetools inspect python:3.11-slim` prints the digest of the list of all platforms.
"""

from __future__ import annotations

PYTHON = "3.11"
"""The Python of the image, for which `make lock` compiles the requirements."""

BASE = "docker.io/library/python:3.11-slim@sha256:9c900dea9e8fb7e16277c179b555cc72d29a352dbc33cff48ad5a0412fd5bfc7"

LABELS_VARIABLE = "BENTO_IMAGE_LABELS"
"""Labels of a bento's image as a JSON object: `har package` sets the variable while it builds bentos."""
