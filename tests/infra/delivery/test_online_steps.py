"""Steps of the online pipeline where there is nothing to work on: what they say, and that they do not pass for done."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from har.errors import PackagingError, ReleaseError
from infra.delivery._step import RESULTS, write_json
from infra.delivery.online._sites import Containers
from infra.delivery.online.candidate import Candidate
from infra.delivery.online.service_image import Image, build_image

ROOT = Path(__file__).resolve().parents[3]
CANDIDATE = Candidate(1, "a-online:v1-00000000", "a-batch:v1-00000000", Path("model.onnx"), Path("store"))


@pytest.fixture
def stale(tmp_path: Path) -> Path:
    """A project's folder with the note of an image of an earlier candidate."""
    shutil.copy2(ROOT / "har.toml", tmp_path)
    (tmp_path / RESULTS).mkdir(parents=True)
    write_json(tmp_path / RESULTS / "image.json", {"name": "a-online:v0-00000000", "engine": "podman"})
    assert Image.read(tmp_path) == Image("a-online:v0-00000000", "podman")
    return tmp_path


def test_a_project_without_images_says_so_and_forgets_an_older_one(
    stale: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert build_image(stale, CANDIDATE) is None
    assert "Skipped: this project has no infra/images." in capsys.readouterr().err
    assert Image.read(stale) is None


def test_an_image_can_be_declined(
    stale: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (stale / "infra" / "images").mkdir(parents=True)
    monkeypatch.setenv("ENGINE", "none")
    assert build_image(stale, CANDIDATE) is None
    assert "ENGINE=none" in capsys.readouterr().err


def test_a_machine_without_an_engine_says_so(
    stale: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (stale / "infra" / "images").mkdir(parents=True)
    monkeypatch.delenv("ENGINE", raising=False)
    monkeypatch.setenv("PATH", str(stale))
    assert build_image(stale, CANDIDATE) is None
    assert "Skipped: no image is built here. container engine: expected docker" in capsys.readouterr().err


def test_an_engine_that_was_named_has_to_be_there(stale: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (stale / "infra" / "images").mkdir(parents=True)
    monkeypatch.setenv("ENGINE", "podman")
    monkeypatch.setenv("PATH", str(stale))
    with pytest.raises(PackagingError, match="podman: not installed"):
        build_image(stale, CANDIDATE)


@pytest.mark.parametrize("content", [None, "{", '{"version": 1}', "[]"])
def test_without_a_candidate_nothing_is_released(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / RESULTS).mkdir(parents=True)
        (tmp_path / RESULTS / "candidate.json").write_text(content)
    with pytest.raises(ReleaseError, match="expected a candidate"):
        Candidate.read(tmp_path)


def test_a_release_needs_a_reason() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "infra.delivery.online.release", "--why", " "],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "--why: expected a reason, for the promotion log, but got none" in done.stderr


def test_a_stack_that_does_not_run_takes_nothing(
    project: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    site = Containers(project, None, "podman", "http://127.0.0.1:1")
    assert site.serving() == ""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ReleaseError, match="image a-online:v1-00000000: was not taken by the stack"):
        site.switch("a-online:v1-00000000")


def test_the_stack_says_which_image_it_serves(project: Path) -> None:
    (project / ".stack").mkdir()
    images = "STACK_TRAIN_IMAGE=a-train:1\nSTACK_ONLINE_IMAGE=team/a-online:v3-00000000\n"
    (project / ".stack" / "images.env").write_text(images)
    site = Containers(project, None, "podman", "http://127.0.0.1:1")
    assert site.serving() == "team/a-online:v3-00000000"
    assert site.history.path == project / ".stack" / "releases.jsonl"
