"""Remove from an installed environment what no process in a container needs; run while an image is built.

    python3 _lean.py /opt/venv [numpy/f2py …]

What goes: tests, headers, sources of extensions, a second copy of ONNX Runtime for programs in C, and (with `strip` of
binutils on the PATH) the debug symbols of extensions. Bytecode stays, because a container starts much slower without.
Further folders of packages may be named. It needs the standard library alone; what the environment's Python can import
before, it must be able to import afterwards.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

_TESTS = {"test", "tests"}
_KEPT = {"_natype.py"}
"""Modules in folders of tests that numpy itself imports."""
_SOURCES = {".a", ".c", ".cpp", ".h", ".hpp", ".cu", ".cuh", ".pxd", ".pxi", ".pyx", ".pyi"}
_FOLDERS = (
    *("torch/include", "torch/share"),
    *("pyarrow/include", "pyarrow/src", "numpy/_core/include"),
)
"""Headers, and programs for developers."""
_FILES = (
    "onnxruntime/capi/libonnxruntime.so*",  # the Python module holds the same code and does not load this library
    *(f"{folder}/__pycache__" for folder in ("pygments/lexers", "pygments/styles", "fsspec/implementations")),
    "databricks/**/__pycache__",
)
"""The bytecode of modules that no start imports, and what is there twice."""
_STRIPPED_FROM_BYTES = 100_000


def make_lean(environment: Path, further: Iterable[str] = ()) -> list[str]:
    """Remove files and symbols; returns the packages that were touched, sorted.

    Args:
        environment: the folder of a virtual environment.
        further: folders to remove, such as "numpy/f2py".

    Raises:
        SystemExit: a package that could be imported before cannot be imported after it.
    """
    folders = sorted(environment.glob("lib/python3*/site-packages"))
    names = sorted({path.name for folder in folders for path in folder.iterdir() if (path / "__init__.py").is_file()})
    before = _failures(environment, names)
    touched: set[str] = set()
    for packages in folders:
        for path in _superfluous(packages, further):
            touched.add(path.relative_to(packages).parts[0])
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        touched |= _strip(packages)
    for name, why in _failures(environment, names).items():
        if name not in before:
            sys.exit(f"{name}: expected that it can still be imported without its tests and symbols, but got {why}")
    return sorted(touched)


_IMPORT = """
import importlib, json, sys
failed = {}
for name in sys.argv[1:]:
    try:
        importlib.import_module(name)
    except BaseException as error:
        failed[name] = f"{type(error).__name__}: {error}"
print(json.dumps(failed))
"""


def _failures(environment: Path, names: list[str]) -> dict[str, str]:
    """Which packages the environment's Python cannot import, and why."""
    command = [str(environment / "bin" / "python"), "-B", "-c", _IMPORT, *names]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:  # a library that is no longer sound ends the process
        return dict.fromkeys(names, f"exit status {done.returncode}: {done.stderr[-500:]}")
    found: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return found


def _superfluous(packages: Path, further: Iterable[str]) -> Iterator[Path]:
    for folder in (*_FOLDERS, *further):
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
    make_lean(Path(sys.argv[1]), sys.argv[2:])
