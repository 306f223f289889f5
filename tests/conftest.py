"""What every test folder shares: a project of its own in a temporary folder, whatever this project's har.toml says."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from har.settings import Settings, load_settings

for _name in [name for name in os.environ if name.startswith("HAR_")]:
    del os.environ[_name]

HAR_TOML = """
[project]
name = "test-project"
timezone = "UTC"

[recordings]
time_column = "time"
time_unit = "iso"
activity_column = "activity"
max_gap_s = 0.5

[sensors]
rate_hz = 50.0

[sensors.accelerometer]
channels = ["accel_x", "accel_y", "accel_z"]
unit = "g"
full_scale = 16.0

[sensors.gyroscope]
channels = ["gyro_x", "gyro_y", "gyro_z"]
unit = "rad/s"
full_scale = 34.9

[windows]
length_s = 4.0
overlap = 0.5
purity = 0.6

[activities]
names = ["PEN", "ABD", "FEL", "IR", "ER", "TRAP", "ROW"]

[training]
network = "spectral"
epochs = 3
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project's folder with the settings above; commands run in this test find it."""
    root = tmp_path / "project"
    root.mkdir()
    (root / "har.toml").write_text(HAR_TOML)
    monkeypatch.setenv("HAR_ROOT", str(root))
    return root


@pytest.fixture
def settings(project: Path) -> Settings:
    """The settings of `project`."""
    return load_settings(project)
