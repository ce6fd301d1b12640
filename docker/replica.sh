#!/usr/bin/env bash
# The replica's start: copies the primary the first time, then streams from it.
set -euo pipefail

if [ ! -s "$PGDATA/PG_VERSION" ]; then
    chmod 0700 "$PGDATA"
    pg_basebackup --pgdata="$PGDATA" --slot=replica --write-recovery-conf --wal-method=stream --checkpoint=fast \
        --dbname="host=$PRIMARY_HOST port=${PRIMARY_PORT:-5432} user=replication password=$REPLICATION_PASSWORD application_name=replica"
fi
exec postgres "$@"
