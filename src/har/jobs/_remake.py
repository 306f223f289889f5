"""`python -m har.jobs._remake RECIPE.json INBOX LABELS FOLDER`: make a lake again from raw files.

`har reproduce` runs the code of a recorded commit by this command, so its arguments and its answer stay as they are.
Arguments: the recipe with the settings, a folder of recordings, the file `labels.parquet` (or `-`), the folder of the
new lake. The answer is a line of JSON on standard output: the versions of `samples`, `recordings` and `labels`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from har.jobs.ingest import ingest
from har.project import Project
from har.settings import Settings
from har.snapshots import add_table


def main(arguments: list[str]) -> int:
    """Ingest all of the inbox, then the labels; returns 3 if a file was not ingested."""
    recipe, inbox, labels, folder = arguments
    settings = Settings.from_values(json.loads(Path(recipe).read_text(encoding="utf-8"))["settings"], root=Path.cwd())
    here = {"inbox": Path(inbox), "quarantine": Path(folder) / "quarantine", "lake": Path(folder)}
    paths = settings.paths.model_copy(update=here)
    project = Project(settings.model_copy(update={"paths": paths}))
    report = ingest(project)
    if labels != "-":
        add_table(Path(labels), project.lake)
    versions = {name: getattr(project.lake, name).version() for name in ("samples", "recordings", "labels")}
    print(json.dumps(versions))
    return 0 if report.complete and not report.unfinished else 3


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
