"""Service classes, thin: the work is done by `har.inference` and `har.scoring`.

A bento carries its own copy of `src/har`; that copy serves, whatever else is installed.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))
