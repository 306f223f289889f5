"""Torch's random generator and its number of threads belong to the process: who needs them fixed takes its turn."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

_TURN = threading.RLock()


@contextmanager
def alone() -> Iterator[None]:
    """Be the only user of torch among all that ask for it here, on one thread; restores the number of threads.

    Sums depend on the number of threads, so results would depend on the machine; and steps as small as ours gain
    nothing from more than one. Whoever has many trainings to do and many cores does them in several processes.
    """
    with _TURN:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(threads)
