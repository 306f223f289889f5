"""Bring MLflow's database to the installed release: `python -m infra.compose.inside.mlflow_upgrade`, in `mlflow`.

As `mlflow db upgrade` does, but the address, which has the password, is no argument.
"""

from __future__ import annotations

from infra.compose.inside._entry import run
from infra.compose.inside._secrets import database


def main() -> None:
    """Upgrade the database; one that is up to date stays as it is."""
    from mlflow.store.db.utils import _upgrade_db, create_sqlalchemy_engine_with_retry

    engine = create_sqlalchemy_engine_with_retry(database("psycopg", "mlflow"))  # type: ignore[no-untyped-call]
    _upgrade_db(engine)  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    run(main)
