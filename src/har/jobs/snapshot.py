"""Take the inbox and the labels into DVC, restore them, and say which snapshot holds what a model is trained on."""

from __future__ import annotations

import socket

from rich.markup import escape

from har.console import console
from har.errors import SnapshotError
from har.project import Project
from har.recipe import Recipe
from har.registry import whoami
from har.snapshots import Coverage, Restored, Snapshots, Taken, is_configured

FILES = "recordings.json"
"""Beside a registered model: the recordings that its lake was made from, path below the inbox to SHA-256."""


def take(project: Project, why: str, *, empty: bool = False) -> Taken:
    """Take a snapshot of the inbox and the labels; see `har.snapshots.Snapshots.take`.

    Raises:
        SnapshotError: no git repository, no DVC, nothing to take, a remote that cannot be reached, another run.
        StorageError: a disk is full or refuses.
    """
    who = f"{whoami()}@{socket.gethostname() or 'localhost'}"
    return Snapshots(project.settings).take(why, who=who, lake=project.lake, empty=empty)


def restore(project: Project, commit: str) -> Restored:
    """Bring the inbox and the label files back to a snapshot; see `har.snapshots.Snapshots.restore`.

    Raises:
        SnapshotError: no snapshot at this commit, or a file that is in none is in the way.
        StorageError: a disk is full or refuses.
    """
    return Snapshots(project.settings).restore(commit)


def before_training(project: Project) -> str:
    """Take a snapshot where a DVC remote is configured; one that fails is told and does not end the training.

    Returns:
        Why it failed, for the recipe; "": it did not, or is not wanted.
    """
    if not (project.settings.snapshots.before_training and is_configured(project.settings.root)):
        return ""
    try:
        taken = take(project, "before training")
    except Exception as error:  # noqa: BLE001  no snapshot is a lesser evil than no model, whatever the cause
        console.print(f"[yellow]No snapshot before training:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
        return f"the snapshot before the training failed ({type(error).__name__})"
    said = "taken" if taken.new else "nothing changed since"
    console.print(f"Snapshot {taken.snapshot.commit[:12]} of the raw data: {said}.", highlight=False)
    return ""


def coverage(project: Project, recipe: Recipe) -> Coverage:
    """Whether the snapshot of the recipe's commit holds what the lake has at the recipe's versions."""
    lake = project.lake
    rows = lake.recordings.read(columns=["date", "subject", "samples"], version=recipe.recordings_version)
    listed = {(date, subject): count for date, subject, count in rows.group_by("date", "subject").sum().iter_rows()}
    counted = {day: count for day, count in lake.samples.counts(version=recipe.lake_version).items() if count}
    if {day: count for day, count in listed.items() if count} != counted:
        return Coverage({}, "files were ingested while the training began")
    labels = lake.labels.read(version=recipe.labels_version) if recipe.labels_version >= 0 else None
    try:
        return Snapshots(project.settings).coverage(recipe.git_commit, ingested_files(project, recipe), labels)
    except SnapshotError as error:
        return Coverage({}, str(error.got or error.problem))


def ingested_files(project: Project, recipe: Recipe) -> dict[str, str]:
    """The files that the lake has at the recipe's versions, by path below the inbox, with their SHA-256."""
    rows = project.lake.recordings.read(columns=["file", "sha256"], version=recipe.recordings_version)
    return dict(rows.unique().iter_rows())
