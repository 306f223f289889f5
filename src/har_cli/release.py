"""Commands about releases: start one, look at it, and take it in hand."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from har.errors import ReleaseError
from har.settings import load_settings
from har_cli._shared import ViaPrefect, out, run, sender

if TYPE_CHECKING:
    from har.release import Command, Record, Releases, State
    from har.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Let a version serve step by step, watched; take it back at once.")

Reason = Annotated[str, typer.Option(help="The reason, for the promotion log.")]
_WAIT_S = 15.0
_NOBODY = "Nobody watches this release: `har release start` goes on with it, `har release abort` ends it."


@app.command()
def start(
    version: Annotated[int | None, typer.Option(min=1, help="Another version than the champion.")] = None,
    reason: Annotated[str, typer.Option(help="Why, for the promotion log.")] = "",
    back: Annotated[
        bool, typer.Option("--back", help="The version has served before: everybody at once, without the judge.")
    ] = False,
    via_prefect: ViaPrefect = False,
) -> None:
    """Release the champion, or go on with a release that nobody watches; ends when the release does."""

    def job() -> object:
        from har.jobs.release import Order, release
        from har.project import open_project
        from infra.observability.releases import write_page
        from infra.serving.releasing import surroundings

        project = open_project()
        order = Order(version=version, back=back, why=reason)
        report = release(project, surroundings(project), order, send=sender(project.settings))
        if report.records:
            write_page(project, report.records)
        return report

    def flow() -> object:
        from flows.release import release

        return release(version=version, back=back, reason=reason)

    report = run(job, flow, via_prefect=via_prefect)
    out.print(f"{report.sentence[:1].upper()}{report.sentence[1:]}.", highlight=False, markup=False, soft_wrap=True)
    for note in report.notes:
        out.print(f"[yellow]{note}[/]", highlight=False, soft_wrap=True)
    if not report.good:
        raise typer.Exit(1)


@app.command()
def status(
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False,
) -> None:
    """Show the release that runs, or how the last one ended, and what serves."""
    settings = load_settings()
    releases, state = _present(settings)
    from har.release import Plan
    from infra.serving.releasing import place

    serving, lacks = place(settings)
    if as_json:
        import dataclasses

        served = dataclasses.asdict(serving.now()) if serving else None
        found = {"release": dataclasses.asdict(state) if state else None, "serves": served}
        out.print_json(data={**found, "watched": releases.is_watched(), "lacks": lacks})
        return
    if serving is None:
        out.print(f"No steps can be taken here: {lacks}.", highlight=False, soft_wrap=True)
    else:
        now = serving.now()
        out.print(f"{serving.name}: {now.stable or 'nothing'} serves.", highlight=False, markup=False, soft_wrap=True)
        if now.canary:
            left = max(0.0, now.lease_until - time.time())
            out.print(
                f"{now.canary} serves {100 * now.share:g} % of the subjects, gets copies of {100 * now.mirror:g} % of "
                f"the requests; the lease ends in {left:.0f} s unless it is renewed.",
                highlight=False,
                markup=False,
                soft_wrap=True,
            )
    if state is None:
        out.print("No release has been started yet: har release start.")
        return
    plan = Plan.of(settings, back=state.back)
    _describe(state, plan.steps[min(state.step, len(plan.steps) - 1)].name)
    if not state.is_over and not releases.is_watched():
        out.print(f"[red]{_NOBODY}[/]", highlight=False, soft_wrap=True)
    _history([record for record in releases.records() if record.release == state.release])


@app.command()
def promote(
    reason: Reason,
    everybody: Annotated[bool, typer.Option("--everybody", help="To everybody at once, not the next step.")] = False,
) -> None:
    """Take the next step in place of the judge; the hard limits are watched all the same."""
    _command("finish" if everybody else "promote", reason)


@app.command()
def pause(reason: Reason) -> None:
    """Stay at this step until `har release resume`; the hard limits are watched all the same."""
    _command("pause", reason)


@app.command()
def resume(reason: Annotated[str, typer.Option(help="The reason, for the promotion log.")] = "looked at") -> None:
    """Go on after a pause."""
    _command("resume", reason)


@app.command()
def abort(reason: Reason) -> None:
    """Let the former version serve everybody, at once, whoever watches the release."""
    settings = load_settings()
    state = under_way(settings)
    if state is None:
        out.print("No release is under way. To go back to the former version: har rollback --reason WHY.")
        return
    withdraw(settings, state, reason)
    out.print(f"Version {state.former} serves everybody.", highlight=False)
    _settle(settings, state)


def withdraw(settings: Settings, state: State, reason: str) -> None:
    """End a release at the traffic itself, then leave the order for whoever watches.

    Raises:
        ReleaseError: there is no place to withdraw from.
    """
    from har.console import whoami
    from har.release import Releases
    from infra.serving.releasing import place

    serving, lacks = place(settings)
    if serving is None:
        raise ReleaseError(where="har release abort", problem=lacks, remedy="Start it: make up, or make site.")
    releases = Releases(settings.path("bentoml"))
    with releases.one_hand():  # also if the other one does not let go
        releases.order(state.release, "abort", who=whoami(), why=reason)
        serving.withdraw()


def _settle(settings: Settings, state: State) -> None:
    """Wait until the release has ended in the files as well, and end it here if nobody watches it."""
    from har.release import Releases

    releases = Releases(settings.path("bentoml"))
    give_up = time.monotonic() + _WAIT_S
    while time.monotonic() < give_up:
        now = releases.state()
        if now is None or now.release != state.release or now.is_over:
            return
        if not releases.is_watched():
            from har.jobs.release import settle
            from har.project import open_project
            from infra.serving.releasing import surroundings

            project = open_project(settings.root)
            report = settle(project, surroundings(project), send=sender(settings))
            for note in report.notes:
                out.print(f"[yellow]{note}[/]", highlight=False, soft_wrap=True)
            return
        time.sleep(0.2)
    out.print(
        f"[yellow]The process that watches the release has not answered for {_WAIT_S:g} s.[/] The traffic is withdrawn "
        "all the same; har release status shows when it has noticed.",
        highlight=False,
        soft_wrap=True,
    )


def _command(command: Command, reason: str) -> None:
    from har.console import whoami

    if not reason.strip():
        raise ReleaseError(where="--reason", expected="a reason", got="none", remedy='Give one: --reason "…".')
    releases, state = _under_way(load_settings())
    releases.order(state.release, command, who=whoami(), why=reason)
    if not releases.is_watched():
        out.print(f"[yellow]{_NOBODY} Then {command} is carried out.[/]", highlight=False, soft_wrap=True)
        return
    give_up = time.monotonic() + _WAIT_S
    while releases.orders(state.release):
        if time.monotonic() > give_up:
            out.print("[yellow]It was not carried out yet; har release status shows when it is.[/]")
            return
        time.sleep(0.1)
    now = releases.state()
    shown = now if now is not None and now.release == state.release else state
    paused = ", paused" if shown.paused_by else ""
    where = shown.outcome or f"{100 * shown.share:g} % of the subjects{paused}"
    out.print(f"Version {shown.version}: {where}.", highlight=False)


def _present(settings: Settings) -> tuple[Releases, State | None]:
    from har.release import Releases

    releases = Releases(settings.path("bentoml"))
    return releases, releases.state()


def under_way(settings: Settings) -> State | None:
    """The release that has not ended; None: there is none."""
    state = _present(settings)[1]
    return state if state is not None and not state.is_over else None


def _under_way(settings: Settings) -> tuple[Releases, State]:
    releases, state = _present(settings)
    if state is None or state.is_over:
        ended = f"; the last one, of version {state.version}, has ended: {state.outcome}" if state else ""
        raise ReleaseError(
            where="har release",
            problem=f"no release is under way{ended}",
            remedy="Start one: har release start. To go back to the former version: har rollback --reason WHY.",
        )
    return releases, state


def _describe(state: State, step: str) -> None:
    began = time.strftime("%Y-%m-%d %H:%M", time.localtime(state.began))
    head = f"Version {state.version} in place of version {state.former}, since {began}, by {state.who}: {state.why}"
    out.print(head, highlight=False, markup=False, soft_wrap=True)
    if state.is_over:
        out.print(f"It has ended: {state.outcome}. {state.reason}", highlight=False, markup=False, soft_wrap=True)
    elif state.phase == "starting":
        out.print("It is packaged, and its replicas are started.")
    elif state.phase == "keeping":
        out.print(f"It serves everybody; version {state.former} is still ready.", highlight=False)
    else:
        minutes = (time.time() - state.step_began) / 60
        paused = f", paused by {state.paused_by}" if state.paused_by else ""
        out.print(f"Step {step}, for {minutes:.1f} min{paused}.", highlight=False, markup=False)
        for lacks in state.missing:
            out.print(f"  Missing: {lacks}", highlight=False, markup=False, soft_wrap=True)
    if state.trouble:
        out.print(f"  Trouble: {state.trouble}", style="yellow", highlight=False, markup=False, soft_wrap=True)
    if state.measures:
        table = Table("check", "value", "limit", "n", "subjects", "verdict", title=f"Last verdict: {state.verdict}")
        for measure in state.measures:
            shown = [_figure(measure.get(name)) for name in ("name", "value", "limit", "n", "subjects", "verdict")]
            table.add_row(*shown)
        out.print(table)


def _history(records: list[Record]) -> None:
    table = Table("when", "what", "step", "who", "why", title="This release")
    for record in records:
        when = time.strftime("%m-%d %H:%M:%S", time.localtime(record.when))
        table.add_row(when, record.what, record.step, record.who, record.sentence)
    if records:
        out.print(table)


def _figure(value: object) -> str:
    if value is None:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
