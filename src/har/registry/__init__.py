"""Registered model versions on MLflow, their aliases and the promotion log.

`Registry` registers model files, moves the aliases `challenger` → `champion` → `previous` and writes the promotion log.
MLflow takes seconds to import; it is imported when it is first needed.
"""

from har.console import whoami
from har.registry._backend import ARTIFACTS, DATABASE, artifact_location, is_local, local_database
from har.registry._catalog import Version
from har.registry._copy import DUMP, copy_sqlite, load_dump
from har.registry._files import CACHE
from har.registry._git import GitState, git_state, worktree
from har.registry._promotions import Promotion, PromotionLog
from har.registry._store import Registry

__all__ = [
    "ARTIFACTS",
    "CACHE",
    "DATABASE",
    "DUMP",
    "GitState",
    "Promotion",
    "PromotionLog",
    "Registry",
    "Version",
    "artifact_location",
    "copy_sqlite",
    "git_state",
    "is_local",
    "load_dump",
    "local_database",
    "whoami",
    "worktree",
]
