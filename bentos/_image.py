"""The container image that `bentoml containerize` makes of a bento."""

from __future__ import annotations

import sys

from bentoml.images import Image

_HOME = "/home/bentoml"
_FOLDERS = " ".join(f"{_HOME}/{name}" for name in ("bentos", "models", "envs", "tmp", "data"))
_HEALTHY = (
    "import os, urllib.request; "
    "urllib.request.urlopen('http://127.0.0.1:' + os.environ.get('BENTOML_PORT', '3000') + '/readyz', timeout=2)"
)


def image() -> Image:
    """A Python image with the pinned packages that bentofile.yaml names: no apt packages, compilers or root user."""
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    return Image(
        base_image=f"python:{python}-slim",
        distro="none",
        python_version=python,
        lock_python_packages=False,
        # BentoML would create its folders at start, which a read-only file system forbids. `data` is for a volume with
        # the prediction log. BentoML has no option for a health check, so it is appended to this command.
        commands=[
            f"mkdir {_FOLDERS} && chown bentoml:bentoml {_FOLDERS}\n"
            f'HEALTHCHECK --interval=15s --timeout=5s --start-period=20s CMD ["python", "-c", "{_HEALTHY}"]'
        ],
    )
