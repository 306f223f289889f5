"""Where the tables are that `POST /score/table` may score."""

from __future__ import annotations

from pathlib import Path

import pytest

from bentos.batch._http import data_folder
from har.errors import RequestError
from har.settings import load_settings


def test_a_mounted_folder_else_the_lake_if_it_is_one(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert data_folder(load_settings(project)) == project / "lake"
    monkeypatch.setenv("HAR_PATHS__LAKE", "s3://bucket/lake")
    with pytest.raises(
        RequestError, match=r"the lake is at s3://bucket/lake. Send the samples .* POST /score;"
    ) as told:
        data_folder(load_settings(project))
    assert told.value.status == 404
    monkeypatch.setenv("HAR_DATA", "/data")
    assert data_folder(load_settings(project)) == Path("/data")
