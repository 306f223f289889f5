"""Remove from an installed environment what no process in a container needs; run while an image is built.

    python3 _lean.py /opt/venv

What goes: tests, headers, sources of extensions, a second copy of ONNX Runtime for programs in C, and (with `strip` of
binutils on the PATH) the debug symbols of extensions. Bytecode stays, because a container starts much slower without.
It needs the standard library alone; at the end the packages that it touched are imported by the environment's Python.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

_TESTS = {"test", "tests"}
_KEPT = {"_natype.py"}
"""Modules in folders of tests that numpy itself imports."""
_SOURCES = {".a", ".c", ".cpp", ".h", ".hpp", ".cu", ".cuh", ".pxd", ".pxi", ".pyx", ".pyi"}
_FOLDERS = ("torch/include", "torch/bin", "torch/share", "pyarrow/include", "pyarrow/src", "numpy/_core/include")
_FILES = ("onnxruntime/capi/libonnxruntime.so*",)
"""The Python module of ONNX Runtime holds the same code and does not load this library."""
_STRIPPED_FROM_BYTES = 100_000


def make_lean(environment: Path) -> list[str]:
    """Remove files and symbols; returns the packages that were touched, sorted.

    Args:
        environment: the folder of a virtual environment.
    """
    touched: set[str] = set()
    for packages in sorted(environment.glob("lib/python3*/site-packages")):
        for path in _superfluous(packages):
            touched.add(path.relative_to(packages).parts[0])
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        touched |= _strip(packages)
    return sorted(name for name in touched if name.isidentifier())


def require_imports(environment: Path, names: list[str]) -> None:
    """Import packages with the environment's Python.

    Raises:
        SystemExit: one cannot be imported.
    """
    for name in names:
        command = [str(environment / "bin" / "python"), "-B", "-c", f"import {name}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"{name}: expected it to be importable after its tests and symbols were removed, but got:\n{done.stderr}")


def _superfluous(packages: Path) -> Iterator[Path]:
    for folder in _FOLDERS:
        if (packages / folder).is_dir():
            yield packages / folder
    for pattern in _FILES:
        yield from sorted(packages.glob(pattern))
    for path in sorted(packages.rglob("*")):
        inside_tests = any(part in _TESTS for part in path.relative_to(packages).parts[:-1])
        if path.is_file() and path.name not in _KEPT and (inside_tests or path.suffix in _SOURCES):
            yield path


def _strip(packages: Path) -> set[str]:
    if shutil.which("strip") is None:
        print("no `strip`: the image keeps debug symbols, some 70 MB")
        return set()
    touched = set()
    for library in sorted(packages.rglob("*.so*")):
        inside = library.relative_to(packages).parts
        # Libraries in NAME.libs were rewritten by auditwheel, and do not all survive another rewriting.
        if not library.is_file() or library.stat().st_size < _STRIPPED_FROM_BYTES or inside[0].endswith(".libs"):
            continue
        done = subprocess.run(["strip", "--strip-unneeded", str(library)], capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"{library}: strip failed: {done.stderr}")
        touched.add(inside[0])
    return touched


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    require_imports(folder, make_lean(folder))
