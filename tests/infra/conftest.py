"""Functions to look at processes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

import psutil
import pytest


def _is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.fixture
def all_gone() -> Callable[..., bool]:
    """Whether none of the processes is left after a while at most."""

    def check(pids: Iterable[int], within_s: float = 15.0) -> bool:
        deadline = time.monotonic() + within_s
        left = set(pids)
        while left and time.monotonic() < deadline:
            left = {pid for pid in left if not _is_gone(pid)}
            time.sleep(0.05)
        return not left

    return check
