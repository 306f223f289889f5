"""The BentoML services. They use `har.inference` and `har.predictions`.

A bento contains a copy of `src/har`, which is imported even if another one is installed.
"""

import sys
from pathlib import Path

_SOURCE = Path(__file__).resolve().parents[1] / "src"

sys.path.insert(0, str(_SOURCE))

import har  # noqa: E402

if not Path(har.__file__).resolve().is_relative_to(_SOURCE):
    raise ImportError(f"expected `har` of {_SOURCE}, but got {har.__file__}, which was imported before this service.")
