"""What is removed from an environment while an image is built, and what stays."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

import pytest

from bentos._lean import make_lean


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """A virtual environment with two made-up packages."""
    venv.create(tmp_path / "env", with_pip=False, symlinks=True)
    return tmp_path / "env"


def packages(environment: Path) -> Path:
    (found,) = environment.glob("lib/python3*/site-packages")
    return found


def write(environment: Path, **files: str) -> None:
    for name, text in files.items():
        path = packages(environment) / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_tests_headers_and_sources_go_and_the_rest_stays(environment: Path) -> None:
    folder = packages(environment)
    kept = ["one/__init__.py", "one/core.py", "one/testing/help.py", "one/testament.py", "numpy/_core/tests/_natype.py"]
    gone = [
        *(
            "one/tests/__init__.py",
            "one/tests/data/large.csv",
            "one/deep/test/test_x.py",
            "one/core.pyx",
            "one/a/core.h",
        ),
        *("torch/include/x/y.cuh", "onnxruntime/capi/libonnxruntime.so.1.2", "numpy/_core/tests/test_x.py"),
        "pygments/lexers/__pycache__/x.pyc",
    ]
    for name in (*kept, *gone):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("")
    assert make_lean(environment) == ["numpy", "one", "onnxruntime", "pygments", "torch"]
    assert [name for name in kept if not (folder / name).is_file()] == []
    assert [name for name in gone if (folder / name).exists()] == []
    assert make_lean(environment, ["one/testing"]) == ["one"]
    assert not (folder / "one" / "testing").exists()


def test_a_package_that_needs_what_goes_stops_the_build(environment: Path) -> None:
    folder = packages(environment)
    for name, text in {"one/__init__.py": "import one.tests.values", "one/tests/values.py": "A = 1"}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    with pytest.raises(SystemExit, match=r"one: expected that it can still be imported .*No module named 'one\.tests"):
        make_lean(environment)


def test_a_package_that_could_not_be_imported_before_stops_nothing(environment: Path) -> None:
    folder = packages(environment)
    (folder / "optional").mkdir()
    (folder / "optional" / "__init__.py").write_text("import absent_module")
    assert make_lean(environment) == []


def test_it_is_a_program_of_the_standard_library_alone(environment: Path) -> None:
    script = Path(make_lean.__code__.co_filename)
    done = subprocess.run([sys.executable, "-I", "-S", str(script), str(environment)], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
