"""What importing the flows costs: Prefect does it to deploy them, and before each run of one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
HEAVY = ("torch", "mlflow", "bentoml", "matplotlib", "whylogs", "pandas", "scipy", "sklearn", "pandera", "distributed")
"""Importing one of them takes 0.1 to 4 s; a run that needs it imports it itself."""


def test_to_import_the_flows_is_to_import_prefect_and_little_more() -> None:
    names = [path.stem for path in sorted((ROOT / "flows").glob("[a-z]*.py"))]
    assert {"ingest", "score", "train", "evaluate"} <= set(names)
    code = f"""
import importlib, sys
for name in {names}:
    importlib.import_module("flows." + name)
print(*sorted({set(HEAVY)} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
