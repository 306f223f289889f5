"""Prefect flows, one per file. A flow runs a job of `har.jobs` and adds retries, artifacts and events."""

from flows import _logs as _logs
