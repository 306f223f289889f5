"""Print the champion's packaged boxes as JSON: `python -m infra.compose.inside.packaged`, in the worker."""

from __future__ import annotations

import json

from har.errors import PackagingError
from har.jobs.package import TAGS
from har.project import open_project
from infra.bentoml.bentos import ProjectBentos
from infra.compose.inside._entry import run


def main() -> None:
    """Print version and tags.

    Raises:
        NoChampionError: there is no champion yet.
        PackagingError: it is not packaged yet.
    """
    project = open_project()
    champion = project.registry.champion()
    online, batch = (champion.tags.get(tag, "") for tag in TAGS)
    bentos = ProjectBentos.of(project.settings)
    model = f"{project.settings.project.name}:{online.partition(':')[2]}"
    if not online or not batch or not bentos.holds(online, batch, model):
        raise PackagingError(
            where=f"version {champion.number}",
            problem="the champion is not packaged yet",
            remedy="Run the deployment: python -m infra.compose run prefect deployment run package/champion --watch.",
        )
    print(json.dumps({"version": champion.number, "online": online, "batch": batch, "model": model}))


if __name__ == "__main__":
    run(main)
