"""The steps of the offline pipeline, each by itself: what they check, write and refuse."""

from __future__ import annotations

import json
import shutil
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from delivery_support import TOOLS, commit, git

from har.errors import PackagingError, RegistryError, ServerError, SettingsError
from har.project import Project
from har.recordings import inbox_files
from har.settings import Settings
from infra.delivery.offline import comment, data, data_contract, difference, gate, report, schedules, train_image


def test_a_breach_of_the_contract_names_file_line_and_field(two_days: Settings) -> None:
    inbox = two_days.path("inbox")
    file = min(inbox.rglob("*.csv"))
    lines = file.read_text().splitlines()
    column = lines[0].split(",").index("accel_y")
    cells = lines[7].split(",")
    cells[column] = "fast"
    lines[7] = ",".join(cells)
    file.write_text("\n".join(lines) + "\n")
    (inbox / "2024-01-01" / "notes.txt").write_text("no recording")
    checked = data_contract.check_inbox(two_days, files=100)
    assert checked.files == len(checked.read) == len(list(inbox.rglob("*.csv")))
    broken = {breach.file: breach for breach in checked.breaches}
    assert {*broken} == {"notes.txt", f"2024-01-01/{file.name}"}
    breach = broken[f"2024-01-01/{file.name}"]
    assert breach.line == 8
    assert "accel_y" in breach.message
    assert "fast" in breach.message
    assert file.is_file(), "nothing is moved"


def test_the_same_seed_draws_the_same_files(two_days: Settings) -> None:
    files = inbox_files(two_days.path("inbox")).files
    drawn = data_contract.draw(files, 4, seed=3)
    assert drawn == data_contract.draw(files[::-1], 4, seed=3)
    assert len(drawn) == 4
    assert drawn != data_contract.draw(files, 4, seed=4)
    assert data_contract.draw(files, 1000, seed=3) == sorted(files, key=lambda file: file.path)


def test_the_interval_of_a_difference_takes_subjects_as_a_whole() -> None:
    base = {f"s{i}": {"windows": 100 + i, "right": 60} for i in range(6)}
    better = {name: {**one, "right": one["right"] + 20} for name, one in base.items()}
    low, high = difference.paired_interval(base, better) or (0.0, 0.0)
    mean = 120 / sum(one["windows"] for one in base.values())
    assert 0.15 < low <= mean <= high < 0.25
    one_only = {**base, "s0": {"windows": 100, "right": 100}}
    low, high = difference.paired_interval(base, one_only) or (1.0, 1.0)
    assert low == 0.0, "some draws are without the only subject that differs"
    assert high > 0.06
    assert difference.paired_interval(base, {**base, "s0": {"windows": 99, "right": 60}}) is None
    assert difference.paired_interval(base, {"s1": base["s1"]}) is None


def figures(**metrics: float) -> dict[str, Any]:
    return {
        "git_commit": "a" * 40,
        "git_dirty": False,
        "network": "spectral",
        "epochs": 4,
        "seed": 0,
        "metrics": metrics,
        "per_subject": {f"s{i}": {"windows": 100, "right": 80} for i in range(4)},
    }


def test_the_difference_is_a_table_with_intervals() -> None:
    base = figures(accuracy=0.80, accuracy_low=0.7, accuracy_high=0.9, macro_f1=0.75)
    text = difference.difference(base, figures(accuracy=0.85, macro_f1=0.75), base_name="main", notes=["", "A note."])
    assert text.startswith(difference.MARK)
    assert "| accuracy | 0.8000 (0.7000 … 0.9000) | 0.8500 | +0.0500 | +0.0000 … +0.0000 |" in text
    assert "| macro-F1 | 0.7500 | 0.7500 | +0.0000 | – |" in text
    assert text.endswith("A note.\n")
    alone = difference.difference(None, base, base_name="main", notes=[])
    assert "| accuracy | 0.8000 (0.7000 … 0.9000) |" in alone


class Comments(BaseHTTPRequestHandler):
    """The routes for comments of both services; `kept` has the comments. The token `right` may write."""

    kept: list[dict[str, Any]]

    def _answer(self, status: int, content: Any) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _body(self) -> str:
        return str(json.loads(self.rfile.read(int(self.headers["Content-Length"])))["body"])

    def do_GET(self) -> None:
        page = int(self.path.rpartition("page=")[2])
        self._answer(200, self.kept[(page - 1) * 100 : page * 100])

    def do_POST(self) -> None:
        body = self._body()
        if self.headers.get("PRIVATE-TOKEN", self.headers.get("Authorization", "")) not in ("right", "Bearer right"):
            self._answer(403, {"message": "no"})
            return
        self.kept.append({"id": len(self.kept), "body": body, "path": self.path})
        self._answer(201, {})

    def do_PATCH(self) -> None:
        self.kept[int(self.path.rpartition("/")[2])]["body"] = self._body()
        self._answer(200, {})

    def do_PUT(self) -> None:
        self.do_PATCH()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def service() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    kept: list[dict[str, Any]] = [{"id": number, "body": "Nice.", "path": ""} for number in range(130)]
    handler = type("Handler", (Comments,), {"kept": kept})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", kept
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("provider", ["github", "gitlab"])
def test_a_comment_is_written_once_and_replaced_later(
    provider: str, service: tuple[str, list[dict[str, Any]]], tmp_path: Path
) -> None:
    address, kept = service
    event = tmp_path / "event.json"
    event.write_text(json.dumps({"pull_request": {"number": 7}}))
    of_github = {"GITHUB_API_URL": address, "GITHUB_REPOSITORY": "us/har", "GITHUB_EVENT_PATH": str(event)}
    of_gitlab = {"CI_API_V4_URL": address, "CI_PROJECT_ID": "12", "CI_MERGE_REQUEST_IID": "7"}
    token = {"github": "GITHUB_TOKEN", "gitlab": "COMMENT_TOKEN"}[provider]
    variables = {"github": of_github, "gitlab": of_gitlab}[provider]
    assert comment.discussion(variables) is None, "without a token"
    where = comment.discussion({**variables, token: "right"})
    assert where is not None
    assert comment.put(where, f"{difference.MARK}\nfirst") == "written"
    assert comment.put(where, f"{difference.MARK}\nsecond") == "replaced"
    assert [one["body"] for one in kept[130:]] == [f"{difference.MARK}\nsecond"]
    route = {"github": "/repos/us/har/issues/7/comments", "gitlab": "/projects/12/merge_requests/7/notes"}[provider]
    assert kept[-1]["path"] == route


def test_a_token_without_rights_and_a_silent_service_are_named(
    service: tuple[str, list[dict[str, Any]]],
) -> None:
    address, _ = service
    variables = {"CI_API_V4_URL": address, "CI_PROJECT_ID": "12", "CI_MERGE_REQUEST_IID": "7", "COMMENT_TOKEN": "wrong"}
    where = comment.discussion(variables)
    assert where is not None
    with pytest.raises(ServerError, match="403"):
        comment.put(where, "text")
    nobody = comment.discussion(variables | {"CI_API_V4_URL": "http://127.0.0.1:1"})
    assert nobody is not None
    with pytest.raises(ServerError, match="cannot be reached"):
        comment.put(nobody, "text")
    with pytest.raises(SettingsError, match="CI_PROJECT_ID"):
        comment.discussion(variables | {"CI_PROJECT_ID": ""})


def test_the_gate_is_read_from_the_promotion_log(loop: Project) -> None:
    version, move = gate.decision(loop)
    assert move is not None
    assert (version.number, move.action) == (1, "promote")
    text = gate.page(version, move, None)
    assert text.startswith("### Version 1 promoted: it serves now\n")
    assert f"{version.metrics['accuracy']:.4f} (" in text
    assert move.reason in text
    beside = gate.page(version, move, version)
    assert "champion (version 1), at its registration" in beside
    log = next(loop.settings.path("mlflow").rglob("promotions.jsonl"))
    log.write_text(log.read_text().replace("promote", "reject"))
    with pytest.raises(RegistryError):
        gate.decision(loop)


def test_no_version_is_no_decision(settings: Settings) -> None:
    with pytest.raises(RegistryError, match="deliver-train"):
        gate.decision(Project(settings))


def test_pages_about_people_are_not_published(tmp_path: Path) -> None:
    reports = tmp_path / "reports"
    for name in ("model-1.html", "model-2.html", "evaluation.html", "activity/2024-01-01.html", "drift/index.html"):
        (reports / name).parent.mkdir(parents=True, exist_ok=True)
        (reports / name).write_text(name)
    target = tmp_path / "report"
    names = report.collect(reports, target, title="Ours")
    assert names == ["evaluation.html", "model-1.html", "model-2.html"]
    index = (target / "index.html").read_text()
    assert "model-2.html" in index
    assert "2024-01-01" not in index
    first = report.archive(target, tmp_path / "first.tar").read_bytes()
    assert first == report.archive(target, tmp_path / "second.tar").read_bytes()
    with tarfile.open(tmp_path / "first.tar") as tar:
        assert tar.getnames() == ["./evaluation.html", "./index.html", "./model-1.html", "./model-2.html"]
    with pytest.raises(RegistryError, match="a page of a model"):
        report.collect(tmp_path / "none", target, title="Ours")


def test_schedules_need_a_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "")
    with pytest.raises(ServerError, match="make up"):
        schedules.server_of(tmp_path)
    monkeypatch.setenv("PREFECT_API_URL", "http://prefect.example.org:4200/api")
    server = schedules.server_of(tmp_path)
    assert server["PREFECT_API_URL"] == "http://prefect.example.org:4200/api"
    assert "PREFECT_API_AUTH_STRING" not in server, "the login of this folder's server is for that server alone"


def test_an_image_is_skipped_with_a_reason_or_asked_for_in_vain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "no infra/images" in train_image.skipped(tmp_path)
    (tmp_path / "infra" / "images").mkdir(parents=True)
    monkeypatch.setenv("ENGINE", "none")
    assert "ENGINE=none" in train_image.skipped(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("ENGINE")
    assert "not installed" in train_image.skipped(tmp_path)
    monkeypatch.setenv("ENGINE", "podman")
    with pytest.raises(PackagingError, match="podman: not installed"):
        train_image.skipped(tmp_path)


@pytest.mark.release
def test_the_recordings_of_a_commit_come_and_nothing_is_lost(tmp_path: Path) -> None:
    root = tmp_path / "project"
    inbox = root / "data" / "inbox" / "2024-01-01"
    inbox.mkdir(parents=True)
    assert "taken as it is" in data.pull(root)
    (root / ".venv").mkdir()
    (root / ".venv" / "tools").symlink_to(TOOLS)
    git(root, "init", "--quiet")
    (root / ".gitignore").write_text(".venv/\n")

    def dvc(*words: str) -> None:
        subprocess.run([TOOLS / "bin" / "dvc", *words], cwd=root, check=True, capture_output=True)

    (inbox / "s01_a.csv").write_text("first")
    dvc("init")
    dvc("remote", "add", "--default", "beside", str(tmp_path / "remote"))
    dvc("add", "data/inbox")
    dvc("push")
    commit(root, "recordings")
    (inbox / "s01_a.csv").unlink()
    assert "in place" in data.pull(root)
    assert (inbox / "s01_a.csv").read_text() == "first"
    (inbox / "s02_a.csv").write_text("new today")
    assert "nothing was overwritten" in data.pull(root)
    assert (inbox / "s02_a.csv").read_text() == "new today"
    (tmp_path / "remote").rename(tmp_path / "away")
    shutil.rmtree(root / ".dvc" / "cache")
    with pytest.raises(ServerError, match="nor on remote"):
        data.pull(root)


def test_numbers_of_the_contract_are_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FILES", "many")
    with pytest.raises(SettingsError, match="FILES"):
        data_contract._number("FILES", 20, 1)
    monkeypatch.setenv("FILES", "")
    assert data_contract._number("FILES", 20, 1) == 20
