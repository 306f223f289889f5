"""Check a sample of the inbox against the data contract: the real readers and the pandera schema, nothing is moved.

    make data-contract [FILES=20] [SEED=0]

Names are checked of all files, contents of FILES of them, drawn with SEED. Where the inbox is empty, the embedded
recordings are checked instead, which tries the readers and the contract. The result is in
`build/delivery/data-contract.json`; the step ends with 1 if a file breaks the contract.
"""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from har.console import console
from har.errors import RecordingError, SettingsError
from har.files import temporary_folder
from har.recordings import InboxFile, cut_at_midnight, inbox_files, read_recording
from har.settings import Settings, load_settings
from infra.delivery._sample import sample_project
from infra.delivery._step import BAD, results, run_step, write_json

FILES = 20


@dataclass(frozen=True)
class Breach:
    """A file that breaks the contract: which, the line (0: the file as a whole), the error's class and its message."""

    file: str
    line: int
    error: str
    message: str


@dataclass(frozen=True)
class Checked:
    """What was checked.

    Attributes:
        source: `inbox` or `sample`.
        files: files of the source with a valid name.
        read: those of them whose content was checked.
        rows: samples in these.
        breaches: what is wrong, by file.
    """

    source: str
    files: int
    read: tuple[str, ...]
    rows: int
    breaches: tuple[Breach, ...]


def check_inbox(settings: Settings, *, files: int = FILES, seed: int = 0, source: str = "inbox") -> Checked:
    """Check the names of all files of the inbox and the content of at most `files` of them.

    Raises:
        LakeError: the inbox cannot be read.
    """
    listing = inbox_files(settings.path("inbox"))
    breaches = [_breach(stray.path.name, stray.error) for stray in listing.strays]
    drawn = draw(listing.files, files, seed)
    rows = 0
    for file in drawn:
        try:
            recording = read_recording(file, settings)
            cut_at_midnight(file, recording, settings)
        except RecordingError as error:
            breaches.append(_breach(file.where, error))
        else:
            rows += recording.quality.samples_read
    return Checked(source, len(listing.files), tuple(file.where for file in drawn), rows, tuple(breaches))


def draw(listed: Sequence[InboxFile], files: int, seed: int) -> list[InboxFile]:
    """At most so many of the files, in the order of their paths; the same seed draws the same of the same files."""
    ordered = sorted(listed, key=lambda file: file.path)
    if len(ordered) <= files:
        return ordered
    return sorted(random.Random(seed).sample(ordered, files), key=lambda file: file.path)  # noqa: S311


def _breach(file: str, error: RecordingError) -> Breach:
    return Breach(file, error.line, type(error).__name__, str(error))


def _number(name: str, default: int, least: int) -> int:
    text = os.environ.get(name) or str(default)
    if not text.isascii() or not text.isdigit() or int(text) < least:
        raise SettingsError(
            where=name,
            expected=f"a whole number of at least {least}",
            got=repr(text),
            remedy=f"Such as {name}={default}.",
        )
    return int(text)


def _main() -> int:
    settings = load_settings()
    files, seed = _number("FILES", FILES, 1), _number("SEED", 0, 0)
    listing = inbox_files(settings.path("inbox"))
    if listing.files or listing.strays:
        checked = check_inbox(settings, files=files, seed=seed)
    else:
        console.print(f"The inbox ({settings.path('inbox')}) is empty: the embedded recordings are checked instead.")
        with temporary_folder("contract") as folder:
            checked = check_inbox(sample_project(settings, folder), files=files, seed=seed, source="sample")
    return _report(checked, seed, settings.root)


def _report(checked: Checked, seed: int, root: Path) -> int:
    path = write_json(
        results(root) / "data-contract.json",
        {**vars(checked), "seed": seed, "breaches": [vars(breach) for breach in checked.breaches]},
    )
    for breach in checked.breaches:
        console.print(f"{breach.error}: {breach.message}", highlight=False, markup=False, soft_wrap=True)
    console.print(
        f"Data contract: {len(checked.read)} of {checked.files} files read ({checked.source}, seed {seed}), "
        f"{checked.rows} rows, {len(checked.breaches)} breaches; {path}",
        highlight=False,
        soft_wrap=True,
    )
    return BAD if checked.breaches else 0


if __name__ == "__main__":
    run_step(_main)
