"""The base of all images, pinned by digest: the one place that `bentos._image` and `infra.images` read.

A new one: `docker buildx imagetools inspect python:3.11-slim` prints the digest of the list of all platforms.
"""

from __future__ import annotations

PYTHON = "3.11"
"""The Python of the image, for which `make lock` compiles the requirements."""

BASE = "docker.io/library/python:3.11-slim@sha256:9c900dea9e8fb7e16277c179b555cc72d29a352dbc33cff48ad5a0412fd5bfc7"
