"""Release a version of the model: packaged, started beside the one that serves, step by step in its place, watched; or
taken back by itself.

`har.release.Serving` is the place, `har.release.Watch` the evidence. A run that was killed is taken up by the next one.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from har.console import console
from har.engine import Each, in_threads
from har.errors import HarError, PackagingError, ReleaseError
from har.jobs._events import Send, no_receiver
from har.jobs._release_book import Book, Show
from har.jobs.package import TAGS, Bentos, package
from har.project import Project
from har.registry import whoami
from har.release import Controller, Judged, Plan, Record, Releases, Serving, State, Watch, recorded

_KEY = re.compile(r"v(\d+)-[0-9a-f]{8}")

Result = str
"""`promoted`, `rolled back`, `held too long`, `aborted`: how the release ended. `running`: another process runs it.
`serves`: the version serves already. `at once`: it has replaced the former one at once. `superseded`: another version
is the champion since."""

BAD_RESULTS = ("rolled back", "held too long", "aborted")


class Smoke(Protocol):
    """Asks a replica what it must know, before any request reaches it."""

    def __call__(self, address: str, version: int, /) -> Sequence[str]:
        """What is wrong with it, in sentences."""


@dataclass(frozen=True)
class Order:
    """What is to be released, and by whom.

    Attributes:
        version: None: the champion.
        tag: of a bento or image that is packaged already; "": it is packaged first.
        back: to a version that served before: at once, and without a judge.
        who: starts it; "": this user.
        why: in words.
        promoted: a promotion started it, not a person: it does nothing where `release.automatic` is off, or once
            another version is the champion, and waits for another release to end.
    """

    version: int | None = None
    tag: str = ""
    back: bool = False
    who: str = ""
    why: str = ""
    promoted: bool = False


@dataclass(frozen=True)
class ReleaseReport:
    """The result of `release`.

    Attributes:
        version: that was to be released.
        result: see `Result`.
        sentence: what happened.
        records: the steps of this release, oldest first.
        notes: what could not be done besides.
    """

    version: int
    result: Result
    sentence: str
    records: tuple[Record, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def good(self) -> bool:
        """Whether nothing was taken back."""
        return self.result not in BAD_RESULTS


@dataclass(frozen=True)
class Surroundings:
    """What a release needs besides the project.

    Attributes:
        bentos: builds bentos.
        serving: the place; None: there is none in which two versions can serve at the same time.
        watch: the evidence about a release.
        smoke: asks the canary's replicas before any request reaches them.
        lacks: why `serving` is None, in a sentence.
        refuses: why no release can begin at this moment, in a sentence; "" if one can.
    """

    bentos: Bentos
    serving: Serving | None
    watch: Callable[[State, Plan], Watch]
    smoke: Smoke
    lacks: str = ""
    refuses: str = ""


def release(
    project: Project,
    around: Surroundings,
    order: Order | None = None,
    *,
    each: Each = in_threads,
    send: Send = no_receiver,
    show: Show = lambda record: None,
) -> ReleaseReport:
    """Release a version, and watch it until the release has ended.

    Only one release runs at a time. Called again for the version that is being released, it reports that.

    Args:
        project: its registry and lake.
        around: what packages, serves, and judges.
        order: what to release; None: the champion.
        each: how to run the parts of packaging.
        send: sends events.
        show: shows steps.

    Raises:
        NoChampionError: there is no champion yet.
        ReleaseError: another version is being released, or the place does not answer.
    """
    order = order or Order()
    number = order.version or project.registry.champion().number
    if order.promoted and project.registry.champion().number != number:
        return _superseded(project, number)
    if order.promoted and not project.settings.release.automatic:
        return _at_once(project, around, number, order.tag, each, "release.automatic is off")
    if around.serving is None:
        return _at_once(project, around, number, order.tag, each, around.lacks)
    releases = Releases(project.settings.path("bentoml"))
    running = _running(releases)
    if running is not None:
        if running.version == number:
            return ReleaseReport(number, "running", f"version {number} is being released: {_where(running, around)}")
        if not order.promoted:
            raise ReleaseError(
                where=f"version {number}",
                problem=f"version {running.version} is being released: {_where(running, around)}",
                remedy="Wait until that ends, or end it: har release abort --reason WHY.",
            )
        console.print(f"Version {number} waits: version {running.version} is being released.", highlight=False)
    with releases.watching(wait_s=-1 if order.promoted else 1.0):
        if order.promoted and project.registry.champion().number != number:
            return _superseded(project, number)
        book = Book(project, releases, send, show)
        try:
            report = _Run(project, around, around.serving, releases, order, number, each).go()
        finally:
            trouble = book.close()
        _follow(project, around.bentos)
        return replace(report, notes=(*report.notes, trouble) if trouble else report.notes)


def settle(
    project: Project,
    around: Surroundings,
    *,
    send: Send = no_receiver,
    show: Show = lambda record: None,
) -> ReleaseReport:
    """End a release that a person has aborted and that nobody watches: in its files, the lake and the registry.

    Raises:
        ReleaseError: another process watches it, or none is under way.
    """
    releases = Releases(project.settings.path("bentoml"))
    with releases.watching():
        state = releases.state()
        if state is None or around.serving is None:
            raise ReleaseError(
                where="har release abort", problem="no release is under way", remedy="There is nothing to do."
            )
        run = _Run(project, around, around.serving, releases, Order(), state.version, in_threads)
        if state.is_over:
            return run.report(state)
        orders = [order for order in releases.orders(state.release) if order.command == "abort"]
        who, why = (orders[-1].who, orders[-1].why) if orders else (whoami(), "nobody watched it any more")
        book = Book(project, releases, send, show)
        try:
            ended = run.aborted(state, why, who)
        finally:
            trouble = book.close()
        _follow(project, around.bentos)
        report = run.report(ended)
        return replace(report, notes=(trouble,) if trouble else ())


def number_of(tag: str) -> int:
    """The model's version of a bento's tag or an image; 0 for a tag that `har package` did not give."""
    match = _KEY.fullmatch(tag.rpartition(":")[2])
    return int(match[1]) if match else 0


@dataclass
class _Run:
    """One run of the job, which is the one that watches."""

    project: Project
    around: Surroundings
    serving: Serving
    releases: Releases
    order: Order
    number: int
    each: Each

    def go(self) -> ReleaseReport:
        left = self.releases.state()
        if left is not None and not left.is_over:
            if left.version == self.number:
                return self._take_up(left)
            why = f"nobody watched it any more, and version {self.number} is to be released"
            self.aborted(left, why, self.order.who or whoami())
        served = self.serving.now()
        if not served.stable:
            return self._first()
        self._require_place()
        serves = number_of(served.stable)
        if serves == self.number and self.order.tag in ("", served.stable):
            return ReleaseReport(self.number, "serves", f"version {self.number} serves already")
        champion = self.project.champion
        now = time.time()
        state = State(
            release=f"v{self.number}-{int(now * 1000)}",
            version=self.number,
            tag=self.order.tag,
            former=serves,
            former_tag=served.stable,
            champion_before=champion.number if champion else 0,
            who=self.order.who or whoami(),
            why=self.order.why or ("it was promoted" if self.order.promoted else "a person started it"),
            back=self.order.back,
            began=now,
        )
        self._save(state)
        self._record(state, "started", f"is to replace version {serves}: {state.why}", who=state.who)
        return self._start(state)

    def _require_place(self) -> None:
        if self.around.refuses:
            raise ReleaseError(
                where=f"version {self.number}",
                problem=f"cannot be released: {self.around.refuses}",
                remedy="Start it: make up, or make site. Then: har release start.",
            )

    def _start(self, state: State) -> ReleaseReport:
        """Package it, start its replicas, ask them, and take the first step."""
        try:
            tag = state.tag or self._packaged()
            state = self._save(replace(state, tag=tag))
            self.serving.start(tag, salt=state.release)
            problems = [
                f"{address}: {problem}"
                for address in self.serving.addresses().get("canary", [])
                for problem in self.around.smoke(address, state.version)
            ]
        except (PackagingError, ReleaseError) as error:
            problems = [str(error)]
        controller = self._controller(state)
        if problems:
            measures = (
                {"name": "start", "value": None, "limit": None, "n": len(problems), "subjects": 0, "verdict": "fail"},
            )
            controller.end("rolled back", problems[0], judged=Judged("fail", measures, reason=problems[0]))
        else:
            controller.enter(state.step, reason="its replicas are ready and answer as the registered model does")
            controller.run()
        return self.report(controller.state)

    def _take_up(self, state: State) -> ReleaseReport:
        """Go on with a release whose process has ended."""
        self._require_place()
        served = self.serving.now()
        self._record(state, "resumed", "is taken up again: the process that watched it has ended", who=whoami())
        controller = self._controller(state)
        if served.stable == state.tag and state.tag:
            if state.phase != "keeping":  # it ended just after it had taken over
                state = replace(state, phase="keeping", share=1.0, step_began=time.time())
                controller.state = self._save(state)
            controller.run()
        elif state.phase == "keeping":
            controller.end("rolled back", f"{served.stable or 'nothing'} serves in its place", judged=None)
        elif served.canary and served.canary == state.tag and (served.replicas or {}).get("canary"):
            controller.enter(state.step, reason="taken up: the step begins anew")
            controller.run()
        else:
            return self._start(replace(state, phase="starting"))
        return self.report(controller.state)

    def aborted(self, state: State, why: str, who: str) -> State:
        """End a release that nobody watches; returns its last state."""
        controller = self._controller(state)
        controller.end("aborted", why, who=who)
        return controller.state

    def _first(self) -> ReleaseReport:
        """Nothing serves yet: there is nothing to compare with."""
        tag = self.order.tag
        if tag:
            _point_at(self.project, self.around.bentos, tag)
        else:
            tag = package(self.project, self.around.bentos, version=self.number, each=self.each).online_tag
        state = State(f"v{self.number}-{int(time.time() * 1000)}", self.number, tag, phase="ended")
        champion = self.project.champion
        state = replace(state, outcome="promoted", share=1.0, champion_before=champion.number if champion else 0)
        text = "serves everybody at once: nothing served before"
        self._record(self._save(replace(state, ended=time.time(), reason=text)), "promoted", text, who=whoami())
        return ReleaseReport(self.number, "at once", f"version {self.number} {text}")

    def _packaged(self) -> str:
        report = package(self.project, self.around.bentos, version=self.number, follow=False, each=self.each)
        return report.online_tag

    def _controller(self, state: State) -> Controller:
        plan = Plan.of(self.project.settings, back=state.back)
        return Controller(self.releases, self.serving, plan, self.around.watch(state, plan), state)

    def _save(self, state: State) -> State:
        return self.releases.save(state)

    def _record(self, state: State, what: str, sentence: str, *, who: str) -> None:
        self.releases.add(recorded(state, what, sentence, step="", who=who))

    def report(self, state: State) -> ReleaseReport:
        """How the release has ended."""
        records = tuple(record for record in self.releases.records() if record.release == state.release)
        sentence = f"version {state.version} was {state.outcome}: {state.reason}"
        if state.outcome == "promoted":
            sentence = f"version {state.version} serves everybody"
        return ReleaseReport(state.version, state.outcome, sentence, records)


def _running(releases: Releases) -> State | None:
    """The release that another process watches at this moment."""
    state = releases.state()
    return state if state is not None and not state.is_over and releases.is_watched() else None


def _where(state: State, around: Surroundings) -> str:
    place = f" at {around.serving.name}" if around.serving else ""
    return f"{state.phase}, {100 * state.share:g} % of the subjects{place}. See har release status"


def _superseded(project: Project, number: int) -> ReleaseReport:
    champion = project.registry.champion().number
    return ReleaseReport(number, "superseded", f"version {champion} is the champion since: nothing to do for {number}")


def _at_once(project: Project, around: Surroundings, number: int, tag: str, each: Each, why: str) -> ReleaseReport:
    """Where no steps can be taken: the service follows the champion's package."""
    champion = project.registry.champion().number
    if champion != number:
        raise ReleaseError(
            where=f"version {number}",
            problem=f"cannot be released step by step ({why}), and version {champion} is the champion",
            remedy=f"Make it the champion, which serves at once: har promote {number} --reason WHY.",
        )
    if tag:
        _point_at(project, around.bentos, tag)
    else:
        tag = package(project, around.bentos, each=each).online_tag
    return ReleaseReport(number, "at once", f"no steps, because {why}: the online service changes to {tag} at once")


def _point_at(project: Project, bentos: Bentos, tag: str) -> None:
    """Let `latest` mean an online bento, its batch bento and their package."""
    name, key = project.settings.project.name, tag.partition(":")[2]
    with bentos.lock():
        bentos.point_at(tag, f"{name}-batch:{key}", f"{name}:{key}")


def _follow(project: Project, bentos: Bentos) -> None:
    """Let `latest` mean the champion's bentos, which the batch service follows."""
    champion = project.champion
    tags = [champion.tags.get(name, "") for name in TAGS] if champion else [""]
    key = tags[0].partition(":")[2]
    model = f"{project.settings.project.name}:{key}"
    try:
        if key and bentos.holds(*tags, model):
            with bentos.lock():
                bentos.point_at(*tags, model)
    except HarError as error:
        console.print(f"[yellow]The batch service keeps its version[/]: {error}", highlight=False, soft_wrap=True)
