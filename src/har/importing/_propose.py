"""Propose the command for a folder of tables that could not be imported: guessed from some files, and tried on them."""

from __future__ import annotations

import csv
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import polars as pl

from har.errors import HarError
from har.files import temporary_folder
from har.importing._guess import Guess, guess_columns
from har.importing._kinds import refuse_other_kinds
from har.importing._survey import survey
from har.recordings._parquet import opened_parquet
from har.recordings.layouts import Layout, Source
from har.recordings.layouts._tables.apart import SensorFiles, pattern_of
from har.recordings.layouts._tables.format import fields, head_lines
from har.settings import Settings

LAYOUTS = ("csv", "parquet")
"""The layouts whose options can be guessed."""
_FILES = 3
_ROWS = 400
_SKIPPED = 200
_NAMES = {",": "comma", ";": "semicolon", "\t": "tab", " ": "space"}


@dataclass(frozen=True)
class Proposal:
    """A command that reads the folder.

    Attributes:
        command: ready to copy, as a dry run.
        tried: number of files on which it was tried.
        read: number of these that it could read.
        why_not: why the first of the others could not be read.
        labels: labels that the project does not have.
        notes: what the files do not tell, and a person must.
    """

    command: str
    tried: int
    read: int
    why_not: str
    labels: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Arguments:
    options: Mapping[str, str]
    units: Mapping[str, str]
    notes: Sequence[str]


def propose(
    layout: Layout,
    path: Path,
    settings: Settings,
    options: Mapping[str, str],
    units: Mapping[str, str],
) -> Proposal | None:
    """The command that reads most of some files of the folder; None if nothing can be guessed.

    Options that were given are kept, unless the files are read only without them.

    Args:
        layout: the reader; of others than `csv` and `parquet` nothing can be guessed.
        path: the folder or file to import.
        settings: the project's.
        options: the reader's options that were given.
        units: unit by sensor, as given.
    """
    if layout.name not in LAYOUTS:
        return None
    source = Source(path, {}, settings)
    patterns = ("*.csv", "*.txt", "*.tsv") if layout.name == "csv" else ("*.parquet",)
    files = [file for file in source.files(*patterns) if not file.name.startswith("._")]
    best: Proposal | None = None
    for file in _spread(files):
        try:
            refuse_other_kinds(file, layout)
            form, table, above = _head(file, layout.name)
            guess = guess_columns(table, settings, decimal=_decimal(form), above=above)
        except (HarError, OSError, ValueError, LookupError, csv.Error, pl.exceptions.PolarsError):
            continue  # no table: the refusal of that file says why
        apart = _apart(guess, files, layout.name, settings)
        guessed = {**form, **guess.options, **_paths(files, path, apart, "subject" in guess.options)}
        guessed_units = _units(guess, settings)
        notes = [*guess.notes, *([] if apart else _lacking(guess, settings))]
        targets = SensorFiles().accelerometers(files) if apart else files
        for mixed, mixed_units in (
            ({**guessed, **options}, {**guessed_units, **units}),
            ({**options, **guessed}, {**units, **guessed_units}),
        ):
            arguments = _Arguments(_needed(mixed, settings), mixed_units, notes)
            found = _try(layout, path, targets, settings, arguments)
            if best is None or found.read > best.read:
                best = found
            if best.read == best.tried:
                return best
    return best


def _spread(files: Sequence[Path]) -> list[Path]:
    """The first, the last and one in between."""
    if len(files) <= _FILES:
        return [*files]
    return [files[round(index * (len(files) - 1) / (_FILES - 1))] for index in range(_FILES)]


def _head(file: Path, layout: str) -> tuple[dict[str, str], dict[str, list[str]], str]:
    """The options of the text's form, the first rows as text by column, and what stands above the header."""
    if layout == "parquet":
        with opened_parquet(file, str(file)) as opened:
            frame = pl.concat(islice(opened.blocks(opened.header, _ROWS), 2))
        flat = frame.select(pl.col(name) for name in frame.columns if not frame.schema[name].is_nested())
        return {}, {name: flat[name].cast(pl.String).fill_null("").to_list() for name in flat.columns}, ""
    form: dict[str, str] = {}
    try:
        lines = head_lines(file, str(file), "")
    except HarError:
        lines = head_lines(file, str(file), "cp1252")
        form["encoding"] = "cp1252"
    if lines and lines[0].strip().strip('"').casefold().startswith("sep="):
        lines = lines[1:]
    complete = [line for line in lines[: _SKIPPED + _ROWS] if line.strip()][:-1] or lines
    delimiter, start, width = _body(complete)
    rows = [fields(line, delimiter) for line in complete[start:]]
    names = rows[0]
    if _is_data(names):
        names = tuple(f"column{number}" for number in range(1, width + 1))
        form["header"] = ",".join(names)
    else:
        rows = rows[1:]
    if start:
        form["skip"] = str(lines.index(complete[start]))
    usual = max(",", ";", "\t", key=complete[start].count)
    if delimiter != usual:
        form["delimiter"] = _NAMES[delimiter]
    rows = [row for row in rows if len(row) >= width]
    table = {name: [row[index] for row in rows] for index, name in enumerate(names)}
    if delimiter != "," and any("," in text and "." not in text for row in rows[:20] for text in row):
        form["decimal"] = "comma"
    return form, table, "\n".join(complete[:start])


def _body(lines: Sequence[str]) -> tuple[str, int, int]:
    """The delimiter, the line of the header or first row, and the number of fields."""
    best = (0, "", 0, 0)
    for delimiter in _NAMES:
        widths = [len(row) for row in csv.reader(lines, delimiter=delimiter)]
        if len(widths) != len(lines):
            continue  # quoted line feeds
        width = widths[-1]
        start = len(widths)
        while start and widths[start - 1] == width:
            start -= 1
        if width > 2 or (width > 1 and delimiter != " "):
            best = max(best, (width * (len(widths) - start), delimiter, start, width), key=lambda one: one[0])
    return best[1] or ",", best[2], best[3]


def _is_data(row: Sequence[str]) -> bool:
    digits = sum(any(character.isdigit() for character in text) and not text[:1].isalpha() for text in row)
    return digits > len(row) / 2


def _apart(guess: Guess, files: Sequence[Path], layout: str, settings: Settings) -> bool:
    """Whether each sensor has a file of its own; then the columns of both are noted."""
    if settings.sensors.gyroscope is None or settings.sensors.accelerometer is None or len(guess.triples) != 1:
        return False
    for file in SensorFiles().accelerometers(files)[:1]:
        columns, names = {}, {}
        try:
            pair = {"accelerometer": file, "gyroscope": SensorFiles().gyroscope_of(file)}
            for kind, one in pair.items():
                form, table, above = _head(one, layout)
                found = guess_columns(table, settings, decimal=_decimal(form), above=above)
                (columns[kind],) = found.triples.values()
                names[f"{kind}-file"] = pattern_of(one, kind)
                if kind == "accelerometer":
                    guess.units[kind] = next(iter(found.units.values()))
        except (HarError, OSError, ValueError, LookupError, csv.Error, pl.exceptions.PolarsError):
            return False  # no pair, or other columns than three: the refusals say which
        guess.units.pop("gyroscope", None)
        guess.options.update({kind: ",".join(one) for kind, one in columns.items()})
        if columns["accelerometer"] != columns["gyroscope"]:
            guess.options.update(names)
        return True
    return False


def _decimal(form: Mapping[str, str]) -> str:
    return "," if form.get("decimal") == "comma" else "."


def _units(guess: Guess, settings: Settings) -> dict[str, str]:
    """The units that are not those of har.toml."""
    sensors = {"accelerometer": settings.sensors.accelerometer, "gyroscope": settings.sensors.gyroscope}
    return {kind: unit for kind, unit in guess.units.items() if (one := sensors[kind]) is not None and one.unit != unit}


def _lacking(guess: Guess, settings: Settings) -> list[str]:
    """The sensors of the project that the file does not have, as notes."""
    sensors = {"accelerometer": settings.sensors.accelerometer, "gyroscope": settings.sensors.gyroscope}
    return [
        f"No columns x, y and z of a {kind} were found: if there are none, this project cannot use the files, unless "
        f"[sensors.{kind}] is removed from har.toml."
        for kind, sensor in sensors.items()
        if sensor is not None and kind not in guess.triples
    ]


def _paths(files: Sequence[Path], root: Path, apart: bool, subject: bool) -> dict[str, str]:
    """The option that names subject and session from the paths; none where the default does."""
    if subject or all("_" in file.stem and not apart for file in files):
        return {}
    depths = {len(file.relative_to(root).parts) for file in files} if root.is_dir() else {1}
    if min(depths) >= 3:
        return {"pattern": "{subject}/{session}/*" if apart else "{subject}/*/{session}.*"}
    if min(depths) == 2 or (apart and root.is_dir()):
        return {"pattern": "{subject}/*" if apart else "{subject}/{session}.*"}
    return {"pattern": "{subject}.*"}


def _needed(options: Mapping[str, str], settings: Settings) -> dict[str, str]:
    """Without the options that say what holds anyway."""
    defaults = {
        "time": settings.recordings.time_column,
        "time-unit": settings.recordings.time_unit,
        "activity": settings.recordings.activity_column,
    }
    for kind in ("accelerometer", "gyroscope"):
        sensor = getattr(settings.sensors, kind)
        defaults[kind] = ",".join(sensor.channels) if sensor else options.get(kind, "")
    needed = {name: value for name, value in options.items() if defaults.get(name) != value}
    if options.get("time-unit") == "samples":
        needed.pop("time", None)
    elif "rate" in needed:
        del needed["rate"]
    if options.get("time-unit") != "iso":
        needed.pop("time-format", None)
    return needed


def _try(layout: Layout, path: Path, files: Sequence[Path], settings: Settings, guess: _Arguments) -> Proposal:
    read, why_not, labels = 0, "", set[str]()
    chosen = _spread(files)
    for file in chosen:
        with temporary_folder("propose") as folder:
            try:
                found = survey(layout, file, settings, folder, options=guess.options, units=guess.units, inbox=False)
            except HarError as error:
                why_not = why_not or str(error)
                continue
        read += bool(found.staged)
        labels |= set(found.labels.unknown)
        why_not = why_not or next((str(one.error) for one in found.refused if not found.staged), "")
    parts = ["har", "import", layout.name, str(path), "--dry-run"]
    for name, value in guess.options.items():
        parts += ["-o", f"{name}={value}"]
    for name, value in guess.units.items():
        parts += ["--unit", f"{name}={value}"]
    return Proposal(shlex.join(parts), len(chosen), read, why_not, tuple(sorted(labels)), tuple(guess.notes))
