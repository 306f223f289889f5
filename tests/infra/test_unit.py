"""The unit file for systemd: systemd itself finds nothing wrong with it, and it starts what the handbook says."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

UNIT = Path(__file__).parents[2] / "infra" / "local" / "har@.service"


def verify(folder: Path, text: str) -> str:
    """What `systemd-analyze verify` says about the unit in a project's folder."""
    program = folder / "wrist" / ".venv" / "bin" / "har"
    program.parent.mkdir(parents=True, exist_ok=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    unit = folder / "har@wrist.service"
    unit.write_text(text.replace("/srv/", f"{folder}/"))
    done = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze (apt-get install systemd)")
def test_systemd_takes_every_line(tmp_path: Path) -> None:
    text = UNIT.read_text()
    assert verify(tmp_path, text) == ""
    assert "Unknown key" in verify(tmp_path, text.replace("KillMode=", "KilMode="))
    assert "not executable" in verify(tmp_path, text.replace("/bin/har up", "/bin/hat up"))


def test_the_supervisor_alone_is_asked_to_end() -> None:
    lines = UNIT.read_text().splitlines()
    for line in ("ExecStart=/srv/%i/.venv/bin/har up", "KillMode=mixed", "Restart=on-failure", "UMask=0077"):
        assert line in lines
