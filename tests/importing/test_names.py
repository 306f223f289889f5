"""Names of subjects and sessions: kept in all scripts, and never made equal."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path
from typing import Annotated

import numpy as np
import polars as pl
import pytest
from import_support import Look, put, rows_of
from pydantic import Field, TypeAdapter, ValidationError

from bentos.online import _schema
from har import log_lines
from har.errors import ConflictingRecordingError, FileNameError
from har.importing import write
from har.jobs.ingest import ingest_files
from har.lake import Lake
from har.recordings import inbox_files
from har.settings import Settings

PATTERN = {"pattern": "{subject}/{session}.csv"}
PEOPLE = ["田中", "鈴木", "佐藤", "Zoë", "Zoé", "Ольга", "محمد", "हिन्दी", "김철수", "s01"]


def _people(tmp_path: Path, signal: np.ndarray, *names: str, session: str = "take1") -> None:
    for number, name in enumerate(names):
        put(tmp_path, rows_of(signal[10 * number :][:300]), f"{name}/{session}.csv")


def test_names_of_all_scripts_reach_the_lake_as_they_are(
    tmp_path: Path, settings: Settings, lake: Lake, signal: np.ndarray, look: Look
) -> None:
    _people(tmp_path, signal, *PEOPLE)
    result = look(options=PATTERN)
    assert (result.refused, result.renamed) == ([], {})
    write(result, settings.path("inbox"))
    files, strays = inbox_files(settings.path("inbox"))
    assert strays == []
    report = ingest_files(lake, settings, files)
    assert not report.quarantined
    counts = dict(lake.samples.read().group_by("subject").len().iter_rows())
    assert counts == dict.fromkeys((unicodedata.normalize("NFC", name) for name in PEOPLE), 300)
    (one,) = [partition for partition in lake.contents() if partition[1] == "田中"]
    lake.samples.replace(lake.samples.read().filter(pl.col("subject") == "田中").head(10), [one])
    assert len(lake.samples.read().filter(pl.col("subject") == "田中")) == 10


def test_a_name_with_decomposed_letters_is_the_same_person(tmp_path: Path, signal: np.ndarray, look: Look) -> None:
    put(tmp_path, rows_of(signal[:300]), f"{unicodedata.normalize('NFD', 'Zoé')}/a.csv")
    put(tmp_path, rows_of(signal[:300]), f"{unicodedata.normalize('NFC', 'Zoé')}/b.csv")
    result = look(options=PATTERN)
    assert result.refused == []
    assert {one.file.subject for one in result.staged} == {"Zoé"}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("anna_1", "anna 1"),
        ("Anna", "anna"),
        ("a!", "a?"),
        (".anna", "anna"),
        ("Straße", "STRASSE"),
    ],
)
def test_two_names_that_the_inbox_would_make_one_are_both_refused(
    tmp_path: Path, signal: np.ndarray, look: Look, one: str, other: str
) -> None:
    _people(tmp_path, signal, one, other, "ben")
    result = look(options=PATTERN)
    assert [staged.file.subject for staged in result.staged] == ["ben"]
    assert len(result.refused) == 2
    for refused in result.refused:
        assert isinstance(refused.error, ConflictingRecordingError)
        assert repr(one) in refused.error.got
        assert repr(other) in refused.error.got
    assert not [path for path in (tmp_path / "staging").rglob("*.parquet") if "ben" not in path.name]


def test_a_name_that_must_change_is_reported(tmp_path: Path, signal: np.ndarray, look: Look) -> None:
    _people(tmp_path, signal, "anna_1", "ben")
    assert look(options=PATTERN).renamed == {"anna_1": "anna-1"}


def test_a_subject_of_the_inbox_in_other_case_is_named(
    tmp_path: Path, settings: Settings, signal: np.ndarray, look: Look
) -> None:
    _people(tmp_path, signal, "Anna")
    write(look(options=PATTERN), settings.path("inbox"))
    (tmp_path / "data" / "Anna").rename(tmp_path / "data" / "anna")
    result = look(options=PATTERN)
    assert result.staged == []
    assert "the inbox has 'Anna'" in result.refused[0].error.got


def test_sessions_that_would_be_one_file_are_refused(tmp_path: Path, signal: np.ndarray, look: Look) -> None:
    for session in ("朝", "夜", "take 1", "take-1", "Take-1"):
        _people(tmp_path, signal, "anna", session=session)
    result = look(options=PATTERN)
    assert sorted(one.file.session for one in result.staged) == sorted(["朝", "夜", "Take-1"])
    assert [type(one.error) for one in result.refused] == [ConflictingRecordingError] * 2
    assert all("Take-1.csv" in one.error.got for one in result.refused)


@pytest.mark.parametrize("name", ["s" * 65, "田" * 28, "!!!", "👍", "ａｎｎａ", "𠮷田", "ẹ\u0301"])
def test_names_that_cannot_be_kept_are_refused(tmp_path: Path, signal: np.ndarray, look: Look, name: str) -> None:
    _people(tmp_path, signal, name, "ben")
    result = look(options=PATTERN)
    assert [one.file.subject for one in result.staged] == ["ben"]
    assert isinstance(result.refused[0].error, FileNameError)
    assert repr(name) in result.refused[0].error.got


def test_the_service_the_journal_and_the_inbox_have_one_rule() -> None:
    assert (_schema.SUBJECT, _schema.SESSION) == (log_lines.SUBJECT, log_lines.SESSION)
    assert _schema.REQUEST_ID == log_lines.REQUEST_ID
    adapter = TypeAdapter(Annotated[str, Field(pattern=log_lines.SUBJECT)])
    for name in [*PEOPLE, "s" * 64, "田" * 27, "a.b-c"]:
        name = unicodedata.normalize("NFC", name)
        assert re.fullmatch(log_lines.SUBJECT, name)
        assert adapter.validate_python(name) == name
    for name in [
        "",
        "s" * 65,
        "田" * 28,
        "𠮷" * 21,
        "a b",
        "a_b",
        "a\n",
        "a/b",
        "e\u0301",
        "a\u200bb",
        "\u3164",
        "a\u202eb",
        "x\x00",
    ]:
        assert not re.fullmatch(log_lines.SUBJECT, name)
        with pytest.raises(ValidationError):
            adapter.validate_python(name)


def test_every_valid_subject_fits_a_partition_folder() -> None:
    for letter in ("s", "é", "田"):
        longest = next(count for count in range(64, 0, -1) if re.fullmatch(log_lines.SUBJECT, letter * count))
        encoded = sum(1 if letter.isascii() else 3 for _ in (letter * longest).encode())
        assert len("subject=") + encoded <= 255
