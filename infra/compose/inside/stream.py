"""The consumer of the stack, `python -m infra.compose.inside.stream`: once there is a champion, it runs the stream.

With `--check` it says whether the stream is worked on: it ends with 1 if a message has waited for five minutes.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable, Sequence

from har.settings import Settings, load_settings
from infra.compose.inside._client import client_environment
from infra.compose.inside._entry import run

LONGEST_WAIT_S = 300.0
_LOOK_S = 15.0


def main() -> None:
    """Become `har stream run` once there is a champion.

    Raises:
        SettingsError: a secret or har.toml cannot be read.
    """
    os.environ.update(client_environment())
    os.makedirs(os.environ["TMPDIR"], exist_ok=True)  # noqa: PTH103  a string of the environment
    wait_for_champion(load_settings())
    os.execvp("har", ["har", "stream", "run"])  # noqa: S606  the image's own


def wait_for_champion(settings: Settings, sleep: Callable[[float], None] = time.sleep) -> None:
    """Wait until a version serves; the promotion log says so, without MLflow."""
    from har.registry import PromotionLog

    log, said = PromotionLog(settings.path("mlflow")), False
    while True:
        entries = log.read(settings.project.name)
        if entries and entries[-1].champion_after is not None:
            return
        if not said:
            logging.getLogger("har.stream").warning("the stream waits for a champion: run train/weekly")
            said = True
        sleep(_LOOK_S)


def check(settings: Settings) -> int:
    """1 if a message has waited for five minutes, which it does while nobody works on its shard; else 0."""
    from infra.observability.figures import stream

    oldest = [
        sample.value
        for metric in stream(settings)
        if metric.name == "har_stream_oldest_waiting_timestamp_seconds"
        for sample in metric.samples
    ]
    waited = time.time() - min(oldest, default=time.time())
    if waited > LONGEST_WAIT_S:
        print(f"A message has waited for {waited:.0f} s.", file=sys.stderr)
        return 1
    return 0


def _entry(arguments: Sequence[str]) -> None:
    if list(arguments) == ["--check"]:
        raise SystemExit(check(load_settings()))
    main()


if __name__ == "__main__":
    run(lambda: _entry(sys.argv[1:]))
