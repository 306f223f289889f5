"""The page about one release: who was served by which version when, what failed, and what was judged and why.

It is made of the lines that the release wrote (`har.release.Record`); what versions answered per second is added where
somebody counted it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from markupsafe import Markup

from har.files import write_atomically
from har.pages import _formatting as formatting
from har.pages._index import write_index
from har.pages._render import render

FOLDER = "releases"
_NO_MEASURES: tuple[Mapping[str, Any], ...] = ()


class Event(Protocol):
    """What happened to a release, as `har.release.Record` has it."""

    @property
    def when(self) -> float:
        """Seconds since 1970."""

    @property
    def release(self) -> str:
        """The release's id."""

    @property
    def version(self) -> int:
        """That is released."""

    @property
    def former(self) -> int:
        """That served before; 0: nothing did."""

    @property
    def what(self) -> str:
        """started, advanced, held, promoted, ended, paused, resumed."""

    @property
    def step(self) -> str:
        """Name of the step."""

    @property
    def share(self) -> float:
        """Of the subjects whom the new version serves, 0 to 1; of an end: until then."""

    @property
    def sentence(self) -> str:
        """What happened, and why."""

    @property
    def verdict(self) -> str:
        """About the step that ends; "" where nothing was judged."""

    @property
    def measures(self) -> Sequence[Mapping[str, Any]]:
        """What was compared: name, value, limit, n, subjects, verdict, reason."""

    @property
    def outcome(self) -> str:
        """Of an end: promoted, rolled back, held too long, aborted."""

    @property
    def who(self) -> str:
        """Who decided."""


@dataclass(frozen=True)
class Answers:
    """What one version answered over time.

    Attributes:
        version: of the model.
        points: (seconds since 1970, answers per second, failed ones of them per second), in the order of time.
        exact: counted as they came; False: a mean over a time before each moment, as Prometheus has it.
    """

    version: int
    points: tuple[tuple[float, float, float], ...]
    exact: bool = False

    @property
    def failed(self) -> float:
        """About how many failed in all."""
        steps = zip(self.points, self.points[1:], strict=False)
        return sum(one[2] * (after[0] - one[0]) for one, after in steps) + (self.points[-1][2] if self.points else 0.0)


@dataclass
class _Step:
    """A step with what ended it."""

    name: str
    share: float
    began: float
    ended: float | None = None
    verdict: str = ""
    by: str = ""
    sentence: str = ""
    measures: Sequence[Mapping[str, Any]] = field(default_factory=tuple)


@dataclass(frozen=True)
class _Story:
    """A release as the page tells it."""

    events: Sequence[Event]
    steps: Sequence[_Step]
    outcome: str
    sentence: str
    until: float

    @property
    def began(self) -> float:
        return self.events[0].when

    @property
    def withdrawn(self) -> float | None:
        """When nobody was served by the new version any more."""
        last = self.events[-1]
        return last.when if last.outcome and last.outcome != "promoted" else None


def page_of(release: str) -> str:
    """The file of a release's page, in the folder of reports."""
    return f"{FOLDER}/{release}.html"


def write_release(reports: Path, events: Sequence[Event], answers: Sequence[Answers] = (), *, title: str) -> Path:
    """Write a release's page, and list it.

    Args:
        reports: the folder of all pages.
        events: of this release, the first one first; at least one.
        answers: of the versions during the release, where they were counted.
        title: the project's name.
    """
    path = write_atomically(reports / page_of(events[0].release), render_release(events, answers, title=title))
    write_index(reports, title=title)
    return path


def render_release(events: Sequence[Event], answers: Sequence[Answers] = (), *, title: str) -> str:
    """One self-contained HTML page; see `write_release`."""
    from har.pages._charts import style

    story = _story(events, answers)
    with style():
        picture = _chart(story, answers)
    first = events[0]
    failed = {one.version: one.failed for one in answers}
    return render(
        "release.html.j2",
        title=title,
        first=first,
        story=story,
        state={"promoted": "calm", "": "unjudged", "aborted": "alarm", "held too long": "alarm"}.get(
            story.outcome, "confirmed"
        ),
        outcome=story.outcome or "under way",
        began=_clock(story.began),
        date=dt.datetime.fromtimestamp(story.began, dt.UTC),
        took=formatting.minutes((story.until - story.began) / 60),
        largest=max((event.share for event in events), default=0.0),
        failed=failed,
        reaction=_reaction(story, answers),
        picture=picture,
        measured=any(step.measures for step in story.steps),
        clock=_clock,
        figure=_figure,
        short=_short,
        lasted=lambda step: formatting.minutes(((step.ended or story.until) - step.began) / 60),
    )


def _story(events: Sequence[Event], answers: Sequence[Answers]) -> _Story:
    steps: list[_Step] = []
    for event in events:
        if event.what in ("advanced", "promoted", "ended") and steps and steps[-1].ended is None:
            last = steps[-1]
            last.ended, last.verdict, last.by, last.sentence = event.when, event.verdict, event.who, event.sentence
            last.measures = event.measures or _NO_MEASURES
        if event.what in ("advanced", "promoted"):
            name = event.step if event.what == "advanced" else "everybody"
            steps.append(_Step(name, event.share, event.when))
        if event.what == "held" and steps:
            steps[-1].verdict, steps[-1].measures = "hold", event.measures or _NO_MEASURES
            steps[-1].sentence = event.sentence
    end = events[-1]
    outcome = end.outcome or ("promoted" if any(event.what == "promoted" for event in events) else "")
    counted = [point[0] for one in answers for point in one.points]
    return _Story(events, steps, outcome, end.sentence, max([end.when, *counted]))


def _reaction(story: _Story, answers: Sequence[Answers]) -> float | None:
    """Seconds from the new version's first failed answer to its withdrawal; None: none failed, or it stayed."""
    new = story.events[0].version
    counted = [one for one in answers if one.version == new and one.exact]
    failing = [when for one in counted for when, _, failed in one.points if failed > 0]
    if story.withdrawn is None or not failing:
        return None
    return max(0.0, story.withdrawn - failing[0])


def _clock(seconds: float) -> str:
    return f"{dt.datetime.fromtimestamp(seconds, dt.UTC):%H:%M:%S}"


def _short(sentence: str, verdict: str, measures: Sequence[Mapping[str, Any]]) -> str:
    """A sentence of a table: what every check says in turn is in the table of compared figures."""
    if verdict == "pass" and len(measures) > 1:
        return f"{sentence.partition(': ')[0]}: all {len(measures)} checks passed"
    return sentence


def _figure(value: object) -> str:
    if value is None:
        return formatting.NOTHING
    if isinstance(value, bool | str):
        return str(value)
    if isinstance(value, int):
        return formatting.count(value)
    return formatting.digits(float(value))  # type: ignore[arg-type]


_WIDTH, _LEFT, _RIGHT = 1140, 62, 150
_SHARE, _ANSWERS, _FAILED, _GAP, _AXIS = 170, 110, 80, 26, 34


def _chart(story: _Story, answers: Sequence[Answers]) -> Markup:
    """Three charts above one axis of time: the share with its verdicts, answers by version, failed ones by version."""
    from har.pages._charts import MUTED, new_figure, svg

    counted = [one for one in answers if one.points]
    heights = [_SHARE, *([_ANSWERS, _FAILED] if counted else [])]
    height = sum(heights) + _GAP * len(heights) + _AXIS
    drawn = new_figure(_WIDTH, height)
    top = height - _GAP
    span = max(story.until - story.began, 1.0)
    limits = (story.began - 0.01 * span, story.until + 0.01 * span)
    axes = []
    for high in heights:
        place = (_LEFT / _WIDTH, (top - high) / height, (_WIDTH - _LEFT - _RIGHT) / _WIDTH, high / height)
        one = drawn.add_axes(place)
        one.set_xlim(*limits)
        one.set_xticks([])
        axes.append(one)
        top -= high + _GAP
    _draw_share(axes[0], story)
    if counted:
        _draw_answers(axes[1], counted, story, column=1, heading="answers per second")
        _draw_answers(axes[2], counted, story, column=2, heading="failed per second")
    if story.withdrawn is not None:
        for one in axes:
            one.axvline(story.withdrawn, color=MUTED, linewidth=1, linestyle=":")
    ticks = [story.began + span * part / 5 for part in range(6)]
    axes[-1].set_xticks(ticks, [_clock(when) for when in ticks])
    axes[-1].tick_params(axis="x", labelsize=10, pad=9)
    ends = {1.0: "everybody"}
    words = "; ".join(f"{_clock(step.began)} {ends.get(step.share, step.name)}" for step in story.steps)
    return svg(drawn, "release", f"Share of version {story.events[0].version} over time: {words or 'none'}.")


def _draw_share(axes: Any, story: _Story) -> None:
    from har.pages._charts import ACCENT, CARD, INK, MUTED, SECOND

    times, shares = [story.began], [0.0]
    for event in story.events:
        if event.what in ("advanced", "promoted"):
            times.append(event.when)
            shares.append(event.share)
        elif event.what == "ended" and event.outcome != "promoted":
            times.append(event.when)
            shares.append(0.0)
    times.append(story.until)
    shares.append(shares[-1])
    axes.step(times, shares, where="post", color=ACCENT)
    axes.fill_between(times, shares, step="post", color=ACCENT, alpha=0.18, linewidth=0)
    axes.set_ylim(-0.06, 1.36)
    axes.set_yticks([0, 0.5, 1], ["0 %", "50 %", "100 %"])
    marks = {"pass": ("o", ACCENT), "fail": ("X", SECOND), "hold": ("D", MUTED)}
    for event in story.events:
        if event.verdict in marks:
            marker, colour = marks[event.verdict]
            axes.plot([event.when], [1.25], marker, color=colour, markeredgecolor=CARD, markersize=10, clip_on=False)
    last = -1e9
    room = (story.until - story.began) / 11 or 1.0
    for step in story.steps:
        if step.began - last >= room:
            axes.text(step.began, step.share + 0.03, f" {step.name}", color=INK, fontsize=11, ha="left", va="bottom")
            last = step.began
    _name(axes, "verdicts", MUTED, 0.96)
    _name(axes, f"share of version {story.events[0].version}", ACCENT, 0.76)


def _draw_answers(axes: Any, answers: Sequence[Answers], story: _Story, *, column: int, heading: str) -> None:
    from har.pages._charts import ACCENT, GRID, MUTED, SECOND

    new = story.events[0].version
    largest = 0.0
    for number, one in enumerate(sorted(answers, key=lambda one: one.version == new)):
        colour = (ACCENT if column == 1 else SECOND) if one.version == new else MUTED
        times, values = [point[0] for point in one.points], [point[column] for point in one.points]
        largest = max([largest, *values])
        axes.step(times, values, where="post", color=colour, linewidth=1.8)
        if column == 2:
            axes.fill_between(times, values, step="post", color=colour, alpha=0.25, linewidth=0)
        _name(axes, f"version {one.version}", colour, 0.85 - 0.3 * number)
    axes.set_ylim(0, 1.1 * largest or 1.0)
    axes.set_yticks(
        [0, largest] if largest else [0], [formatting.digits(v) for v in ([0, largest] if largest else [0])]
    )
    axes.grid(axis="y", color=GRID)
    axes.set_title(heading, loc="left", fontsize=11, color=MUTED, pad=4)


def _name(axes: Any, text: str, colour: str, height: float) -> None:
    """The name of a course, at the right of its chart."""
    axes.text(1.015, height, text, transform=axes.transAxes, color=colour, fontsize=11, ha="left", va="top")
