"""`python -m bentos.batch INPUT OUTPUT [--model FOLDER]`: score one input and end; for cron or a Kubernetes Job.

Exit status: 0: done; 2: the input or the arguments are wrong; 1: the model or the disk fails. Errors are one line on
stderr.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

from bentos.batch import Scored, Scorer, delta_samples, parquet_samples
from har.errors import HarError, RecordingError, RequestError
from har.inference import Package
from har.settings import Settings, load_settings

_CODE = Path(__file__).resolve().parents[2]
_BENTO = _CODE.parent
_REPORT_EVERY_S = 2.0


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m bentos.batch", description="Score samples with the packaged model."
    )
    parser.add_argument(
        "input", type=Path, metavar="INPUT", help="Parquet file, or folder of a Delta table, of samples"
    )
    parser.add_argument(
        "output", type=Path, metavar="OUTPUT", help="Parquet file of predictions; replaced when complete"
    )
    parser.add_argument(
        "--model", type=Path, metavar="FOLDER", help="package folder; default: that of the bento or project"
    )
    options = parser.parse_args(arguments)
    try:
        _check(options.input, options.output)
        settings, package = _open(options.model)
        _run(options.input, options.output, settings, package)
    except HarError as error:
        bad = isinstance(error, RecordingError | RequestError)
        print(f"{options.input}: {error}" if bad else str(error), file=sys.stderr)
        return 2 if bad else 1
    return 0


def _check(source: Path, target: Path) -> None:
    if not source.exists():
        raise RequestError(
            where="INPUT",
            expected="a Parquet file or a Delta table",
            got="no file or folder",
            remedy="Check the path.",
        )
    if target.is_dir() or not target.parent.is_dir():
        got = "a folder" if target.is_dir() else f"no folder {target.parent}"
        raise RequestError(
            where="OUTPUT",
            expected="a file in a folder that exists",
            got=got,
            remedy="Give the path of a file, or create the folder.",
        )


def _open(model: Path | None) -> tuple[Settings, Package]:
    inside_bento = (_BENTO / "bento.yaml").exists()
    home = (
        _BENTO.parents[2]
        if inside_bento
        else load_settings(None if "HAR_ROOT" in os.environ else _CODE).path("bentoml")
    )
    if "BENTOML_HOME" not in os.environ and (not inside_bento or (home / "models").is_dir()):
        os.environ["BENTOML_HOME"] = str(home)
    # After the variable is set: BentoML reads it at import.
    from bentoml._internal.configuration.containers import BentoMLContainer
    from bentoml._internal.models import ModelStore

    from bentos import _project

    settings = _project.settings()
    if model is not None:
        return settings, Package.read(model)
    if inside_bento and (_BENTO / "models").is_dir():  # in an image, the model is inside the bento
        BentoMLContainer.model_store.set(ModelStore(_BENTO / "models"))
    return settings, _project.package(_project.model(settings))


def _run(source: Path, target: Path, settings: Settings, package: Package) -> None:
    began = reported = time.monotonic()

    def report(done: Scored) -> None:
        nonlocal reported
        if time.monotonic() - reported >= _REPORT_EVERY_S:
            reported = time.monotonic()
            print(f"{done.samples:,} samples, {done.windows:,} windows", file=sys.stderr, flush=True)

    samples = delta_samples(source, settings) if source.is_dir() else parquet_samples(source, settings)
    done = Scorer(package, settings).score(samples, target, progress=report)
    for text in done.warnings.values():
        print(f"warning: {text}", file=sys.stderr)
    print(
        f"{done.samples:,} samples, {done.windows:,} windows by model version {package.version} "
        f"in {time.monotonic() - began:.1f} s: {target}",
        file=sys.stderr,
    )


if __name__ == "__main__":
    sys.exit(main())
