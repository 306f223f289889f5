"""The tables of a shard."""

from __future__ import annotations

FORMAT = 1

TABLES = """
CREATE TABLE IF NOT EXISTS meta(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS streams(
    id INTEGER PRIMARY KEY,
    subject TEXT NOT NULL, device TEXT NOT NULL, session TEXT NOT NULL,
    sequences BLOB NOT NULL,
    received INTEGER NOT NULL DEFAULT 0, duplicate INTEGER NOT NULL DEFAULT 0, rejected INTEGER NOT NULL DEFAULT 0,
    waiting INTEGER NOT NULL DEFAULT 0, scored INTEGER NOT NULL DEFAULT 0, late INTEGER NOT NULL DEFAULT 0,
    samples INTEGER NOT NULL DEFAULT 0, windows INTEGER NOT NULL DEFAULT 0, short INTEGER NOT NULL DEFAULT 0,
    seen_us INTEGER NOT NULL DEFAULT 0, skew_us INTEGER NOT NULL DEFAULT 0, rate_hz REAL NOT NULL DEFAULT 0,
    placement TEXT NOT NULL DEFAULT '',
    UNIQUE(subject, device, session)
);
CREATE TABLE IF NOT EXISTS messages(
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    stream INTEGER NOT NULL, sequence INTEGER NOT NULL, t0_us INTEGER NOT NULL, rate_hz REAL NOT NULL,
    received_us INTEGER NOT NULL, placement TEXT NOT NULL, rows INTEGER NOT NULL, samples BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS tracks(stream INTEGER PRIMARY KEY, track BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS smoothing(stream INTEGER PRIMARY KEY, state BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS people(subject TEXT PRIMARY KEY, state BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS names(
    date TEXT NOT NULL, subject TEXT NOT NULL, session TEXT NOT NULL, device TEXT NOT NULL, stream TEXT NOT NULL,
    name TEXT NOT NULL, at INTEGER NOT NULL DEFAULT (unixepoch()),
    PRIMARY KEY(date, subject, session, device, stream)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS predictions(
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    date TEXT NOT NULL, subject TEXT NOT NULL, session TEXT NOT NULL, request_id TEXT NOT NULL,
    start_us INTEGER NOT NULL, end_us INTEGER NOT NULL,
    activity TEXT NOT NULL, confidence REAL NOT NULL, abstained INTEGER NOT NULL, model_version INTEGER NOT NULL,
    smoothed TEXT NOT NULL, unknown INTEGER, final INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS samples(
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    date TEXT NOT NULL, subject TEXT NOT NULL, session TEXT NOT NULL, segment INTEGER NOT NULL, device TEXT NOT NULL,
    placement TEXT NOT NULL, rate_hz REAL NOT NULL, resampled INTEGER NOT NULL,
    rows INTEGER NOT NULL, times BLOB NOT NULL, samples BLOB NOT NULL, flags BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS sessions(
    date TEXT NOT NULL, subject TEXT NOT NULL, session TEXT NOT NULL, row BLOB NOT NULL,
    at INTEGER NOT NULL DEFAULT (unixepoch()),
    PRIMARY KEY(date, subject, session)
) WITHOUT ROWID;
"""
"""`messages` are those that wait; `predictions` and `samples` are the outbox.

`sessions` has, per session in the lake, what it had after the last commit; `names` has what the
sessions of streams are called there.
"""
