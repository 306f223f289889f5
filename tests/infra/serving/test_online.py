"""The online service as a part of what runs it: behind HAProxy where it is installed, else as one process."""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
from place_support import NAME, add_bento, kept
from serving_support import write_settings
from typer.testing import CliRunner

from har.errors import ServerError
from har_cli._app import app
from infra.local.part import Followed
from infra.local.ports import Ports, held
from infra.serving import online as module
from infra.serving.launching import _code_of, known_variables
from infra.serving.online import online


def test_without_haproxy_one_process_follows_latest_on_the_port(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "installed", lambda _: None)
    settings = write_settings(tmp_path)
    targets = tmp_path / "online.json"
    with ExitStack() as stack:
        part = online(settings, Ports(online=0), tmp_path, lambda _: None, stack, targets=targets)
        assert isinstance(part, Followed)
        assert part.wanted() == ""
        add_bento(settings, "v1")
        assert part.wanted() == "v1"
        port = int(part.address.rpartition(":")[2])
        with pytest.raises(ServerError, match="expected a free port"):
            held("online", Ports(online=port)).__enter__()
        assert json.loads(targets.read_text())[0]["targets"] == [f"127.0.0.1:{port}"]


def test_a_bento_gets_only_settings_that_its_own_code_knows(tmp_path: Path) -> None:
    code = tmp_path / "bentos" / NAME / "v1" / "src" / "src" / "har" / "settings"
    code.mkdir(parents=True)
    (code / "_sections.py").write_text("class Serving:\n    workers: int = 1\n    mirror: str = ''\n")
    given = {"mirror": "mirror.json"}
    # It knows the mirror, and no choice of a shadow.
    assert known_variables(_code_of(tmp_path, f"{NAME}:v1"), given, canary=True) == {
        "HAR_SERVING__MIRROR": "mirror.json"
    }
    assert known_variables(_code_of(tmp_path, f"{NAME}:v2"), given, canary=True) == {}


def test_a_canary_of_this_release_is_looked_on_by_the_former_version() -> None:
    code = Path(sys.modules["har.settings._sections"].__file__ or "").read_text()
    assert known_variables(code, {}, canary=True) == {
        "HAR_SERVING__SHADOW": "previous",
        "HAR_SERVING__SHADOW_SHARE": "1",
    }
    assert known_variables(code, {"mirror": "m"}, canary=False) == {"HAR_SERVING__MIRROR": "m"}


def test_without_a_supervisor_har_scale_says_that_it_holds_from_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_settings(tmp_path)
    monkeypatch.setenv("HAR_ROOT", str(tmp_path))
    said = CliRunner().invoke(app, ["scale", "3"])
    assert said.exit_code == 0
    assert "3 replicas from the next start" in said.output
    assert json.loads((tmp_path / ".bentoml" / "serving.json").read_text())["replicas"] == 3
    assert "No replica runs." in CliRunner().invoke(app, ["scale"]).output


@pytest.mark.stack
@pytest.mark.release
def test_har_scale_ends_once_the_replicas_are_ready_and_lists_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    with kept(tmp_path) as trial:
        monkeypatch.setenv("HAR_ROOT", str(tmp_path))
        said = CliRunner().invoke(app, ["scale", "2"])
        assert said.exit_code == 0, said.output
        assert "2 replicas of each version." in said.output
        assert len(trial.ready(f"{NAME}:v1")) == 2
        assert "blue s2" in said.output
        CliRunner().invoke(app, ["scale", "--as-configured"])
        trial.until(lambda: len(trial.place.running().replicas) == 1)
