"""Brings what happens to a release to the lake, to the promotion log, to the registry and to whoever listens.

It runs in a thread beside the release, which it never delays: first the traffic, then the registry. What could not be
written stays in the history's file, and the next release writes it.
"""

from __future__ import annotations

import contextvars
import datetime as dt
import threading
import time
from collections.abc import Callable
from dataclasses import asdict

from har.console import console
from har.errors import HarError, reason
from har.jobs._events import Send, release_event
from har.monitoring import DecisionLog
from har.monitoring.decisions import RELEASE, Decision
from har.project import Project
from har.registry import whoami
from har.release import Record, Releases

Show = Callable[[Record], None]
"""Shows a step to people, such as in an artifact of Prefect."""

_POLL_S = 0.2
_RETRY_S = 5.0
_FINISH_S = 120.0


class Book:
    """Writes a project's records of releases, as they come, until `close`.

    Args:
        project: its lake and registry.
        releases: its records.
        send: sends an event per record; one that is not received is lost.
        show: shows a record.
    """

    def __init__(self, project: Project, releases: Releases, send: Send, show: Show) -> None:
        self._project, self._releases, self._send, self._show = project, releases, send, show
        self._closing = threading.Event()
        self._told: set[str] = set()
        self.trouble = ""
        # With the caller's context: a flow's artifacts belong to the flow's run.
        context = contextvars.copy_context()
        self._thread = threading.Thread(target=context.run, args=(self._run,), name="release book", daemon=True)
        self._thread.start()

    def close(self) -> str:
        """Write what is left; returns why it could not be, or nothing."""
        self._closing.set()
        self._thread.join(_FINISH_S)
        left = len(self._releases.unwritten())
        return f"{left} steps are not in the lake or the promotion log yet: {self.trouble}" if left else ""

    def _run(self) -> None:
        read_bytes = -1
        while True:
            closing = self._closing.is_set()
            # The history of all releases is read again only when it has grown.
            size = self._releases.history_bytes
            news = self._releases.unwritten() if size != read_bytes or self.trouble or closing else []
            read_bytes = size
            for record in news:
                try:
                    self._write(record)
                except Exception as error:  # noqa: BLE001  the release goes on; the record is written later
                    self.trouble = f"{type(error).__name__}: {reason(error)}"
                    break
                self.trouble = ""
            if closing:
                return
            self._closing.wait(_RETRY_S if self.trouble else _POLL_S)

    def _write(self, record: Record) -> None:
        if record.id not in self._told:
            self._told.add(record.id)
            console.print(
                f"{time.strftime('%H:%M:%S', time.localtime(record.when))} Version {record.version}: {_said(record)}",
                highlight=False,
                markup=False,
                soft_wrap=True,
            )
        write_record(self._project, record)
        self._releases.note_written(record)
        # What is lost here is lost: the record itself is written.
        self._send(release_event(record))
        self._show(record)


def _said(record: Record) -> str:
    """In short: where all checks passed, the sentences of each are for the files and pages."""
    if record.verdict == "pass" and len(record.measures) > 1:
        return f"{record.sentence.partition(': ')[0]}: all {len(record.measures)} checks passed"
    return record.sentence


def write_record(project: Project, record: Record) -> None:
    """Write a record to the lake's decisions and to the promotion log, and let the registry agree with what serves.

    A version that was held too long stays the champion. It can be repeated.
    """
    decision = decision_of(record, project.settings.project.zone)
    DecisionLog(project.lake).add(decision, record.version)
    figures = {
        "record": record.id,
        "step": record.step,
        "share": record.share,
        "verdict": record.verdict,
        "measures": [dict(measure) for measure in record.measures],
    }
    who = record.who or whoami()
    project.registry.note_release(record.version, reason=record.sentence, who=who, figures=figures)
    if record.what == "promoted":
        _confirm(project, record, who)
    elif record.what == "ended" and record.outcome in ("rolled back", "aborted"):
        # Held too long is no word against the version: where nobody asks the online service, the gate's word counts.
        _take_back(project, record, who)


def decision_of(record: Record, zone: dt.tzinfo) -> Decision:
    """A record as a row of the lake's decisions."""
    date = dt.datetime.fromtimestamp(record.when, zone).date()
    lacks = tuple(f"Missing: {one}" for one in record.missing)
    return Decision(date, RELEASE, (record.sentence, *lacks), event="", payload=asdict(record))


def _confirm(project: Project, record: Record, who: str) -> None:
    """The released version becomes the champion, unless it is, or another one has become it since."""
    champion = project.champion
    now = champion.number if champion else 0
    if now not in (record.version, record.champion_before):
        console.print(f"Version {now} has become the champion since: its own release follows.", highlight=False)
    elif now != record.version:
        project.registry.promote(
            record.version, reason=f"released: {record.sentence}", who=who, figures={"record": record.id}
        )


def _take_back(project: Project, record: Record, who: str) -> None:
    """The version that serves becomes the champion again, unless another one has become it since."""
    registry, champion = project.registry, project.champion
    if champion is None or champion.number != record.version or record.former in (0, record.version):
        return
    text = f"release of version {record.version} {record.sentence}"
    try:
        previous = registry.version("previous").number
    except HarError:
        previous = 0
    if previous == record.former:
        registry.rollback(reason=text, who=who)
    else:
        registry.promote(record.former, reason=text, who=who, figures={"record": record.id})
