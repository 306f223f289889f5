"""The page about a release tells at a glance how it ended, who was served when, what failed, and what was judged."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from page_support import Page
from story_support import BEGAN, answers, promoted, rolled_back

from har.pages import render_release, write_release


def words(source: str) -> str:
    return Page(source).words.replace("\N{NO-BREAK SPACE}", " ")


def test_a_release_that_was_taken_back_says_so_first_and_how_fast() -> None:
    said = words(render_release(rolled_back(), answers(), title="house"))
    start = said.index("house: release of version 3", said.index("All pages"))
    head = said[start:][:260]
    assert "rolled back Version 2 serves everybody." in head
    assert "rolled back at 25 %: half fails" in head
    assert "Largest share 25 %" in said
    assert "Failed answers, version 3 8 withdrawn 2.4 s after the first" in said
    assert "Failed answers, version 2 0" in said


def test_a_good_release_names_its_steps_with_the_verdict_that_ended_each() -> None:
    page = Page(render_release(promoted(), title="house"))
    said = page.words.replace("\N{NO-BREAK SPACE}", " ")
    assert "promoted Version 3 serves everybody in place of version 2." in said
    assert "shadow 08:00:04 10 s 0 % passed 5 %: all 2 checks passed (the judge)" in said
    assert "5 % 08:00:14 16 s 5 % passed" in said
    assert "everybody 08:00:40 4 s 100 % –" in said
    assert "What the versions answered was not counted" in said
    (chart,) = page.charts
    assert "08:00:04 shadow; 08:00:14 5 %; 08:00:30 50 %; 08:00:40 everybody" in chart.description


def test_every_compared_figure_is_there_with_limit_count_and_sentence() -> None:
    said = words(render_release(rolled_back(), title="house"))
    assert "25 % failed failed 0.50 0.020 24 6 failed: 12 of 24 requests of the last 10 s failed" in said
    assert "5 % accuracy passed −0.0040 −0.050 240 6 accuracy: at most 0.4 points below" in said


def test_a_release_under_way_has_no_end_yet() -> None:
    said = words(render_release(promoted()[:3], title="house"))
    assert "under way Version 3 is being released beside version 2." in said


def test_a_version_that_never_started_has_a_page_too() -> None:
    end = replace(rolled_back()[-1], when=BEGAN + 2, step="", share=0.0, sentence="rolled back: it did not start")
    said = words(render_release([rolled_back()[0], end], title="house"))
    assert "No subject was served by the new version." in said and "it did not start" in said


def test_it_is_listed_newest_first(tmp_path: Path) -> None:
    write_release(tmp_path, rolled_back(), title="house")
    later = [replace(line, release="v4-1767700000000", version=4) for line in promoted()]
    page = write_release(tmp_path, later, title="house")
    assert page == tmp_path / "releases" / "v4-1767700000000.html"
    links = [link for link in Page((tmp_path / "index.html").read_text()).links if link.startswith("releases/")]
    assert links == ["releases/v4-1767700000000.html", "releases/v3-1767600000000.html"]


def test_names_and_sentences_do_no_harm() -> None:
    evil = "<script>alert(1)</script>"
    lines = [replace(line, sentence=evil, who=evil, step=evil) for line in rolled_back()]
    assert evil not in render_release(lines, title=evil)
