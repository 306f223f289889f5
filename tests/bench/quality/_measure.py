"""Every part of every peer once: what is done stays done, so that an interrupted run goes on where it ended."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from har.evaluation import Outcome
from har.files import make_folder, replacing
from tests.bench.quality._apart import UnavailableError, timed
from tests.bench.quality._data import Data
from tests.bench.quality._peers import Answer, Part, Peer, Result

BATCH = 64
"""Windows of a batch."""
_ROUNDS, _CALLS = 10, 10
_BUDGET_S = 1.0
"""Of processor time per peer, after which it gets no further round."""


@dataclass(frozen=True, eq=False)
class Measured:
    """A peer's answers on one set.

    Attributes:
        peer: who.
        outcomes: one per seed, over all windows.
        seconds: of training, the mean over folds and seeds; processor time on one thread.
        model: the stored model of the first fold.
        problem: why it could not run; "" if it ran.
    """

    peer: Peer
    outcomes: tuple[Outcome, ...] = ()
    seconds: float = 0.0
    model: Path = Path()
    problem: str = ""


@dataclass(frozen=True)
class Speed:
    """Median processor time of one window in µs, asked alone and in batches of `BATCH`."""

    one_us: float
    batch_us: float


def measure(data: Data, peer: Peer, seeds: Sequence[int], *, say: Progress) -> Measured:
    """Run the parts that are missing, and collect all."""
    folder = make_folder(data.folder / f"{peer.name}-{hashlib.sha256(peer.code().encode()).hexdigest()[:12]}")
    parts = [(seed, fold) for seed in (seeds if peer.seeded else seeds[:1]) for fold in range(len(data.folds))]
    model = model_of(data, peer)
    known = {part: found for part in parts if (found := _read(_path(folder, part), part)) is not None}
    missing = [part for part in parts if part not in known]
    if not model.exists() and (0, 0) in parts and (0, 0) not in missing:
        missing.insert(0, (0, 0))
    try:
        for result in peer.run(data, missing, model) if missing else ():
            known[result.part] = result
            _write(_path(folder, result.part), result)
            say(f"{data.name}, {data.protocol.name}, {peer.name}: {len(known)} of {len(parts)} parts")
    except UnavailableError as error:
        return Measured(peer, problem=str(error))
    return Measured(
        peer,
        tuple(_outcomes(data, known)),
        float(np.mean([result.seconds for result in known.values()])),
        model,
    )


class Progress:
    """Tells the run how far it is, with the time of day."""

    def __call__(self, text: str) -> None:
        """Print one line."""
        print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def model_of(data: Data, peer: Peer) -> Path:
    """Where a peer's model of the first fold is kept; of its present code, as results are."""
    suffix = {"minirocket": ".json"}.get(peer.name, ".onnx" if hasattr(peer, "network") else ".pickle")
    code = hashlib.sha256(peer.code().encode()).hexdigest()[:12]
    return make_folder(data.folder / f"{peer.name}-{code}") / f"model{suffix}"


def speeds(data: Data, measured: Sequence[Measured]) -> Mapping[str, Speed]:
    """Time all stored models in one process, in turn, so that whatever else the machine does hits them alike.

    Processor time of this thread leaves out waiting for a core; medians ignore single disturbed calls. The first of
    `measured` is the default network.
    """
    ran = [one for one in measured if not one.problem]
    default = measured[0].model
    answers: dict[str, Answer] = {}
    found: dict[str, Speed] = {}
    for one in ran:
        answer = one.peer.open(one.model, default)
        if answer is None:
            found[one.peer.name] = Speed(timed(one.model)["one_us"], timed(one.model)["batch_us"])
        else:
            answers[one.peer.name] = answer
    windows = data.windows.batch(slice(0, BATCH))
    ones = _medians(answers, windows[:1])
    batches = _medians(answers, windows)
    found |= {name: Speed(ones[name], batches[name] / len(windows)) for name in answers}
    return found


def _medians(answers: Mapping[str, Answer], windows: NDArray[np.float32]) -> dict[str, float]:
    """Median µs of a call of each: in each round some calls in a row, as a service that is busy makes them."""
    taken: dict[str, list[int]] = {name: [] for name in answers}
    for _ in range(_ROUNDS):
        for name, answer in answers.items():
            if sum(taken[name]) > _BUDGET_S * 1e9:
                continue
            answer(windows)
            for _ in range(_CALLS):
                began = time.thread_time_ns()
                answer(windows)
                taken[name].append(time.thread_time_ns() - began)
    return {name: float(np.median(times)) / 1e3 for name, times in taken.items()}


def _outcomes(data: Data, known: Mapping[Part, Result]) -> Iterator[Outcome]:
    labels = data.windows.labels.astype(np.int64)
    for seed in sorted({seed for seed, _ in known}):
        probabilities = np.full((len(labels), len(data.signal.activities)), np.nan, np.float32)
        for fold in range(len(data.folds)):
            probabilities[data.fold_of == fold] = known[seed, fold].probabilities
        yield Outcome(labels, probabilities, data.windows.subjects, data.signal.activities)


def _path(folder: Path, part: Part) -> Path:
    return folder / f"{part[0]}-{part[1]}.npz"


def _write(path: Path, result: Result) -> None:
    with replacing(path) as new, new.open("wb") as file:
        np.savez(file, probabilities=result.probabilities, seconds=result.seconds)


def _read(path: Path, part: Part) -> Result | None:
    try:
        with path.open("rb") as file, np.load(file) as held:
            return Result(part, held["probabilities"], float(held["seconds"]))
    except (OSError, ValueError, KeyError, BadZipFile):
        return None
