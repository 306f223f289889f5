"""The container image that `bentoml containerize` makes of a bento."""

from __future__ import annotations

import sys

from bentoml.images import Image

_DATA = "/home/bentoml/data"
_HEALTHY = (
    "import os, urllib.request; "
    "urllib.request.urlopen('http://127.0.0.1:' + os.environ.get('BENTOML_PORT', '3000') + '/readyz', timeout=2)"
)


def image() -> Image:
    """A base Python image and the pinned packages that bentofile.yaml names: nothing of apt, no compilers, no root."""
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    return Image(
        base_image=f"python:{python}-slim",
        distro="none",
        python_version=python,
        lock_python_packages=False,
        # A volume mounted here belongs to the service's user. BentoML knows no health check: it rides on this line.
        commands=[
            f"mkdir {_DATA} && chown bentoml:bentoml {_DATA}\n"
            f'HEALTHCHECK --interval=15s --timeout=5s --start-period=20s CMD ["python", "-c", "{_HEALTHY}"]'
        ],
    )
