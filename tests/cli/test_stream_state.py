"""`har baselines`, `har stream history` and `har stream rebuild` as people type them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from postgres_support import postgres
from rich.console import Console
from stream_lake_support import put_days

from har.lake import Lake
from har.settings import Settings
from har.streaming.state import HOT_FILE
from har_cli import main

Har = Callable[..., tuple[int, str]]


@pytest.fixture
def har(project: object, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Har:
    """Run `har` in this process: its exit status, and what it printed with single blanks."""
    monkeypatch.setattr("har_cli.stream_state.out", Console(width=200))

    def run(*words: str) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", ["har", *words])
        with pytest.raises(SystemExit) as end:
            main()
        printed = capsys.readouterr()
        return int(end.value.code or 0), " ".join((printed.out + printed.err).split())

    return run


def test_baselines_are_written_and_shown_as_they_were_known(har: Har, lake: Lake) -> None:
    put_days(lake, (0, "S01", 30, "PEN"), (1, "S01", 30, "ABD"))

    assert har("baselines") == (
        0,
        "2 baselines written, of 2 days with newer predictions; the hot store has those of 0 subjects.",
    )
    assert har("baselines")[1].startswith("0 baselines written")
    status, now = har("baselines", "S01")
    assert status == 0
    assert "share.ABD │ 0.500" in now and "Of 2 days with measurements, the newest 2026-03-02." in now
    assert "share.ABD │ 0.000" in har("baselines", "S01", "--at", "2026-03-02")[1]


def test_nothing_known_is_an_error_that_says_what_to_do(har: Har, lake: Lake) -> None:
    put_days(lake, (0, "S01", 30, "PEN"))
    har("baselines")

    status, said = har("baselines", "S02")
    assert status != 0 and "Did you mean 'S01'?" in said
    status, said = har("baselines", "S01", "--at", "2026-03-01")
    assert status != 0 and "a scored day of this subject before that date" in said, "the day itself is not known"


def test_the_history_is_made_ready_and_shown(har: Har, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    status, said = har("stream", "history")
    assert status != 0 and "stream.history.address: expected the address of a Postgres database" in said
    with postgres() as server:
        monkeypatch.setenv("HAR_STREAM__HISTORY__ADDRESS", server.address.replace("+psycopg", ""))
        status, said = har("stream", "history")
    assert status == 0, said
    assert "Partitions of 4 days" in said and "Newest window: none yet." in said
    status, said = har("stream", "history")
    assert status != 0 and "StateError" in said and "Start the server" in said


def test_the_hot_store_is_rebuilt(har: Har, settings: Settings) -> None:
    assert har("stream", "rebuild") == (
        0,
        "The hot store has 0 subjects with 0 answers of the lake, and the baselines of 0.",
    )
    assert (settings.path("stream") / HOT_FILE).exists()
