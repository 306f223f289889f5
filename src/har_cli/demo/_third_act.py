"""The demo's third act: the retrained version goes out as a canary under load; a broken build after it is taken back.

All of it is real: HAProxy, a process per version, requests of several people, the judge. Only the place is the demo's
own, so that nothing changes what the project serves: a store, a prediction log, a lake for the decisions and a port,
removed at the end. The steps are as short as a demo needs them.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from har.console import console
from har.cutting import matrix
from har.errors import ReleaseError
from har.jobs.package import TAGS
from har.jobs.release import Order, ReleaseReport, release
from har.pages import write_release
from har.project import Project
from har.release import Record, is_served_by_canary
from har.settings import Settings
from har_cli.demo._load import Answered, Load, by_version
from infra.local.server import variables
from infra.local.third_party import installed

if TYPE_CHECKING:
    from infra.serving.keeper import Keeper

BROKEN = "0badc0de"
_SHORT = {
    "shadow": False,
    "steps": (0.5, 1.0),
    "dwell_s": 4.0,
    "requests": 30,
    "subjects": 3,
    "keep_former_s": 0.0,
    "lease_s": 5.0,
    "hold_h": 0.01,
    # A few seconds of a few people show no small difference.
    "margin": 0.25,
    "prometheus": "",
}
"""Of `[release]`."""
_ALONE = {"replicas": 1, "replicas_max": 0, "tls": "", "requests_per_minute": 0}
"""Of `[serving]`: one client of this machine asks as often as many would."""
_WINDOWS = 8
"""Of a request, each of another recording."""
_SUBJECTS = 12
_READY_S = 120.0
_BREAK = """

# Broken on purpose by the demo: it starts, answers probes, and fails for everybody else.
_honest = App._classify


async def _broken(self, windows, request, request_id):
    if not request_id.startswith("probe."):
        raise RuntimeError("broken on purpose, by the demo")
    return await _honest(self, windows, request, request_id)


App._classify = _broken
"""


def run_third_act(project: Project) -> dict[str, Any]:
    """Release the champion beside the version before it, then a broken build; returns the figures, none if skipped.

    Raises:
        ReleaseError: the service does not become ready.
    """
    program = installed("haproxy")
    if program is None:
        console.print("Skipped: HAProxy is not installed (apt-get install haproxy).")
        return {}
    pair = _two_versions(project)
    if pair is None:
        console.print("Skipped: there is no retrained version with a packaged one before it.")
        return {}
    former, new = pair
    home = project.settings.root / ".prefect" / "demo-release"
    with ExitStack() as stack:
        settings = stack.enter_context(_own_place(project.settings, home, former, new))
        own = Project(settings)
        keeper = stack.enter_context(_serving(settings, program, former))
        load = stack.enter_context(Load(keeper.address, _windows(project)))
        good = _release(own, load, Order(version=new.number, tag=new.tag, why="the demo"), "retrained")
        bad = _release(own, load, Order(version=former.number, tag=_broken(settings, former), why="the demo"), "broken")
    return {
        "release_promoted": int(good.result == "promoted"),
        "release_s": round(good.took_s, 1),
        "release_failed": good.failed,
        "broken_taken_back": int(bad.result == "rolled back"),
        "broken_s": round(bad.took_s, 1),
        "broken_failed": bad.failed,
        "broken_reaction_s": round(bad.reaction_s, 1),
        "broken_failed_after": bad.failed_after,
    }


def released(figures: Mapping[str, Any]) -> dict[str, str]:
    """The outcome of both releases, in a few words each."""
    good = "serves everybody" if figures["release_promoted"] else "does not serve, see its page"
    late = figures["broken_failed_after"]
    bad = (
        f"taken back {figures['broken_reaction_s']:.1f} s after its first failed answer; "
        f"{figures['broken_failed']} failed, {late or 'none'} of them later"
    )
    return {
        "Retrained version": f"{good} after {figures['release_s']:.0f} s, {figures['release_failed']} failed answers",
        "Broken build": bad if figures["broken_taken_back"] else "was not taken back, see its page",
    }


@dataclass(frozen=True)
class _Version:
    number: int
    tag: str

    @property
    def key(self) -> str:
        """The tag's part after the name, which the model's tag shares."""
        return self.tag.partition(":")[2]


@dataclass(frozen=True)
class _Done:
    """A release of the demo, with what clients saw."""

    result: str
    took_s: float
    failed: int
    failed_after: int
    reaction_s: float


def _two_versions(project: Project) -> tuple[_Version, _Version] | None:
    """The packaged version before the champion, and the champion."""
    store = project.settings.path("bentoml")
    champion = project.registry.champion()
    name = project.settings.project.name
    found = [
        _Version(version.number, version.tags[TAGS[0]])
        for version in sorted(project.registry.versions(), key=lambda version: version.number)
        if version.number <= champion.number and TAGS[0] in version.tags
    ]
    held = [one for one in found if (store / "bentos" / f"{name}-online" / one.key).is_dir()]
    return (held[-2], held[-1]) if len(held) > 1 and held[-1].number == champion.number else None


@contextmanager
def _own_place(settings: Settings, home: Path, *versions: _Version) -> Iterator[Settings]:
    """The project's settings with a store and a prediction log of the demo's own, which have these versions."""
    shutil.rmtree(home, ignore_errors=True)
    name, store = settings.project.name, home / "bentoml"
    try:
        for version in versions:
            for part in (Path("bentos") / f"{name}-online", Path("models") / name):
                shutil.copytree(settings.path("bentoml") / part / version.key, store / part / version.key)
        (store / "tmp").mkdir()
        paths = settings.paths.model_copy(update={"bentoml": store, "journal": home / "journal", "lake": home / "lake"})
        short = settings.release.model_copy(update=_SHORT)
        serving = settings.serving.model_copy(update=_ALONE)
        here = {"HAR_PATHS__BENTOML": str(store), "HAR_PATHS__JOURNAL": str(home / "journal")}
        if settings.serving.predict_token:
            here["HAR_SERVING__PREDICT_TOKEN"] = "false"  # noqa: S105  a switch, no token
        with variables(here):
            yield settings.model_copy(update={"paths": paths, "release": short, "serving": serving})
    finally:
        shutil.rmtree(home, ignore_errors=True)


@contextmanager
def _serving(settings: Settings, program: str, first: _Version) -> Iterator[Keeper]:
    """The online service behind HAProxy, on a free port, with this version."""
    from infra.local.server import bound
    from infra.serving.keeper import Keeper
    from infra.serving.launching import launch
    from infra.serving.state import Place

    logs = settings.root / ".prefect" / "logs"
    with bound(0) as door:
        door.listen(512)
        with Place(settings).changing() as change:
            change.write(stable=first.tag)
        keeper = Keeper(settings, program, door, logs, lambda line: None, launch(settings, logs))
        try:
            keeper.tick()
            began = time.monotonic()
            with console.status(f"HAProxy and version {first.number} are started …"):
                while not keeper.ready:
                    if time.monotonic() - began > _READY_S:
                        raise ReleaseError(
                            where=first.tag,
                            problem=f"was not ready within {_READY_S:g} s",
                            remedy=f"See the logs online-*.log and haproxy.log in {logs}.",
                        )
                    time.sleep(0.1)
                    keeper.tick()
            yield keeper
        finally:
            keeper.stop()


def _windows(project: Project) -> dict[str, NDArray[np.float32]]:
    """For each subject, windows of as many different recordings as there are, whose activities are mixed."""
    length = project.settings.length
    samples = project.lake.samples
    columns = ["session", "segment", "time", *project.lake.channels]
    found: dict[str, NDArray[np.float32]] = {}
    newest: dict[str, list[tuple[Any, str]]] = {}
    for date, subject in samples.partitions():
        newest.setdefault(subject, []).append((date, subject))
    for subject in sorted(newest)[:_SUBJECTS]:
        windows: list[NDArray[np.float32]] = []
        for _, frame in samples.each(samples.version(), sorted(newest[subject])[:2], columns):
            for _, recording in frame.sort("time").group_by("session", "segment", maintain_order=True):
                if len(recording) >= length and len(windows) < _WINDOWS:
                    middle: pl.DataFrame = recording.slice((len(recording) - length) // 2, length)
                    windows.append(matrix(middle, project.lake.channels))
        if windows:
            found[subject] = np.stack(windows).astype(np.float32)
    return found


def _broken(settings: Settings, version: _Version) -> str:
    """A bento of this version that starts and then fails; its tag."""
    folder = settings.path("bentoml") / "bentos" / f"{settings.project.name}-online"
    key = f"v{version.number}-{BROKEN}"
    shutil.copytree(folder / version.key, folder / key)
    manifest = folder / key / "bento.yaml"
    text = manifest.read_text(encoding="utf-8")
    manifest.write_text(text.replace(f"version: {version.key}", f"version: {key}", 1), encoding="utf-8")
    app = folder / key / "src" / "bentos" / "online" / "app.py"
    app.write_text(app.read_text(encoding="utf-8") + _BREAK, encoding="utf-8")
    return f"{settings.project.name}-online:{key}"


def _release(project: Project, load: Load, order: Order, what: str) -> _Done:
    from infra.serving.releasing import surroundings

    console.print(f"Version {order.version}, {what}:", style="bold")
    began = time.time()
    report = release(project, surroundings(project), order)
    time.sleep(1.0)  # what is on its way, for the page
    ended = time.time()
    records = report.records
    answers = load.between(began, ended)

    def whose(one: Answered) -> int:
        return _version_of(one, records)

    failed = [one for one in answers if one.status != 200]
    withdrawn = records[-1].when if records[-1].outcome not in ("", "promoted") else ended
    after = [one for one in failed if one.at > withdrawn + _UNDER_WAY_S]
    reports = project.settings.path("reports")
    counted = by_version(answers, whose, ended) if answers else []
    page = write_release(reports, records, counted, title=project.settings.project.name)
    _say(report, len(answers), failed, withdrawn)
    reaction_s = max(0.0, withdrawn - failed[0].at) if failed else 0.0
    console.print(f"  As a page: {page}", highlight=False, soft_wrap=True)
    return _Done(report.result, ended - began, len(failed), len(after), reaction_s)


_UNDER_WAY_S = 0.3
"""A request that the broken version had begun may end after its withdrawal."""


def _version_of(one: Answered, records: Sequence[Record]) -> int:
    """The version that a request went to whose answer does not say it, by the rule of the split."""
    share = 0.0
    for record in records:
        if record.when > one.at:
            break
        share = 0.0 if record.what == "ended" and record.outcome != "promoted" else record.share
    first = records[0]
    return first.version if is_served_by_canary(one.subject, first.release, share) else first.former


def _say(report: ReleaseReport, asked: int, failed: Sequence[Answered], withdrawn: float) -> None:
    text = f"{asked} requests meanwhile, {len(failed)} of them failed"
    if report.result == "rolled back" and failed:
        text += f"; the version served nobody {max(0.0, withdrawn - failed[0].at):.1f} s after the first"
    console.print(f"  {report.result}: {text}.", highlight=False)
