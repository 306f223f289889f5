"""Copy the registry's database while others use it, and load such a copy into an empty one."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import subprocess
from pathlib import Path

from har.errors import BackupError
from har.registry._backend import DATABASE, is_local, tracking_uri

DUMP = "mlflow.pgdump"
"""The copy of a Postgres database, as `pg_dump --format=custom` writes it."""

_POSTGRES = "postgresql"


def copy_sqlite(source: Path, target: Path) -> None:
    """Copy a SQLite database that other processes may write to at this moment.

    Raises:
        BackupError: it cannot be read, or is damaged.
    """
    try:
        with (
            contextlib.closing(sqlite3.connect(f"{source.resolve().as_uri()}?mode=ro", uri=True, timeout=60)) as reader,
            contextlib.closing(sqlite3.connect(target)) as writer,
        ):
            reader.backup(writer)
            writer.execute("PRAGMA journal_mode = DELETE")
            problem = str(writer.execute("PRAGMA quick_check(1)").fetchone()[0])
    except sqlite3.Error as error:
        problem = str(error)
    if problem != "ok":
        raise BackupError(
            where=str(source),
            expected="a database that can be read",
            got=problem,
            remedy="Restore it from an earlier backup.",
        )


def copy_database(folder: Path, target: Path) -> None:
    """Copy the registry's database into the folder `target`: SQLite's file, or a dump of Postgres.

    Raises:
        BackupError: it cannot be copied from here.
    """
    if is_local():
        if (folder / DATABASE).exists():
            copy_sqlite(folder / DATABASE, target / DATABASE)
        return
    command = ["--format=custom", "--no-owner", "--no-privileges", f"--file={target / DUMP}", f"--dbname={_address()}"]
    _run("pg_dump", command)


def load_dump(dump: Path) -> None:
    """Load a dump of Postgres into the registry's database, which has to be empty.

    Raises:
        BackupError: the registry has another kind of database, or one that is not empty; or loading fails, and nothing
            was loaded.
    """
    address = _address()
    tables = _run("psql", ["--no-psqlrc", "--tuples-only", "--no-align", "--command", _COUNT, f"--dbname={address}"])
    if tables.strip() != "0":
        raise BackupError(
            where=tracking_uri(),
            expected="an empty database",
            got=f"one with {tables.strip()} tables",
            remedy="Create another database (createdb), and name it in tracking.uri.",
        )
    options = ["--no-owner", "--no-privileges", "--single-transaction", "--exit-on-error", f"--dbname={address}"]
    _run("pg_restore", [*options, str(dump)])


_COUNT = "select count(*) from pg_tables where schemaname not in ('pg_catalog', 'information_schema')"


def _address() -> str:
    """The address of the registry's Postgres as its own programs take it."""
    scheme, _, rest = tracking_uri().partition("://")
    if scheme.partition("+")[0] != _POSTGRES:
        got = "a file in paths.mlflow" if is_local() else tracking_uri()
        raise BackupError(
            where="registry",
            expected="a database in Postgres",
            got=got,
            remedy="Where an MLflow server or another database has the versions, copy its database there, at the same "
            "time, and run `har backup --without-database`.",
        )
    return f"{_POSTGRES}://{rest}"


def _run(name: str, arguments: list[str]) -> str:
    program = shutil.which(name)
    if program is None:
        raise BackupError(
            where=name, expected="a program of Postgres", got="none", remedy="apt-get install postgresql-client"
        )
    environment = {**os.environ, "PGCONNECT_TIMEOUT": os.environ.get("PGCONNECT_TIMEOUT", "10")}
    # Never asks for a password: it comes from PGPASSWORD or ~/.pgpass.
    done = subprocess.run(
        [program, "--no-password", *arguments], capture_output=True, text=True, check=False, env=environment
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise BackupError(
            where=tracking_uri(),
            problem=f"{name} failed: {lines[0][:300]}",
            remedy="Check that the database can be reached, that PGPASSWORD or ~/.pgpass has the password, and that "
            "the program is not older than the server.",
        )
    return done.stdout
