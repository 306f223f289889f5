#!/bin/bash
# Create what Prefect, MLflow and the stream's history need in Postgres: a user and a database each, with the passwords of the secret files.
# It runs when the database is new, and again with every `make stack`: so an interrupted first start is completed, and
# a renewed password is taken over.
set -euo pipefail
for name in prefect mlflow stream; do
  # The stream's is there where its profile is.
  [ -r "/run/secrets/${name}_db_password" ] || continue
  # By the environment: arguments could be read by others, and would stand in Postgres' log.
  NAME=$name PASSWORD=$(cat "/run/secrets/${name}_db_password") \
    psql --quiet --no-psqlrc --set ON_ERROR_STOP=1 --username postgres --dbname postgres --output /dev/null <<'SQL'
\getenv name NAME
\getenv password PASSWORD
SELECT format('CREATE ROLE %I LOGIN', :'name') WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'name') \gexec
ALTER ROLE :"name" PASSWORD :'password';
SELECT format('CREATE DATABASE %I OWNER %I ENCODING ''UTF8'' TEMPLATE template0', :'name', :'name')
  WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'name') \gexec
REVOKE ALL ON DATABASE :"name" FROM PUBLIC;
SQL
done
