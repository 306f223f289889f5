"""Hours of mixed requests in minutes: does the online service's memory stay flat?"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from rich.console import Console

from tests.bench import _load
from tests.bench._online import CONNECTIONS, ours
from tests.bench._project import Project, make

LARGEST_GROWTH = 0.05
_WARM_UP = 0.1
_SLICE_S = 10


def soak(folder: Path, requests: int, *, console: Console) -> float:
    """Send at least so many requests, good and bad ones, JSON and float32; returns the growth of the worker's RSS.

    Memory is compared with what it was after a tenth of them: by then every buffer has met its largest request.
    """
    with console.status("Making a package to serve …"):
        project = make(folder)
    mixed = _load.write(folder / "mixed", mix(project))
    sent = refused = 0
    before = 0.0
    with ours(project, folder / "ours.log") as server:
        while sent < requests:
            load = _load.send(server.port, mixed, connections=CONNECTIONS, seconds=_SLICE_S, refusals=True)
            project.empty_journal()
            sent, refused = sent + load.requests, refused + load.refused
            rss = server.worker_rss_mb()
            if not before and sent >= _WARM_UP * requests:
                before = rss
            console.print(f"{sent:>9,} requests, {refused:,} of them refused as they should be: {rss:.1f} MB")
        after = server.worker_rss_mb()
    growth = after / before - 1
    console.print(
        f"RSS of the worker: {before:.1f} MB, then {after:.1f} MB: {growth:+.1%} (at most {LARGEST_GROWTH:.0%})"
    )
    return growth


def mix(project: Project) -> list[bytes]:
    """A thousand requests such as a service meets: mostly one window, some with many, one in ten wrong."""
    rng = np.random.default_rng(0)
    length, channels = project.settings.length, project.channels
    windows = _load.made_up(64, length, channels)
    broken = windows[:1].copy()
    broken[0, 3, 2] = np.nan
    activity = project.settings.activities.all[0]
    text = "application/json"
    bad = [
        _load.post("/predict", b'{"windows": [[[', text),
        _load.post("/predict", b'{"windows": [[[1, 2, 3]]]}', text),
        _load.post("/predict", b'{"windows": "none", "subject": 7}', text),
        _load.post("/predict", b"", "text/plain"),
        _load.post_raw(broken),
        _load.post_raw(windows[:1, :-1]),
        _load.post("/predict/raw?shape=1,2", b"1234", "application/octet-stream"),
        _load.post("/feedback", b'{"activity": "no such thing", "request_id": "a-1"}', text),
    ]
    requests = []
    for _ in range(1000):
        count = int(rng.choice([1, 2, 8, 40], p=[0.85, 0.08, 0.05, 0.02]))
        some = windows[rng.permutation(64)[:count]]
        draw = rng.random()
        if draw < 0.1:
            requests.append(bad[int(rng.integers(len(bad)))])
        elif draw < 0.13:
            requests.append(
                _load.post("/feedback", f'{{"activity": "{activity}", "request_id": "a-1"}}'.encode(), text)
            )
        elif draw < 0.15:
            requests.append(_load.get("/model"))
        else:
            requests.append((_load.post_raw if draw < 0.6 else _load.post_json)(some))
    # Prometheus asks, too: through BentoML's own layers.
    requests[500] = _load.get("/metrics")
    return requests
