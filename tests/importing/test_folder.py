"""What lies in a folder to import: names in any case, odd entries, archives; all that is passed over is named."""

from __future__ import annotations

import gzip
import os
import shutil
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from fit_support import ACCELEROMETER, EPOCH_S, batches, file_id, write_fit
from import_support import Look, put, rows_of

from har.errors import NotARecordingError, SettingsError
from har.importing import Survey
from har.recordings.layouts import csv


def _passed(result: Survey) -> dict[str, tuple[int, tuple[str, ...]]]:
    return {one.what: (one.count, one.examples) for one in result.passed}


def test_names_in_any_case_are_read_and_others_named(tmp_path: Path, signal: np.ndarray, look: Look) -> None:
    for name in ("S01_A.CSV", "s02_b.csv", "S03_C.TXT", "s05_e.Csv"):
        put(tmp_path, rows_of(signal[:300]), name)
    tabs = put(tmp_path, rows_of(signal[:300]), "s04_d.tsv")
    tabs.write_text(tabs.read_text().replace(",", "\t"))
    data = tmp_path / "data"
    for number in range(5):
        (data / f"notes{number}.xlsx").write_text("x")
    (data / "README").write_text("x")
    (data / "more").mkdir()
    (data / "more" / "all.zip").write_text("x")
    result = look()
    assert [one.file.subject for one in result.staged] == ["S01", "S03", "s02", "s04", "s05"]
    assert _passed(result) == {
        ".xlsx files": (5, ("notes0.xlsx", "notes1.xlsx", "notes2.xlsx")),
        ".zip files": (1, ("more/all.zip",)),
        "files without an extension": (1, ("README",)),
    }
    assert str(result.passed[0]).endswith("…): export each sheet as CSV")


def test_parquet_and_fit_files_in_capitals_are_read(tmp_path: Path, signal: np.ndarray, look: Look) -> None:
    path = put(tmp_path, rows_of(signal[:300]))
    pl.read_csv(path).with_columns(pl.from_epoch("t", "ms").alias("t")).write_parquet(path.with_name("s02_b.PARQUET"))
    options = {"time": "t", "accelerometer": "ax,ay,az", "gyroscope": "gx,gy,gz", "activity": "what"}
    result = look("parquet", options=options)
    assert [one.file.subject for one in result.staged] == ["s02"]
    assert _passed(result) == {".csv files": (1, ("s01_a.csv",))}
    shutil.rmtree(tmp_path / "data")
    times = (1_714_986_000 - EPOCH_S) * 1000 + np.arange(300) * 20
    (tmp_path / "data").mkdir()
    write_fit(
        tmp_path / "data" / "S01_A.FIT",
        [file_id(), *batches(ACCELEROMETER, times, signal[:300, :3], (5, 6, 7), "float32")],
    )
    result = look("garmin-fit")
    assert "[sensors.gyroscope]" in result.refused[0].error.remedy  # it was read


def test_odd_entries_are_named_and_never_opened(tmp_path: Path, signal: np.ndarray, look: Look) -> None:
    put(tmp_path, rows_of(signal[:300]))
    outside = tmp_path / "outside"
    outside.mkdir()
    shutil.copy(tmp_path / "data" / "s01_a.csv", outside / "s02_secret.csv")
    data = tmp_path / "data"
    (data / "s02_b.csv").symlink_to(outside / "s02_secret.csv")
    (data / "folder").symlink_to(outside)
    (data / "loop").symlink_to(data)
    (data / "s03_c.csv").symlink_to(data / "gone.csv")
    (data / "s04_d.csv").symlink_to(data / "s04_d.csv")
    (data / "s05_e.csv").symlink_to("s01_a.csv")
    os.mkfifo(data / "s06_f.csv")
    (Path(os.fsdecode(os.fsencode(data) + b"/s07_\xff.csv"))).write_text("x")
    result = look()
    assert [one.file.subject for one in result.staged] == ["s01", "s05"]
    assert result.refused == []
    assert _passed(result) == {
        "links that lead out of the folder": (2, ("folder", "s02_b.csv")),
        "broken links": (2, ("s03_c.csv", "s04_d.csv")),
        "links to folders": (1, ("loop",)),
        "entries that are no files": (1, ("s06_f.csv",)),
        "names that are not UTF-8": (1, ("s07_\\udcff.csv",)),
    }


def test_archives_and_other_kinds_are_refused_unopened(tmp_path: Path, signal: np.ndarray, look: Look) -> None:
    put(tmp_path, rows_of(signal[:300]))
    data = tmp_path / "data"
    with zipfile.ZipFile(data / "s02_zip.csv", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("../../../escaped.csv", b"0" * 50_000_000)
    with zipfile.ZipFile(data / "s03_xlsx.csv", "w") as archive:
        archive.writestr("[Content_Types].xml", "x")
    (data / "s04_gzip.csv").write_bytes(gzip.compress(b"1,2,3\n" * 5_000_000))
    with tarfile.open(data / "s05_tar.csv", "w") as tar:
        tar.add(data / "s01_a.csv", "../s01_a.csv")
    (data / "s06_xls.csv").write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600))
    (data / "s07_pickle.csv").write_bytes(b"\x80\x04\x95")
    pl.DataFrame({"t": [1]}).write_parquet(data / "s08_parquet.csv")
    result = look()
    assert [one.file.subject for one in result.staged] == ["s01"]
    reasons = {Path(one.source).stem[4:]: str(one.error) for one in result.refused}
    for kind, words in {
        "zip": "a zip archive. Unpack it",
        "xlsx": "Export its sheet as CSV",
        "gzip": "a gzip archive. Unpack it",
        "tar": "a tar archive. Unpack it",
        "xls": "Export its sheet as CSV",
        "pickle": "never opened",
        "parquet": "har import parquet",
    }.items():
        assert words in reasons.pop(kind)
    assert reasons == {}
    assert not list(tmp_path.parent.rglob("escaped.csv"))


def test_a_parquet_bomb_is_refused_before_it_is_unpacked(tmp_path: Path, look: Look) -> None:
    (tmp_path / "data").mkdir()
    path = tmp_path / "data" / "s01_a.parquet"
    zeros = pl.repeat(0.0, 5_000_000, eager=True)
    pl.DataFrame(dict.fromkeys(("t", "ax", "ay", "az", "gx", "gy", "gz"), zeros)).write_parquet(path)
    assert path.stat().st_size < 1_000_000
    columns = {"time": "t", "time-unit": "s", "accelerometer": "ax,ay,az", "gyroscope": "gx,gy,gz"}
    error = look("parquet", options=columns).refused[0].error
    assert isinstance(error, NotARecordingError)
    assert "5,000,000 rows" in error.got


def test_a_folder_without_files_of_the_layout_says_what_is_there(tmp_path: Path, look: Look) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.xlsx").write_text("x")
    with pytest.raises(SettingsError, match=r"1 \.xlsx file \(a\.xlsx\): export each sheet as CSV"):
        look()


def test_an_unforeseen_error_in_one_file_is_that_files(
    tmp_path: Path, signal: np.ndarray, look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, rows_of(signal[:300]))
    put(tmp_path, rows_of(signal[:300]), "s02_a.csv")
    put(
        tmp_path,
        [row.translate(str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩")) for row in rows_of(signal[:300])],
        "s03_a.csv",
    )
    real = csv.open_text

    def broken(path: Path, where: str, form: object) -> object:
        if path.name == "s02_a.csv":
            raise ZeroDivisionError("division by zero")
        return real(path, where, form)  # type: ignore[arg-type]

    monkeypatch.setattr(csv, "open_text", broken)
    result = look()
    assert [one.file.subject for one in result.staged] == ["s01"]
    reasons = {Path(one.source).name: str(one.error) for one in result.refused}
    assert "ZeroDivisionError: division by zero" in reasons["s02_a.csv"]
    assert "a fault in the reader csv" in reasons["s02_a.csv"]
    assert "numbers in ax" in reasons["s03_a.csv"]


def test_a_file_that_fails_late_leaves_nothing_behind(tmp_path: Path, signal: np.ndarray, look: Look) -> None:
    rows = [
        f"{row},{'' if number == 899 else 'p1' if number < 450 else 'p2'}" for number, row in enumerate(rows_of(signal))
    ]
    path = put(tmp_path, rows)
    path.write_text(path.read_text().replace("what\n", "what,who\n", 1))
    result = look(options={"subject": "who"})
    assert (result.staged, len(result.refused)) == ([], 1)
    assert "a subject in every row" in str(result.refused[0].error)
    assert result.labels.samples == {}
    assert not [*(tmp_path / "staging").rglob("*.parquet")]
    assert not [name for name in result.faults if not name.startswith("refused")]
