"""The examples of docs/how-to/open-tables.md find in the lake's tables what the project itself finds there.

The examples for Spark run with the Python of SPARK_PYTHON, or with this one, where it has pyspark, and Java is there.
"""

from __future__ import annotations

import datetime as dt
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from deltalake import write_deltalake
from s3_support import bucket, needs_moto
from typer.testing import CliRunner

from har.lake import Lake
from har.project import open_project
from har.schema import PREDICTIONS, TIME
from har.settings import load_settings
from har_cli._app import app

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "open-tables.md"
EXAMPLES = dict(
    re.findall(r'^```python title="([^"]+)"\n(.*?)^```$', PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE)
)
SUBJECTS = ("s1", "007", "a b=c/ü", "Jürgen 🏃", "[x]*?{y}%41'\"#&+")
DAYS = (dt.date(2024, 1, 1), dt.date(2024, 1, 2))
VALUES = {"samples": "accel_x", "predictions": "confidence", "scores": "seconds"}
"""A number of each table, which an example compares."""
SPARK_PYTHON = os.environ.get("SPARK_PYTHON") or (sys.executable if importlib.util.find_spec("pyspark") else "")


@pytest.fixture
def tables(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> Lake:
    """A lake in the project's folder, in which commands run."""
    monkeypatch.chdir(load_settings().root)
    return _fill(lake)


def _fill(lake: Lake) -> Lake:
    """Three tables at versions 0 and 1, with odd subjects; version 0 of the predictions is an older release's."""
    place = lake.location / "predictions"
    old = _rows(PREDICTIONS, DAYS[0], 0).drop("smoothed", "unknown")
    write_deltalake(str(place), old, partition_by=["date", "subject"], storage_options=place.options)
    for table in (lake.samples, lake.predictions, lake.scores):
        for number, day in enumerate(DAYS):
            if table.version() < number:
                table.replace(_rows(table.schema, day, number), [(day, subject) for subject in SUBJECTS])
        assert table.version() == 1
    return lake


def _rows(schema: pl.Schema, day: dt.date, seed: int) -> pl.DataFrame:
    """Six rows of each subject, with a different value in each column."""
    count = 6 * len(SUBJECTS)
    number = pl.int_range(count)
    begin = dt.datetime.combine(day, dt.time(), dt.UTC)
    of_type: dict[Any, pl.Expr] = {
        TIME: pl.lit(begin, TIME) + pl.duration(milliseconds=20 * number),
        pl.String: pl.format("text {}", number % 5),
        pl.Boolean: number % 2 == 0,
    }
    columns = {name: of_type.get(dtype, (number * 37 + seed) % count / count) for name, dtype in schema.items()}
    columns |= {"date": pl.lit(day), "subject": pl.Series([who for who in SUBJECTS for _ in range(6)])}  # type: ignore[dict-item]
    return pl.select(**columns).cast(schema).select(schema.names())


def _example(name: str, table: str, version: int) -> str:
    """An example's code, about another table and version than the page's."""
    code = (
        EXAMPLES[name].replace("version=0", f"version={version}").replace('versionAsOf", 0', f'versionAsOf", {version}')
    )
    return code.replace("predictions", table).replace("confidence", VALUES[table])


def _list_files(table: str, version: int) -> None:
    done = CliRunner().invoke(
        app, ["lake", "files", table, "--version", str(version), "--json"], catch_exceptions=False
    )
    Path(f"{table}.json").write_text(done.stdout, encoding="utf-8")


def _expected(lake: Lake, table: str, version: int) -> pl.DataFrame:
    found = getattr(lake, table).read(version).filter(pl.col(VALUES[table]) >= 0.5)
    assert 0 < len(found) < getattr(lake, table).count()
    assert set(found["subject"]) == set(SUBJECTS)
    return found


def _require_equal(found: pl.DataFrame, expected: pl.DataFrame) -> None:
    """Compare the rows, whatever their order; a column that an older version lacks may be absent."""
    absent = [name for name in expected.columns if name not in found.columns]
    assert all(expected[name].is_null().all() for name in absent)
    expected = expected.drop(absent)
    found = found.select(expected.columns).cast(dict(expected.schema))
    assert found.sort(found.columns).equals(expected.sort(found.columns))


@pytest.mark.filterwarnings("ignore::pandas.errors.Pandas4Warning")
@pytest.mark.parametrize("version", [0, 1])
@pytest.mark.parametrize("table", VALUES)
@pytest.mark.parametrize("name", ["polars", "pandas", "duckdb and deltalake", "duckdb alone"])
def test_an_example_finds_the_rows_of_that_version(tables: Lake, name: str, table: str, version: int) -> None:
    _list_files(table, version)
    names: dict[str, Any] = {}
    exec(_example(name, table, version), names)  # noqa: S102  of our own page
    rows = names["rows"]
    _require_equal(rows if isinstance(rows, pl.DataFrame) else pl.from_pandas(rows), _expected(tables, table, version))


@pytest.mark.filterwarnings("ignore::pandas.errors.Pandas4Warning")
def test_dask_reads_the_files_of_a_version(tables: Lake) -> None:
    pytest.importorskip("dask.dataframe")
    _list_files("predictions", 1)
    names: dict[str, Any] = {}
    exec(_example("dask", "predictions", 1), names)  # noqa: S102  of our own page
    columns = ["date", "subject", "start", "activity", "confidence"]
    found = pl.from_pandas(names["rows"][columns].reset_index(drop=True))
    _require_equal(found, _expected(tables, "predictions", 1).select(columns))


@needs_moto
@pytest.mark.stack
@pytest.mark.release
@pytest.mark.parametrize("version", [0, 1])
def test_the_same_on_object_storage(project: Path, monkeypatch: pytest.MonkeyPatch, version: int) -> None:
    place = bucket(monkeypatch)
    monkeypatch.chdir(project)
    monkeypatch.setenv("HAR_PATHS__LAKE", str(place))
    monkeypatch.setenv("HAR_STORAGE__ENDPOINT", place.service.endpoint)
    lake = _fill(open_project().lake)
    code = _example("object storage", "predictions", version).replace("s3://bucket/lake", str(place))
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    names: dict[str, Any] = {}
    exec(code.replace("https://s3.example.org", place.service.endpoint), names)  # noqa: S102  of our own page
    _require_equal(names["rows"], _expected(lake, "predictions", version))
    counts = {(date, subject): count for date, subject, count in names["counts"].rows()}
    assert counts == lake.predictions.counts(version=version)
    _list_files("predictions", version)
    listed = json.loads(Path("predictions.json").read_text(encoding="utf-8"))
    assert {(file["date"], file["subject"], file["rows"]) for file in listed["files"]} == {
        (date.isoformat(), subject, count)
        for (date, subject), count in lake.predictions.counts(version=version).items()
    }
    files = [file["path"] for file in listed["files"]]
    assert all(path.startswith(f"{place}/predictions/date=") for path in files)
    found = pl.scan_parquet(files, **place.polars, missing_columns="insert", extra_columns="ignore")
    assert found.select(pl.len()).collect().item() == sum(counts.values())


def test_duckdb_reads_delta_where_its_extension_is_there(tables: Lake) -> None:
    import duckdb

    try:
        duckdb.sql("SET autoinstall_known_extensions = false")
        duckdb.sql("LOAD delta")
    except duckdb.Error as error:
        pytest.skip(f"DuckDB's extension delta is not installed: {error}")
    (code,) = re.findall(r"^```sql\n(.*?)^```$", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    found = dict(duckdb.sql(code.split(";")[2]).fetchall())
    assert found == dict(tables.predictions.read().group_by("subject").len().rows())


@pytest.mark.stack
@pytest.mark.release
@pytest.mark.timeout(300)
@pytest.mark.skipif(not SPARK_PYTHON or not shutil.which("java"), reason="needs pyspark (SPARK_PYTHON) and Java")
@pytest.mark.parametrize("name", ["spark alone", "spark with delta"])
def test_spark_finds_the_same_rows(tables: Lake, name: str) -> None:
    if name == "spark with delta" and not _delta_jars():
        pytest.skip("Delta's jars are not on this machine")
    code = []
    for table in VALUES:
        for version in (0, 1):
            _list_files(table, version)
            Path(f"{table}.json").rename(f"{table}-{version}.json")
            code.append(_example(name, table, version).replace(f'"{table}.json"', f'"{table}-{version}.json"'))
            code.append(f'rows.coalesce(1).write.parquet("spark-{table}-{version}")')
    Path("spark.py").write_text("\n".join(code), encoding="utf-8")
    environment = {**os.environ, "SPARK_LOCAL_IP": "127.0.0.1", "PYSPARK_SUBMIT_ARGS": _SUBMIT, "TZ": "UTC"}
    done = subprocess.run([SPARK_PYTHON, "spark.py"], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    for table in VALUES:
        for version in (0, 1):
            found = pl.read_parquet(f"spark-{table}-{version}/*.parquet", hive_partitioning=False)
            _require_equal(found, _expected(tables, table, version))


_SUBMIT = "--master local[2] --conf spark.ui.enabled=false --conf spark.sql.session.timeZone=UTC pyspark-shell"


def _delta_jars() -> list[Path]:
    """Where the jars of Delta can lie: beside pyspark, or in Ivy's cache after an earlier start."""
    jars = next(Path(SPARK_PYTHON).parents[1].glob("lib/python*/site-packages/pyspark/jars"), Path("no pyspark"))
    caches = [jars, *(Path.home() / name / "jars" for name in (".ivy2", ".ivy2.5.2"))]
    return [jar for folder in caches for jar in folder.glob("*delta-spark*.jar")]
