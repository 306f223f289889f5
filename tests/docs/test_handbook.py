"""The handbook as it is built, strictly, with every setting, command, deployment and decision; the README's links."""

from __future__ import annotations

import html
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main
import yaml

from har.settings import Settings

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built pages."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def text(site: Path, page: str) -> str:
    """A page's visible text."""
    return html.unescape(re.sub(r"<[^>]+>", "", (site / page).read_text(encoding="utf-8")))


def test_every_setting_is_there(site: Path) -> None:
    page = (site / "reference" / "settings.html").read_text(encoding="utf-8")
    for section, field in Settings.model_fields.items():
        if section != "root":
            assert f'id="{section}"' in page
            assert field.annotation is not None
            for key in field.annotation.model_fields:
                assert f"<code>{key}</code>" in page or f'id="{section}{key}"' in page, f"{section}.{key}"


def test_every_command_is_there(site: Path) -> None:
    from har_cli._app import app

    page = text(site, "reference/cli.html")
    command = typer.main.get_command(app)
    assert set(command.commands) >= {"demo", "import", "ingest", "train", "score"}  # type: ignore[attr-defined]
    for name in command.commands:  # type: ignore[attr-defined]
        assert f"har {name} [OPTIONS]" in page


def test_every_deployment_is_there(site: Path) -> None:
    page = text(site, "reference/flows.html")
    for one in yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]:
        assert f"{one['entrypoint'].rpartition(':')[2]}/{one['name']}" in page
        for schedule in one.get("schedules", []):
            assert schedule["cron"] in page


def test_every_route_of_the_online_service_is_there(site: Path) -> None:
    page = text(site, "reference/online.html")
    for route in ("POST /predict", "POST /predict/raw", "POST /feedback", "GET /model", "GET /readyz", "GET /metrics"):
        assert route in page
    for field in ("windows", "request_id", "subject", "start", "abstained", "remedy"):
        assert field in page
    assert "SyncHTTPClient" in text(site, "how-to/operations.html")


def test_the_library_is_there_with_shapes_and_errors(site: Path) -> None:
    page = (site / "reference" / "api.html").read_text(encoding="utf-8")
    for name in ("har.windows.WindowSet", "har.inference.Classifier", "har.lake.Lake", "har.errors.HarError"):
        assert f'id="{name}"' in page, name
    assert "float32 (n, C), SI units" in text(site, "reference/api.html")


def test_pages_ask_nobody_for_fonts(site: Path) -> None:
    for page in site.rglob("*.html"):
        assert "fonts.g" not in page.read_text(encoding="utf-8")


def test_every_decision_is_in_the_index() -> None:
    folder = ROOT / "docs" / "decisions"
    index = (folder / "index.md").read_text(encoding="utf-8")
    linked = set(re.findall(r"^\| \[[^]]+\]\(([^)]+)\)", index, re.MULTILINE))
    pages = {path.name for path in folder.glob("*.md")} - {"index.md"}
    assert linked == pages
    for name in pages:
        page = (folder / name).read_text(encoding="utf-8")
        assert "**Decision.**" in page and "**Why.**" in page and "**Alternatives.**" in page, name


def test_the_links_of_the_readme_lead_somewhere() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    headings = re.findall(r"^##+ (.+)$", readme, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    targets = re.findall(r"\]\(([^)\s]+)\)", readme)
    assert {target[1:] for target in targets if target.startswith("#")} <= anchors
    files = [target for target in targets if not target.startswith(("#", "http"))]
    assert files
    for name in files:
        assert (ROOT / name).is_file(), name


def test_every_path_on_the_architecture_page_exists() -> None:
    text = (ROOT / "docs" / "explanation" / "architecture.md").read_text(encoding="utf-8")
    paths = re.findall(r"`((?:src|bentos|flows|infra|docs|tests)/[\w./-]+)`", text)
    assert len(paths) > 5
    assert [path for path in paths if not (ROOT / path).exists()] == []
