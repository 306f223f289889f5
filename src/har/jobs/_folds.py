"""Folds that are done stay done: a cross-validation that ended early goes on with those that are missing."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from har.console import bar, console
from har.engine import Each, here
from har.files import write_atomically
from har.jobs._cross_validation import FoldPart, FoldResult, evaluate_fold


@dataclass(frozen=True)
class KeptFolds:
    """An `Each` that runs folds by another one, shows a bar, and keeps their results until they are forgotten.

    Attributes:
        each: runs the folds, and any other parts.
        runs: the folder for unfinished work.
        decided_by: what decides about a fold besides its subjects and seed, as JSON's values; code and packages count,
            too.
    """

    each: Each
    runs: Path
    decided_by: Any

    @property
    def folder(self) -> Path:
        """Where the results are."""
        content = json.dumps([self.decided_by, here()], sort_keys=True)
        return self.runs / f"evaluation-{hashlib.sha256(content.encode()).hexdigest()[:16]}"

    def __call__(self, function: Callable[[Any], Any], parts: Sequence[Any], /) -> Iterator[Any]:
        """Run the parts; of folds, those that are not kept.

        If folds fail, the results of the others are kept.
        """
        if function is not evaluate_fold:
            yield from self.each(function, parts)
            return
        folder = self.folder
        read = ((part, _read(folder / _name(part), part)) for part in parts)
        known = {_name(part): result for part, result in read if result is not None}
        missing = [part for part in parts if _name(part) not in known]
        if known:
            console.print(f"{len(known)} of {len(parts)} folds are done since an earlier run.", highlight=False)
        with bar("Cross-validation", len(missing), "folds") as advance:
            for result in self.each(evaluate_fold, missing):
                known[_name(result)] = result
                _write(folder / _name(result), result)
                advance(f"accuracy {result.accuracy:6.1%}")
        yield from (known[_name(part)] for part in parts)

    def forget(self) -> None:
        """Remove the results, also those of other code or data, which nobody will ask for."""
        for folder in self.runs.glob("evaluation-*"):
            shutil.rmtree(folder)


def _name(fold: FoldPart | FoldResult) -> str:
    subjects = json.dumps(fold.held_out).encode()
    return f"{fold.seed}-{hashlib.sha256(subjects).hexdigest()[:16]}.npz"


def _write(path: Path, result: FoldResult) -> None:
    content = io.BytesIO()
    np.savez(content, **asdict(result))
    write_atomically(path, content.getvalue())


def _read(path: Path, part: FoldPart) -> FoldResult | None:
    """A kept result; None: there is none that can be read, so the fold is to be trained."""
    try:
        with path.open("rb") as file, np.load(file) as content:
            return FoldResult(part.seed, part.held_out, content["probabilities"], float(content["accuracy"]))
    except (OSError, ValueError, KeyError, BadZipFile):
        return None
