"""Collect the pages about models for publishing: `build/delivery/report/`, and `artifact.tar` as GitHub Pages takes it.

The pages of models and of the cross-validation, an index of them, and the gate's decision. Pages about people's days
stay where they are: movement data are health data, and a published page may be public.
"""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path

from har.console import console
from har.errors import RegistryError
from har.files import make_folder
from har.pages import write_index
from har.settings import load_settings
from infra.delivery._step import results, run_step
from infra.delivery.offline.gate import NAME as GATE

PUBLISHED = ("evaluation.html", "model-*.html")
FOLDER, ARCHIVE = "report", "artifact.tar"


def collect(reports: Path, target: Path, *, title: str) -> list[str]:
    """Copy the pages that may be published from `reports` to the new folder `target`; returns their names.

    Raises:
        RegistryError: there is no page of a model.
    """
    pages = sorted(path for pattern in PUBLISHED for path in reports.glob(pattern))
    if not any(path.name.startswith("model-") for path in pages):
        raise RegistryError(
            where=str(reports), expected="a page of a model", got="none", remedy="Train one: `make deliver-train`."
        )
    shutil.rmtree(target, ignore_errors=True)
    make_folder(target)
    for path in pages:
        shutil.copyfile(path, target / path.name)
    write_index(target, title=title)
    (target / ".index.lock").unlink(missing_ok=True)
    return [path.name for path in pages]


def archive(folder: Path, path: Path) -> Path:
    """Pack the folder's files, without owners or times, so that the same pages give the same bytes."""
    with tarfile.open(path, "w") as tar:
        for file in sorted(folder.rglob("*")):
            entry = tar.gettarinfo(file, arcname=f"./{file.relative_to(folder)}")
            entry.uid = entry.gid = entry.mtime = 0
            entry.uname = entry.gname = ""
            entry.mode = 0o755 if file.is_dir() else 0o644
            if file.is_file():
                with file.open("rb") as content:
                    tar.addfile(entry, content)
            else:
                tar.addfile(entry)
    return path


def _main() -> int:
    settings = load_settings()
    folder = results(settings.root)
    pages = collect(settings.path("reports"), folder / FOLDER, title=settings.project.name)
    if (folder / GATE).is_file():
        shutil.copyfile(folder / GATE, folder / FOLDER / GATE)
    path = archive(folder / FOLDER, folder / ARCHIVE)
    console.print(f"{len(pages)} pages and an index in {folder / FOLDER}; {path}", highlight=False, soft_wrap=True)
    return 0


if __name__ == "__main__":
    run_step(_main)
