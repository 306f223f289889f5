"""Registered model versions on MLflow, their aliases and the promotion log.

`Registry` registers model files, moves the aliases `challenger` → `champion` → `previous` and writes the promotion log.
MLflow takes seconds to import; it is imported when it is first needed.
"""

from har.registry._backend import artifact_location, local_database
from har.registry._catalog import Version
from har.registry._git import GitState, git_state, worktree
from har.registry._promotions import Promotion, whoami
from har.registry._store import Registry

__all__ = [
    "GitState",
    "Promotion",
    "Registry",
    "Version",
    "artifact_location",
    "git_state",
    "local_database",
    "whoami",
    "worktree",
]
