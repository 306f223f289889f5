"""Service classes, thin: the work is done by `har.inference` and `har.jobs.score`.

A bento carries its own copy of `src/har`; that copy serves, whatever else is installed.
"""

import sys
from pathlib import Path

_OWN = Path(__file__).resolve().parents[1] / "src"

sys.path.insert(0, str(_OWN))

import har  # noqa: E402

if not Path(har.__file__).resolve().is_relative_to(_OWN):
    raise ImportError(f"expected the code in {_OWN} to serve, but got {har.__file__}: imported before this service.")
