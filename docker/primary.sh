#!/usr/bin/env bash
# Run once by the image `postgres`, in the new primary: the roles, and who may replicate.
set -euo pipefail

psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 --username="${POSTGRES_USER:-postgres}" --dbname="$POSTGRES_DB" \
    --set=app="$APP_PASSWORD" --set=service="$PGBRAID_SERVICE_PASSWORD" --set=replication="$REPLICATION_PASSWORD" <<'SQL'
CREATE ROLE app LOGIN PASSWORD :'app';
CREATE ROLE pgbraid LOGIN PASSWORD :'service';
GRANT pg_monitor TO pgbraid;
CREATE ROLE replication LOGIN REPLICATION PASSWORD :'replication';
SELECT pg_create_physical_replication_slot('replica', true);
GRANT CREATE ON DATABASE :"DBNAME" TO app;
GRANT CREATE ON SCHEMA public TO app;
SQL

echo 'host replication replication all scram-sha-256' >>"$PGDATA/pg_hba.conf"
