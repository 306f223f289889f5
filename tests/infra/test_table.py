"""The table that `make up` prints."""

from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console

from infra.local.table import Row, print_table


def test_notes_are_printed_as_they_are(tmp_path: Path) -> None:
    """A section of har.toml has square brackets, which the console takes for a style."""
    printed = io.StringIO()
    rows = [Row("Alertmanager: alerts", "http://127.0.0.1:9093", "tells nobody yet: [alerts] in har.toml")]
    (tmp_path / "prefect.yaml").write_text("deployments: []\n")
    print_table(Console(file=printed, width=200), tmp_path, "http://127.0.0.1:4200/api", rows, found_here=True)
    assert "tells nobody yet: [alerts] in har.toml" in printed.getvalue()
