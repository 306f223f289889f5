"""The BentoML services. A bento carries its own copy of `src/har` and uses that one, whatever else is installed."""

import sys
from pathlib import Path

_CODE = Path(__file__).resolve().parents[1] / "src"
_MANIFEST = _CODE.parents[1] / "bento.yaml"
"""Of the bento that this code is in; absent in a project, where a flow may have imported the library already."""

sys.path.insert(0, str(_CODE))

import har  # noqa: E402

if _MANIFEST.exists() and not Path(har.__file__).resolve().is_relative_to(_CODE):
    raise ImportError(f"expected har from {_CODE}, but got {har.__file__}, which was imported before this service.")
