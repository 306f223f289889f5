"""Registered versions on MLflow: what was trained, from what, which one serves, and who decided it when.

`Registry` registers model files, moves the aliases `challenger` → `champion` → `previous` and keeps the promotion log.
MLflow is imported on the first real question.
"""

from har.registry._catalog import Version
from har.registry._git import GitState, git_state, worktree
from har.registry._promotions import Promotion, whoami
from har.registry._store import Registry

__all__ = [
    "GitState",
    "Promotion",
    "Registry",
    "Version",
    "git_state",
    "whoami",
    "worktree",
]
