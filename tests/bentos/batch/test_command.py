"""`python -m bentos.batch` from a built bento and from a project, as cron and a Kubernetes Job run it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from batch_support import parquet, spoiled

from har.inference import Package

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]
Expected = Callable[[pl.DataFrame], pl.DataFrame]


def run(folder: Path, *arguments: object, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run it in `folder`, without this project on the path and nothing set for BentoML."""
    own = ("BENTOML_", "HAR_", "PYTHONPATH")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(own)}
    return subprocess.run(
        [sys.executable, "-m", "bentos.batch", *map(str, arguments)],
        cwd=folder,
        env={**environment, "BENTOML_DO_NOT_TRACK": "true", **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_built_command_gives_what_scoring_in_the_process_gives(
    bento: Path, samples: pl.DataFrame, expected: Expected, tmp_path: Path
) -> None:
    path, target = parquet(samples, tmp_path / "day.parquet"), tmp_path / "predictions.parquet"
    done = run(bento / "src", path, target)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert "model version 7" in done.stderr
    assert pl.read_parquet(target).equals(expected(samples))
    project = bento.parents[3]
    done = run(project, project / "lake" / "samples", target)
    assert done.returncode == 0, done.stderr
    assert pl.read_parquet(target).equals(expected(samples))


def test_a_bento_with_its_model_in_it_needs_no_store(
    bento: Path, samples: pl.DataFrame, expected: Expected, tmp_path: Path
) -> None:
    # As `bentoml containerize` lays it out: the store's model beside the bento's code.
    home = tmp_path / "home"
    alone = home / "bento"
    shutil.copytree(bento, alone)
    shutil.copytree(bento.parents[2] / "models", alone / "models")
    path, target = parquet(samples, tmp_path / "day.parquet"), tmp_path / "predictions.parquet"
    done = run(alone / "src", path, target, BENTOML_HOME=str(home), HOME=str(home))
    assert done.returncode == 0, done.stderr
    assert pl.read_parquet(target).equals(expected(samples))


def test_bad_input_ends_with_2_and_one_line(bento: Path, samples: pl.DataFrame, tmp_path: Path) -> None:
    target = tmp_path / "predictions.parquet"
    target.write_text("as it was")
    text = tmp_path / "text.csv"
    text.write_text("date,subject\n")
    nan = parquet(spoiled(samples, 700, "gyro_x", float("nan")), tmp_path / "nan.parquet")
    model = bento.parents[2] / "models" / "test-project" / "v7"
    for source, words in (
        (nan, "gyro_x, row 701: expected a finite number"),
        (text, "a Parquet file"),
        (tmp_path / "no-such.parquet", "no file or folder"),
        (tmp_path, "a Delta table"),
    ):
        done = run(bento / "src", source, target, "--model", model)
        assert done.returncode == 2
        assert words in done.stderr
        assert done.stderr.startswith(f"{source}: ")
        assert done.stderr.count("\n") == 1
        assert target.read_text() == "as it was"
    assert run(bento / "src", nan, tmp_path / "no" / "folder.parquet").returncode == 2
    assert run(bento / "src").returncode == 2
    assert {path.name for path in tmp_path.iterdir()} == {"predictions.parquet", "text.csv", "nan.parquet"}


def test_a_missing_model_ends_with_1(
    bento: Path, samples: pl.DataFrame, package: Package, expected: Expected, tmp_path: Path
) -> None:
    path, target = parquet(samples, tmp_path / "day.parquet"), tmp_path / "predictions.parquet"
    done = run(bento / "src", path, target, "--model", tmp_path / "nothing")
    assert done.returncode == 1
    assert "har package" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not target.exists()
    assert run(bento / "src", path, target, "--model", package.model.parent).returncode == 0
    assert pl.read_parquet(target).equals(expected(samples))
