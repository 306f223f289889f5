"""The container image that `bentoml containerize` makes of a bento, in two stages."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

from bentoml.images import Image

from bentos.base import BASE, LABELS_VARIABLE, PYTHON

_LEAN = "bentos/_lean.py"
_FOR_DEVELOPERS = (
    *("numpy/f2py", "numpy/distutils"),
    *("onnxruntime/transformers", "onnxruntime/quantization", "onnxruntime/tools"),
)
_CODE = Path(__file__).resolve().parents[1]
_HOME = "/home/bentoml"
_FOLDERS = " ".join(f"{_HOME}/{name}" for name in ("bentos", "models", "envs", "tmp", "data"))
_HEALTHY = (
    "import os, urllib.request; "
    "urllib.request.urlopen('http://127.0.0.1:' + os.environ.get('BENTOML_PORT', '3000') + '/readyz', timeout=2)"
)
_GET_STRIP = (
    "command -v strip >/dev/null || { apt-get update -qq && apt-get install -qq -y --no-install-recommends binutils; } "
    "|| echo 'binutils cannot be installed'"
)


def image(box: str) -> Image:
    """A Python base image with the packages of `requirements/<box>.txt`: no apt packages, no compilers, no root.

    BentoML has no option for a second stage, a health check or a label. Its documented hooks before and after the
    installation are commands that it writes into the Dockerfile as they are; so a line of its own in them begins a
    stage. The first stage has the user and the folders, the second installs, the last one copies the packages alone.
    """
    made = Image(
        base_image=BASE,
        distro="none",
        python_version=PYTHON,
        lock_python_packages=False,
        # BentoML creates its folders at start, which a read-only root forbids. `data` holds the prediction log; a
        # volume may be mounted there.
        commands=[
            f"mkdir {_FOLDERS} && chown bentoml:bentoml {_FOLDERS}\n\nFROM base-container AS build",
        ],
    )
    requirements = _CODE / "requirements" / f"{box}.txt"
    if not requirements.is_file():
        return made  # served from a bento, whose image is decided
    installer = re.search(r"^uv==\S+$", (_CODE / "requirements" / "dev.txt").read_text(encoding="utf-8"), re.MULTILINE)
    if installer:
        made.run(f"command -v uv >/dev/null || pip install {installer[0]}")
    made.build_include(_LEAN)
    made.python_packages(*requirements.read_text(encoding="utf-8").split())
    made.run(f"{_GET_STRIP}; python3 src/{_LEAN} /app/.venv {' '.join(_FOR_DEVELOPERS)}{_last_stage(_labels())}")
    return made


def _labels() -> dict[str, str]:
    labels: dict[str, str] = json.loads(os.environ.get(LABELS_VARIABLE, "{}"))
    return labels


def _last_stage(labels: dict[str, str]) -> str:
    return "\n".join(
        (
            "",
            "",
            "FROM base-container",
            "COPY --from=build /app /app",
            "ENV VIRTUAL_ENV=/app/.venv PATH=/app/.venv/bin:${PATH}",
            *(f"LABEL {json.dumps(name)}={json.dumps(value)}" for name, value in sorted(labels.items())),
            f'HEALTHCHECK --interval=15s --timeout=5s --start-period=20s CMD ["python", "-c", "{_HEALTHY}"]',
        )
    )
