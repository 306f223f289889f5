"""MiniRocket with a ridge classifier, from aeon, in an environment of its own: aeon pins other packages than ours."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from har.files import make_folder, write_atomically
from tests.bench.quality._data import Data, code_of
from tests.bench.quality._peers import Part, Peer, Result, one_hot

AEON = "aeon==1.6.0"
_SCRIPT = Path(__file__).with_name("_minirocket.py")


class UnavailableError(Exception):
    """A peer cannot run here, such as for want of a network to install it from; the message says why."""


class MiniRocketPeer(Peer):
    """Dempster et al. 2021 (arXiv 2012.08791); 10,000 kernels.

    Args:
        environment: the folder of the environment, made when it is first needed.
    """

    name = "minirocket"
    what = f"MiniRocket's 10,000 features with a ridge classifier, {AEON}"

    def __init__(self, environment: Path) -> None:
        self.environment = environment

    def code(self) -> str:
        """Of the script and of aeon."""
        return f"{code_of(_SCRIPT)} {AEON}"

    def run(self, data: Data, parts: Sequence[Part], model: Path) -> Iterator[Result]:
        """All parts in one process; those that an earlier, interrupted run finished are there already."""
        python = self._python()
        work = make_folder(model.with_suffix(".work"))
        if not (work / "windows.npz").exists():
            windows = data.windows
            np.savez(
                work / "windows.npz",
                windows=windows.batch(np.arange(len(windows))),
                labels=windows.labels.astype(np.int64),
                folds=data.fold_of,
            )
        open_parts = [part for part in parts if not _file(work, part).exists()]
        write_atomically(work / "parts.json", json.dumps(open_parts))
        one_thread = {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        subprocess.run(
            [python, "-W", "ignore", _SCRIPT, work], check=True, env={"PATH": str(python.parent), **one_thread}
        )
        for part in parts:
            found = json.loads(_file(work, part).read_text(encoding="utf-8"))
            if part == (0, 0):
                write_atomically(model, json.dumps({name: found[name] for name in ("bytes", "one_us", "batch_us")}))
            answers = one_hot(np.array(found["answers"]), len(data.signal.activities))
            yield Result(part, answers, found["seconds"])

    def open(self, model: Path, default: Path) -> None:
        """Timed beside aeon; see `timed`."""

    def size(self, model: Path) -> int:
        """Bytes of the pickled pipeline."""
        return int(timed(model)["bytes"])

    def _python(self) -> Path:
        python = self.environment / "bin" / "python"
        if not (self.environment / "ready").exists():
            version = f"{sys.version_info.major}.{sys.version_info.minor}"
            uv = [sys.executable, "-m", "uv"]
            for command in (
                [*uv, "venv", "--quiet", "--clear", "--python", version, str(self.environment)],
                [*uv, "pip", "install", "--quiet", "--python", str(python), AEON],
            ):
                done = subprocess.run(command, capture_output=True, text=True)
                if done.returncode:
                    raise UnavailableError(f"{AEON} could not be installed: {done.stderr.strip().splitlines()[-1]}")
            (self.environment / "ready").touch()
        return python


def timed(model: Path) -> dict[str, Any]:
    """What the other process measured of its model: bytes, and µs a window, one by one and in batches."""
    found: dict[str, Any] = json.loads(model.read_text(encoding="utf-8"))
    return found


def _file(work: Path, part: Part) -> Path:
    return work / f"{part[0]}-{part[1]}.json"
