"""The page as a browser without a network meets it: parsed, not grepped."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import matplotlib as mpl
import pytest

from har.evaluation import Evaluation, Latency, Outcome, evaluate
from har.pages import render_report, write_report

MakeOutcome = Callable[..., Outcome]
FACTS = {"Model version": "12", "Data": "samples@7"}
LOADING = {"src", "href", "xlink:href", "srcset", "data", "action", "poster", "background"}
VOID = {"meta", "br", "link", "img", "hr", "input"}


class _Page(HTMLParser):
    """Tags in order, what they load, text by tag; complains about tags that do not close."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.loads: list[str] = []
        self.text: list[str] = []
        self.styles: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.loads += [value or "" for name, value in attrs if name in LOADING]
        self.styles += [value or "" for name, value in attrs if name in {"style", "clip-path"}]
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] == "style":
            self.styles.append(data)
        else:
            self.text.append(data)

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.tags)

    @property
    def words(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.text))


@pytest.fixture
def judged(outcome: MakeOutcome) -> Evaluation:
    return evaluate(outcome())


@pytest.fixture(scope="module")
def text(outcome: MakeOutcome) -> str:
    return render_report(evaluate(outcome()), title="Report", facts=FACTS)


def test_opens_offline(text: str) -> None:
    page = _Page(text)
    assert [target for target in page.loads if not target.startswith("#")] == []
    for style in page.styles:
        assert "@import" not in style
        assert re.findall(r"url\((?!#)", style) == []
    assert not {"script", "link", "iframe", "object", "embed"} & {tag for tag, _ in page.tags}


def test_shows_four_pictures_with_words_for_each(text: str) -> None:
    pictures = [ElementTree.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", text, re.DOTALL)]  # noqa: S314
    assert len(pictures) == 4
    for svg in pictures:
        title = svg.find("{http://www.w3.org/2000/svg}title")
        assert svg.get("role") == "img"
        assert title is not None
        assert title.text
        assert svg.get("aria-labelledby") == title.get("id")
    identities = re.findall(r'\bid="([^"]*)"', text)
    assert len(identities) == len(set(identities))
    assert set(re.findall(r'(?:url\(|href=")#([^")]*)', text)) <= set(identities)


def test_pictures_take_the_colours_of_the_page(text: str) -> None:
    """A colour of its own would vanish in one of the two themes."""
    for svg in re.findall(r"<svg.*?</svg>", text, re.DOTALL):
        assert re.findall(r"#[0-9a-f]{6}", svg) == []
        for variable in set(re.findall(r"var\((--[a-z-]+)\)", svg)):
            assert text.count(f"{variable}:") == 3, "light, dark and print"


def test_counts_and_figures_are_there(judged: Evaluation) -> None:
    latency = Latency(p50_us=57.2, p99_us=131.0, batch_windows_per_s=59123.4, runs=500)
    page = _Page(render_report(judged, title="Report", facts=FACTS, latency=latency))
    assert f"{100 * judged.accuracy:.1f} %" in page.words
    assert f"{100 * judged.accuracy_low:.1f} to {100 * judged.accuracy_high:.1f} %" in page.words
    for row in judged.confusion:
        for count in row:
            assert not count or f" {count} " in page.words
    for expected in (*judged.activities, *(row.subject for row in judged.subjects), *FACTS, *FACTS.values(), "57 µs"):
        assert expected in page.words
    headings = [attributes for tag, attributes in page.tags if tag == "th"]
    assert headings
    assert all(heading.get("scope") in {"row", "col"} for heading in headings)
    assert page.count("caption") == page.count("table") == 3


def test_verdict_comes_first(text: str) -> None:
    words = _Page(text).words
    assert words.index("95 % interval") < words.index("What is taken for what")


def test_champion_is_set_beside(outcome: MakeOutcome, text: str) -> None:
    better, champion = evaluate(outcome(skill=3)), evaluate(outcome(skill=2))
    with_champion = render_report(better, title="Report", facts=FACTS, champion=champion)
    words = _Page(with_champion).words
    assert f"accuracy changes by {100 * (better.accuracy - champion.accuracy):+.1f} points" in words
    assert f"champion {100 * champion.accuracy:.1f} %" in words
    assert "champion" not in text


def test_every_name_is_escaped(outcome: MakeOutcome) -> None:
    evil = "<script>alert('x')</script>"
    given = outcome(activities=(evil, "a & b", '"$x$"', "_c"), subjects=1)
    subjects = given.subjects.astype(object)
    subjects[:] = evil
    judged = evaluate(Outcome(given.labels, given.probabilities, subjects.astype(str), given.activities))
    page = _Page(render_report(judged, title=evil, facts={evil: evil}))
    assert page.count("script") == 0
    # Title, heading, tile, fact's name and value, tables of activities and subjects, bars, and twice beside the matrix.
    assert page.words.count(evil) >= 9
    for name in given.activities:
        assert page.words.count(name) >= 3


def test_equal_input_gives_equal_bytes(outcome: MakeOutcome, text: str) -> None:
    with mpl.rc_context({"font.size": 30, "axes.facecolor": "red", "svg.fonttype": "path"}):
        second = render_report(evaluate(outcome()), title="Report", facts=FACTS)
        assert mpl.rcParams["font.size"] == 30
    assert text == second


def test_one_subject_and_a_missing_class(certain: MakeOutcome) -> None:
    judged = evaluate(certain([0, 0, 1], [0, 1, 1], ["s1"] * 3, ("walk", "sit", "jump")))
    words = _Page(render_report(judged, title="Report", facts={})).words
    assert "one subject: an interval for others cannot be given" in words
    assert "–" in words


def test_perfect_and_hopeless(certain: MakeOutcome) -> None:
    for answers in ([0, 1], [1, 0]):
        judged = evaluate(certain([0, 1], answers, ["s1", "s2"], ("walk", "sit")))
        assert f"{100 * judged.accuracy:.1f} %" in _Page(render_report(judged, title="Report", facts={})).words


def test_many_activities_and_foreign_scripts(outcome: MakeOutcome) -> None:
    """Names that matplotlib's own font cannot draw are no reason to warn: the browser draws them."""
    names = (*(f"WALKING_DOWNSTAIRS_{index}" for index in range(15)), "歩く")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        page = _Page(render_report(evaluate(outcome(activities=names, subjects=30)), title="Bericht", facts={}))
    assert page.words.count("歩く") >= 3


def test_runs_are_said(outcome: MakeOutcome) -> None:
    judged = evaluate([outcome(seed) for seed in range(3)])
    assert "Means over 3 runs" in _Page(render_report(judged, title="Report", facts={})).words


def test_writes_page_and_numbers(judged: Evaluation, tmp_path: Path) -> None:
    html, numbers = write_report(judged, tmp_path / "new" / "v1.2", title="Größe", facts=FACTS)
    assert (html.name, numbers.name) == ("v1.2.html", "v1.2.json")
    assert html.read_text(encoding="utf-8") == render_report(judged, title="Größe", facts=FACTS)
    written = json.loads(numbers.read_text(encoding="utf-8"))
    assert (written.pop("title"), written.pop("facts"), written.pop("latency")) == ("Größe", FACTS, None)
    assert Evaluation.from_json(written) == judged
    assert sorted(path.name for path in html.parent.iterdir()) == ["v1.2.html", "v1.2.json"]


def test_writes_the_figures_asked_for(judged: Evaluation, tmp_path: Path) -> None:
    _, numbers = write_report(judged, tmp_path / "evaluation", title="t", facts={}, figures=judged.flat())
    assert json.loads(numbers.read_text()) == judged.flat()
