"""`har tune` as people type it: what it prints can be pasted into har.toml, and what it refuses."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from har.jobs import tune as job
from har.jobs.tune import TuningReport
from har_cli import main

VALUES = {f"a_long_name_of_a_value_{number}": number / 7 for number in range(8)}
ONE = {"value": 0.8, "low": 0.7, "high": 0.9}
FIGURES: dict[str, Any] = {
    "network": "spectral",
    "metric": "accuracy",
    "trials": {"complete": 3, "pruned": 2, "failed": 1, "running": 0},
    "start": ONE,
    "best": {**ONE, "value": 0.85, "number": 4},
    "further_seeds": {"seeds": 2, "best_less_start": {"value": 0.03, "low": -0.01, "high": 0.05}},
}


@pytest.fixture
def har(project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)

    def run(*words: str) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", ["har", *words])
        with pytest.raises(SystemExit) as end:
            main()
        printed = capsys.readouterr()
        return int(end.value.code or 0), printed.out + printed.err

    return run


def test_its_lines_can_be_pasted(har: Callable[..., Any], project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from har.tuning import lines_of

    lines = lines_of({"training": {"epochs": 9, "values": VALUES}})
    asked: dict[str, Any] = {}

    def found(project: object, **options: Any) -> TuningReport:
        asked.update(options)
        return TuningReport(FIGURES, lines, Path("reports/tuning.html"), False)

    monkeypatch.setattr(job, "tune", found)
    monkeypatch.setattr("har.lake.Lake.require_samples", lambda self: None)
    status, text = har("tune", "--trials", "3", "--space", "training, windows", "--timeout", "60")
    assert status == 0
    assert (asked["trials"], asked["groups"], asked["timeout_s"]) == (3, ["training", "windows"], 60.0)
    pasted = text[text.index("[training]") : text.index("Write these lines")]
    assert tomllib.loads(pasted) == {"training": {"epochs": 9, "values": VALUES}}
    flat = " ".join(text.split())
    assert "6 configurations of spectral: 3 complete, 2 pruned, 1 failed." in flat
    assert "too good, as it was chosen by this figure" in flat
    assert "+3.00% (-1.00% to +5.00%)" in flat


def test_refusals_are_words(har: Callable[..., Any]) -> None:
    for words, said in (
        (("--space", "training,layers"), "--space: expected some of training, network, windows"),
        (("--network", "nowhere:Own"), "a module nowhere in"),
        ((), "har ingest"),
    ):
        status, text = har("tune", *words)
        assert status == 2
        assert said in " ".join(text.split())
        assert "Traceback" not in text
