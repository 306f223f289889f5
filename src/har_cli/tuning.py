"""The command that searches the settings of training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from har.errors import SettingsError
from har_cli._shared import Network, ViaPrefect, out, run

_GROUPS = ("training", "network", "windows")


def tune(
    network: Network = None,
    trials: Annotated[
        int | None, typer.Option(min=0, help="Configurations to try now; 0: report on those that are known.")
    ] = None,
    timeout: Annotated[float | None, typer.Option(min=0, help="Begin no configuration after so many seconds.")] = None,
    space: Annotated[str | None, typer.Option(help="What may change, with commas: training, network, windows.")] = None,
    folds: Annotated[int | None, typer.Option(min=2)] = None,
    apply: Annotated[bool, typer.Option("--apply", help="Write the best configuration into har.toml.")] = False,
    via_prefect: ViaPrefect = False,
) -> None:
    """Search the settings of training by subject, without the held-out subjects; again: go on.

    Writes reports/tuning.json and .html, and shows the best configuration as lines of har.toml.
    """
    groups = _groups(space)

    def job() -> object:
        from har.project import open_project

        project = open_project()
        project.lake.require_samples()  # before torch is imported, which takes seconds
        from har.jobs.tune import tune

        return tune(project, network=network, trials=trials, timeout_s=timeout, groups=groups, folds=folds, apply=apply)

    def flow() -> object:
        from flows.tune import tune

        return tune(network=network, trials=trials, timeout_s=timeout, groups=groups, folds=folds, apply=apply)

    report = run(job, flow, via_prefect=via_prefect)
    figures, metric = report.figures, report.figures["metric"]
    made = figures["trials"]
    out.print(
        f"{sum(made.values())} configurations of {figures['network']}: {made['complete']} complete, "
        f"{made['pruned']} pruned, {made['failed']} failed.",
        highlight=False,
    )
    out.print(f"The project's own: {metric} {_figure(figures['start'])}", highlight=False)
    out.print(
        f"The best: {metric} {_figure(figures['best'])}; too good, as it was chosen by this figure.", highlight=False
    )
    if report.lines:
        further = figures["further_seeds"]
        if further:
            change = further["best_less_start"]
            out.print(
                f"Under further seeds ({further['seeds']}) it changes {metric} by {change['value']:+.2%} "
                f"({change['low']:+.2%} to {change['high']:+.2%}) on the same subjects.",
                highlight=False,
            )
        out.print(f"\n{report.lines}\n", highlight=False, markup=False, soft_wrap=True)
        to_write = "Write these lines into har.toml: har tune --trials 0 --apply"
        out.print("har.toml has these lines now." if report.applied else to_write)
        out.print("The held-out subjects decide: har train.")
    else:
        out.print("No configuration is better than the project's own.")
    out.print(f"Page: {report.page}", highlight=False)


def _figure(one: dict[str, float]) -> str:
    return f"{one['value']:.2%} ({one['low']:.2%} to {one['high']:.2%} over subjects)"


def _groups(text: str | None) -> Sequence[str] | None:
    if text is None:
        return None
    groups = [name.strip() for name in text.split(",") if name.strip()]
    if not groups or not set(groups) <= set(_GROUPS):
        raise SettingsError(
            where="--space", expected=f"some of {', '.join(_GROUPS)}", got=repr(text), remedy="Join them by commas."
        )
    return groups
