"""The `har` command as people type it: what it prints, what it refuses, and that it starts no server."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from har.settings import Settings
from har_cli import main

Har = Callable[..., tuple[int, str]]
HEAVY = ("prefect", "torch", "mlflow", "bentoml", "matplotlib", "whylogs", "pandas", "scipy", "sklearn", "pandera")
"""Importing one of them takes 0.1 to 4 s."""


@pytest.fixture
def har(project: object, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Har:
    """Run `har` in this process: its exit status, and what it printed."""
    monkeypatch.delenv("PREFECT_API_URL", raising=False)

    def run(*words: str) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", ["har", *words])
        with pytest.raises(SystemExit) as end:
            main()
        printed = capsys.readouterr()
        return int(end.value.code or 0), printed.out + printed.err

    return run


def imported_by(command: str) -> list[str]:
    """Those of the packages that take long to import which a command imports in a process of its own."""
    code = f"""
import contextlib, sys
sys.argv = ["har", {command!r}]
from har_cli import main
with contextlib.suppress(SystemExit):
    main()
print(*sorted({{{", ".join(map(repr, HEAVY))}}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[-1].split()


def test_the_jobs_from_the_command_line(two_days: Settings, har: Har) -> None:
    status, text = har("ingest")
    assert status == 0
    assert "18 files ingested" in text
    status, text = har("score")
    assert status == 2
    assert "NoChampionError" in text
    assert "Traceback" not in text
    assert har("train")[0] == 0
    status, text = har("score")
    assert status == 0
    assert "12 subject-days scored by version 1" in text
    assert imported_by("score") == []
    assert "Nothing to score: the lake has no recordings that were not scored before" in har("score")[1]
    assert "no recordings of 2031-01-01 that" in har("score", "--date", "2031-01-01")[1]
    status, text = har("rollback", "--reason", "because")
    assert status == 2
    assert "previous champion" in text
    assert "champion" in har("models")[1]
    assert "The promotion log was not edited: 2 lines" in har("models", "--verify")[1]
    assert "version 1" in har("status")[1]
    # The trained champion was announced to nobody, and no server was started for any of this.
    assert not (two_days.root / ".prefect").exists() or not list((two_days.root / ".prefect").glob("*.db"))

    log = two_days.path("mlflow") / "promotions.jsonl"
    lines = log.read_text().splitlines(keepends=True)
    log.write_text("".join([lines[0].replace("registered", "invented"), *lines[1:]]))
    status, text = har("models", "--verify")
    assert status == 2
    assert "promotions.jsonl, line 2" in text


@pytest.mark.parametrize("command", ["train", "evaluate"])
def test_an_empty_lake_is_refused_before_torch_is_imported(command: str, project: Path) -> None:
    code = (
        "import sys; from har_cli import main\n"
        "try: main()\n"
        "finally: print([name for name in ('torch', 'mlflow', 'prefect') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, command], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "expected ingested samples" in done.stderr
    assert done.stdout.strip() == "[]"


def test_a_new_project_has_nothing_yet(project: Path, har: Har) -> None:
    assert "none yet" in har("status")[1]
    assert har("models") == (0, "No version is registered yet. Train one: har train.\n")


def test_ingestion_ends_with_what_became_of_every_file_and_row(two_days: Settings, har: Har) -> None:
    day = two_days.path("inbox") / "2024-01-01"
    lines = (day / "s01_pen.csv").read_text().splitlines(keepends=True)
    (day / "s01_pen.csv").write_text("".join([*lines, lines[-1]]))
    status, text = har("ingest")
    assert status == 0
    assert (
        "18 files ingested, 0 known, 0 quarantined, 0 skipped; 36001 rows read, 36000 kept, 1 dropped, 0 interpolated."
    ) in text.splitlines()
    (day / "s09_a.csv").write_text("time\n")
    (day / "latest").symlink_to("s01_pen.csv")
    status, text = har("ingest")
    assert status == 3
    assert "quarantined 2024-01-01/s09_a.csv: expected" in text
    assert "skipped 2024-01-01/latest: expected a file or a folder, but got a symbolic link." in text
    assert "0 files ingested, 18 known, 1 quarantined, 1 skipped; 0 rows read" in text
    (day / "latest").unlink()
    assert har("ingest")[0] == 0


def test_a_flow_is_run_only_on_a_server_that_is_there(two_days: Settings, har: Har) -> None:
    status, text = har("ingest", "--via-prefect")
    assert status == 2
    assert "make up" in text
    assert "PREFECT_API_URL" in text
    assert not two_days.path("lake").exists()


@pytest.mark.parametrize("words", [("promote", "7", "--reason", "x"), ("reproduce", "7")])
def test_unknown_version(words: tuple[str, ...], har: Har) -> None:
    assert har(*words)[0] == 2


@pytest.mark.parametrize("command", ["train", "evaluate"])
def test_an_unknown_network_is_refused_before_anything_is_read(command: str, project: Path, har: Har) -> None:
    status, text = har(command, "--network", "dscn")
    assert status == 2
    said = " ".join(text.split())
    assert "SettingsError: training.network: expected" in said
    assert "'dscn'. Did you mean 'dscnn'?" in said
    assert not (project / "lake").exists()


@pytest.mark.parametrize("command", ["--help", "models", "status", "collect"])
def test_what_is_asked_often_imports_nothing_heavy(two_days: Settings, command: str) -> None:
    assert imported_by(command) == []


def test_check_ends_with_1_while_something_is_missing(two_days: Settings, har: Har) -> None:
    for day in ("2024-01-01", "2024-01-02"):  # a commit each
        har("ingest", "--date", day)
    status, text = har("check")
    assert (status, text.startswith("Nothing is missing: 12 subject-days, 0 registered versions")) == (0, True)
    max((two_days.path("lake") / "samples" / "_delta_log").glob("*.json")).unlink()
    status, text = har("check")
    assert status == 1
    assert "samples, 2024-01-02, subject s01: 0 samples, where `recordings` counts 2,000" in text
    assert "har ingest" in text
    text = har("ingest")[1]
    assert "6 files ingested (6 of them again, as samples were missing), 12 known" in text
    assert har("check")[0] == 0
