"""Drives one release through its plan: renews the lease, watches, asks the judge, obeys people, and writes down what it
does. It knows the place by `Serving` and the evidence by `Watch` alone.

Every turn of its loop takes milliseconds: what is slow, the judge, runs in a thread. If the process is killed, the
lease runs out and the former version serves everybody; the next controller goes on from the state in the files.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol

from har.errors import HarError, reason
from har.release._files import Order, Record, Releases
from har.release._plan import Plan, Step
from har.release._serving import Serving
from har.release._states import Ending, Judged, State, next_move

TICK_S = 0.5
"""Time between two looks at the hard limits and at people's orders."""
JUDGE_S = 5.0
"""Least time between two questions to the judge."""
_SLOW_JUDGE_S = 60.0
_ATTEMPTS = 10
_PAUSE_S = 0.2
_RENEW_S = 2.0
THE_JUDGE = "the judge"


class Watch(Protocol):
    """The evidence about a release."""

    def enter(self, state: State, step: Step) -> None:
        """A step begins: what was counted before it does not concern it."""

    def limits(self, state: State) -> Judged:
        """The hard limits, at this moment; takes at most a second. The verdict `fail` ends the release at once."""

    def judge(self, state: State, step: Step) -> Judged:
        """The verdict about the step so far; may take long, and runs beside everything else."""


@dataclass
class _Asked:
    """The judge in a thread of its own: the last answer about the present step."""

    watch: Watch
    every_s: float
    _place: tuple[int, float] = (-1, 0.0)
    _began: float = -1e9
    _busy: bool = False
    _answer: Judged | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def about(self, state: State, step: Step) -> Judged | None:
        """The last answer, and ask again if it is time."""
        place, now = (state.step, state.step_began), time.monotonic()
        with self._lock:
            if place != self._place:
                self._place, self._answer, self._began = place, None, -1e9
            if self._busy and now - self._began > _SLOW_JUDGE_S:
                waits = f"the judge has not answered for {now - self._began:.0f} s"
                return Judged("hold", missing=(waits,), reason=waits)
            if not self._busy and now - self._began >= self.every_s:
                self._busy, self._began = True, now
                threading.Thread(target=self._ask, args=(state, step, place), daemon=True).start()
            return self._answer

    def _ask(self, state: State, step: Step, place: tuple[int, float]) -> None:
        try:
            answer = self.watch.judge(state, step)
        except Exception as error:  # noqa: BLE001  whatever it is, the release holds and says so
            text = f"the judge fails: {type(error).__name__}: {reason(error)}"
            answer = Judged("hold", missing=(text,), reason=text)
        with self._lock:
            self._busy = False
            if place == self._place:
                self._answer = answer


class Controller:
    """Drives a release whose canary has been started.

    Args:
        releases: the files; the caller is the one that watches.
        serving: the place.
        plan: the steps.
        watch: the evidence.
        state: in the phase `step` or `keeping`.
        tick_s: time of a turn.
        judge_s: least time between two questions to the judge.
    """

    def __init__(
        self,
        releases: Releases,
        serving: Serving,
        plan: Plan,
        watch: Watch,
        state: State,
        *,
        tick_s: float = TICK_S,
        judge_s: float = JUDGE_S,
    ) -> None:
        self.releases, self.serving, self.plan, self.watch, self.state = releases, serving, plan, watch, state
        self._tick_s = tick_s
        self._renewed_at, self._unrenewed = -1e9, ""
        self._asked = _Asked(watch, judge_s)
        self._commands: dict[str, Callable[[Order], None]] = {
            "abort": self._abort,
            "pause": self._pause,
            "resume": self._resume,
            "promote": self._promote,
            "finish": self._finish,
        }

    def run(self) -> State:
        """Until the release ends; returns its state then.

        Interrupted, it lets the former version serve everybody; the next run goes on.
        """
        self.watch.enter(self.state, self.step)
        try:
            while not self.state.is_over:
                began = time.monotonic()
                self.turn()
                time.sleep(max(0.0, self._tick_s - (time.monotonic() - began)))
        except BaseException:  # also SIGTERM as Prefect raises it, and faults of this program
            if self.state.phase == "step":
                with contextlib.suppress(HarError):  # the lease runs out
                    self.serving.share(0.0, lease_s=self.plan.lease_s)
                self._keep(share=0.0)
            raise
        return self.state

    @property
    def step(self) -> Step:
        """The present one."""
        return self.plan.steps[self.state.step]

    def turn(self) -> None:
        """One turn: people's orders, the hard limits, the lease, the judge."""
        if self._obey():
            return
        try:
            limits, trouble = self.watch.limits(self.state), ""
        except HarError as error:
            limits, trouble = Judged("hold"), str(error)
        if limits.verdict == "fail":
            self.end("rolled back", limits.reason, judged=limits)
            return
        trouble = self._renew() or trouble
        if self.state.is_over:
            return
        if trouble != self.state.trouble:
            self._keep(trouble=trouble)
        now = time.time()
        if self.state.phase == "keeping":
            if now - self.state.step_began >= self.plan.keep_former_s and not self.state.paused_by:
                self._drop_former()
            return
        self._judge(now, trouble)

    def _obey(self) -> bool:
        """Carry out orders; returns whether the release is over."""
        for order in self.releases.orders(self.state.release):
            try:
                self._commands[order.command](order)
            except HarError as error:  # it is tried again in the next turn
                self._keep(trouble=f"har release {order.command}: {error}")
                continue
            order.path.unlink(missing_ok=True)
            if self.state.is_over:
                return True
        return False

    def enter(self, number: int, *, by: str = "", reason: str = "", judged: Judged | None = None) -> None:
        """Begin a step: give the new version its share, then write it down."""
        step = self.plan.steps[number]
        self.watch.enter(self.state.entering(number, step, time.time(), by=by), step)
        self.serving.share(step.share, mirror=step.mirror, lease_s=self.plan.lease_s)
        self._renewed_at = time.monotonic()
        self.state = self.releases.save(self.state.entering(number, step, time.time(), by=by))
        self._record("advanced", f"{step.name}: {reason}", who=by or THE_JUDGE, judged=judged)

    def end(self, outcome: Ending, why: str, *, judged: Judged | None = None, who: str = THE_JUDGE) -> None:
        """Let the former version serve everybody, then write down why."""
        trouble = self._withdraw()
        step, share = self.step.name, self.state.share
        if judged is not None:
            self._keep(verdict=judged.verdict, measures=judged.measures)
        self._keep(phase="ended", outcome=outcome, reason=why, share=0.0, ended=time.time(), trouble=trouble)
        self._record("ended", f"{outcome} at {step}: {why}", step=step, share=share, judged=judged, who=who)

    def _judge(self, now: float, trouble: str) -> None:
        judged = self._asked.about(self.state, self.step) if self.plan.judged else None
        if trouble and not (judged is not None and judged.verdict == "fail"):
            judged = Judged("hold", judged.measures if judged else (), (trouble,), trouble)
        move = next_move(self.state, self.plan, judged, now=now)
        if judged is not None and (judged.verdict, judged.measures) != (self.state.verdict, self.state.measures):
            self._keep(verdict=judged.verdict, measures=judged.measures)
        if move.what == "end":
            self.end(move.outcome, move.reason, judged=judged)
        elif move.what == "next":
            try:
                self._go_on(judged, move.reason)
            except HarError as error:  # the place does not answer: the step goes on until it does
                self._unrenewed = str(error)
        else:
            self._hold(now, move.missing, judged)

    def _hold(self, now: float, missing: tuple[str, ...], judged: Judged | None) -> None:
        if missing != self.state.missing:
            self._keep(missing=missing)
        # Only an answer about the whole step counts; a judge that does not answer says so after a minute, see `_Asked`.
        due = now >= self.state.step_began + self.step.dwell_s + 2 * self._asked.every_s
        if due and judged is not None and self.state.hold_since is None and not self.state.paused_by:
            self._keep(hold_since=now)
            self._record("held", f"stays at {self.step.name}: {'; '.join(missing)}", judged=judged, missing=missing)

    def _go_on(self, judged: Judged | None, why: str, *, by: str = "") -> None:
        if self.state.step + 1 < len(self.plan.steps):
            self.enter(self.state.step + 1, by=by, reason=why, judged=judged)
        else:
            self._take_over(judged, why, by=by)

    def _take_over(self, judged: Judged | None, why: str, *, by: str = "") -> None:
        keep = self.plan.keep_former_s > 0
        self.serving.promote(keep_former=keep)
        kept = self.state.entering(self.state.step, self.step, time.time(), by=by)
        self.watch.enter(replace(kept, phase="keeping", share=1.0), self.step)
        self.state = self.releases.save(replace(kept, phase="keeping", share=1.0))
        stays = f"; the former one stays ready for {self.plan.keep_former_s:g} s" if keep else ""
        self._record("promoted", f"serves everybody: {why}{stays}", who=by or THE_JUDGE, judged=judged)
        if not keep:
            self._drop_former()

    def _drop_former(self) -> None:
        self.serving.promote(keep_former=False)
        self._keep(phase="ended", outcome="promoted", reason="it passed all steps", ended=time.time(), trouble="")
        self._record("ended", f"version {self.state.version} serves, and the former one has ended")

    def _renew(self) -> str:
        """Renew the lease, once a quarter of it is over; returns why it could not be."""
        if self.state.phase != "step":
            return ""
        now = time.monotonic()
        if not self._unrenewed and now - self._renewed_at < min(self.plan.lease_s / 4, _RENEW_S):
            return ""
        with self.releases.one_hand() as held:
            # A command may have come since: what it withdrew must not be given back.
            if not held or self._obey():
                return ""
            try:
                self.serving.share(self.step.share, mirror=self.step.mirror, lease_s=self.plan.lease_s)
                self._renewed_at, self._unrenewed = now, ""
            except HarError as error:
                if self._is_gone():
                    self.end("rolled back", f"{self.serving.name} does not have it any more: {error}")
                self._unrenewed = str(error)
        return self._unrenewed

    def _is_gone(self) -> bool:
        try:
            return self.serving.now().canary != self.state.tag
        except HarError:
            return False

    def _withdraw(self) -> str:
        """Withdraw; returns why it could not be done: then the lease runs out."""
        text = ""
        for _ in range(_ATTEMPTS):
            try:
                self.serving.withdraw()
                return ""
            except HarError as error:
                text = str(error)
                time.sleep(_PAUSE_S)
        return f"not withdrawn, so the lease of {self.plan.lease_s:g} s runs out: {text}"

    def _abort(self, order: Order) -> None:
        self.end("aborted", order.why, who=order.who)

    def _pause(self, order: Order) -> None:
        self._keep(paused_by=order.who, hold_since=None)
        self._record("paused", f"stays at {self.step.name}: {order.why}", who=order.who)

    def _resume(self, order: Order) -> None:
        self._keep(paused_by="", hold_since=None)
        self._record("resumed", f"goes on at {self.step.name}: {order.why}", who=order.who)

    def _promote(self, order: Order) -> None:
        self._keep(paused_by="")
        if self.state.phase == "keeping":
            self._drop_former()
        else:
            self._go_on(None, order.why, by=order.who)

    def _finish(self, order: Order) -> None:
        self._keep(paused_by="")
        if self.state.phase == "keeping":
            self._drop_former()
        else:
            self._take_over(None, order.why, by=order.who)

    def _keep(self, **changes: object) -> None:
        self.state = self.releases.save(replace(self.state, **changes))  # type: ignore[arg-type]

    def _record(
        self,
        what: str,
        sentence: str,
        *,
        step: str = "",
        share: float | None = None,
        judged: Judged | None = None,
        missing: tuple[str, ...] = (),
        who: str = THE_JUDGE,
    ) -> None:
        record = recorded(
            self.state,
            what,
            sentence,
            step=step or self.step.name,
            share=share,
            judged=judged,
            missing=missing,
            who=who,
        )
        self.releases.add(record)


def recorded(
    state: State,
    what: str,
    sentence: str,
    *,
    step: str,
    share: float | None = None,
    judged: Judged | None = None,
    missing: tuple[str, ...] = (),
    who: str = "",
) -> Record:
    """A line of the history about a release as it stands."""
    now = time.time()
    return Record(
        id=f"{state.release}-{int(now * 1e6)}-{what}",
        when=now,
        release=state.release,
        version=state.version,
        former=state.former,
        what=what,
        step=step,
        share=state.share if share is None else share,
        sentence=sentence,
        verdict=judged.verdict if judged else "",
        measures=judged.measures if judged else (),
        missing=missing,
        outcome=state.outcome,
        who=who,
        champion_before=state.champion_before,
    )
