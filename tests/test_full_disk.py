"""A disk that is full or read-only: each job says so in our words, and goes on once there is space."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from har.errors import RegistryError, StorageError, reason
from har.files import write_atomically
from har.registry._backend import registry_errors

PAGE = """
import resource, signal, sys
from pathlib import Path
from har.errors import StorageError
from har.files import write_atomically
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    write_atomically(Path(sys.argv[1]), "x" * 5000)
except StorageError as error:
    print(error)
"""


def test_a_page_that_does_not_fit_leaves_the_old_one(tmp_path: Path) -> None:
    # The kernel refuses writes past a file size limit in the same way as those to a full disk.
    page = write_atomically(tmp_path / "page.html", "old")
    done = subprocess.run([sys.executable, "-c", PAGE, str(page)], capture_output=True, text=True, check=True)
    assert f"{page}: expected a path that can be written, but got File too large. Free space" in done.stdout
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "reports").write_text("")
    with pytest.raises(StorageError, match=r"reports/activity: expected a path that can be written"):
        write_atomically(tmp_path / "reports" / "activity" / "page.html", "")


def test_the_registry_gives_the_databases_own_words(tmp_path: Path) -> None:
    import sqlite3

    from sqlalchemy.exc import OperationalError

    inner = sqlite3.OperationalError("database or disk is full")
    outer = OperationalError("(raised as a result of Query-invoked autoflush)", None, inner)
    words = r"but got database or disk is full\. Check .* that there is space"
    with pytest.raises(RegistryError, match=words), registry_errors(tmp_path):
        raise outer from inner
    assert reason(StorageError.refused(tmp_path, OSError(28, "No space left on device"))) == "No space left on device"
