"""The static page of the running system: what is beyond its limit stands first, and every figure says what it shows."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

from page_support import Page
from story_support import BEGAN, figures

from har.pages import FigureBox, render_board

AT = dt.datetime.fromtimestamp(BEGAN + 1800, dt.UTC)


def page(found: list[FigureBox]) -> Page:
    return Page(render_board(found, title="house: operations", at=AT, span_s=1800, state="v2 serves."))


def calm(figure: FigureBox) -> FigureBox:
    return replace(figure, curves=tuple(replace(curve, look=None) for curve in figure.curves))


def test_what_is_beyond_its_limit_is_said_first() -> None:
    said = page(figures()).words.replace("\N{NO-BREAK SPACE}", " ")
    assert "2 figures beyond its limit Alerts that fire, Failed share by version." in said
    assert "Nothing beyond its limit" in page([calm(figure) for figure in figures()]).words
    assert "v2 serves." in said and "2026-01-05 08:30 UTC; courses go back 30 min" in said


def test_each_course_has_a_chart_with_its_newest_values_and_a_reason_where_it_has_none() -> None:
    shown = page(figures())
    assert len(shown.charts) == 2
    assert "version 2: 0.2" in shown.charts[0].description and "version 3: 0.7" in shown.charts[0].description
    assert "and 2 more" in shown.words
    assert "nothing: without labels" in shown.words and "Nothing: before the first run." in shown.words


def test_without_figures_there_is_a_page_all_the_same() -> None:
    assert "Nothing beyond its limit" in page([]).words
