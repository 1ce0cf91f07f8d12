#!/bin/sh
# Starts PostgreSQL, and makes its cluster first where there is none.
#
# The same contract as the upstream postgres image: POSTGRES_USER, POSTGRES_DB, POSTGRES_PASSWORD, POSTGRES_INITDB_ARGS and
# POSTGRES_HOST_AUTH_METHOD, the first three also as NAME_FILE; PGDATA; /docker-entrypoint-initdb.d/*.sh and *.sql.
#
# A cut of power leaves no half cluster that passes for a whole one. The cluster is made in $PGDATA/.making; when
# whole and on disk it is renamed to .made; its files are then moved up, PG_VERSION last. So:
# PG_VERSION there: a whole cluster. .made there: moving was cut short, go on. .making there: begin again.
set -eu

if [ "${1:-postgres}" = postgres ] || [ "${1#-}" != "$1" ]; then
    [ "${1:-}" != postgres ] || shift
    set -- postgres "$@"
else
    exec "$@"
fi

# NAME from itself or from the file in NAME_FILE, with a default; both at once is a mistake.
from_file() {
    eval "value=\${$1:-} file=\${$1_FILE:-}"
    if [ -n "$value" ] && [ -n "$file" ]; then
        echo "reading $1: $1 and $1_FILE are both set; set one" >&2
        exit 1
    fi
    [ -z "$file" ] || value=$(cat "$file")
    eval "$1=\${value:-\$2}"
    # What postgres starts inherits its environment: a password has no place there.
    unset "$1_FILE"
}

make_cluster() {
    from_file POSTGRES_PASSWORD ''
    from_file POSTGRES_USER postgres
    from_file POSTGRES_DB "$POSTGRES_USER"
    POSTGRES_HOST_AUTH_METHOD=${POSTGRES_HOST_AUTH_METHOD:-scram-sha-256}
    if [ -z "$POSTGRES_PASSWORD" ] && [ "$POSTGRES_HOST_AUTH_METHOD" != trust ]; then
        echo "making the cluster: no password; set POSTGRES_PASSWORD_FILE" >&2
        exit 1
    fi

    for entry in "$PGDATA"/* "$PGDATA"/.[!.]*; do
        case ${entry##*/} in
            '*' | '.[!.]*' | lost+found | .making) ;;
            *) echo "making the cluster: $PGDATA holds ${entry##*/} but no PG_VERSION; empty it or mount another" >&2; exit 1 ;;
        esac
    done
    new=$PGDATA/.making
    rm -rf "$new"

    printf '%s\n' "$POSTGRES_PASSWORD" > /tmp/.password
    [ -n "$POSTGRES_PASSWORD" ] && set -- --pwfile=/tmp/.password || set --
    # Where no time zone is named, initdb compares every one there is with the clock.
    # shellcheck disable=SC2086 -- POSTGRES_INITDB_ARGS is a list of words, as upstream.
    TZ=${TZ:-Etc/UTC} initdb --pgdata="$new" --username="$POSTGRES_USER" --encoding=UTF8 --no-sync --auth-local=trust \
        --auth-host="$POSTGRES_HOST_AUTH_METHOD" "$@" ${POSTGRES_INITDB_ARGS:-}
    rm -f /tmp/.password
    unset POSTGRES_PASSWORD
    echo "host all all all $POSTGRES_HOST_AUTH_METHOD" >> "$new/pg_hba.conf"
    echo "listen_addresses = '*'" >> "$new/postgresql.conf"

    if [ "$POSTGRES_DB" != postgres ] || [ -n "$(ls -A /docker-entrypoint-initdb.d)" ]; then
        fill_cluster
    fi
    sync
    mv "$new" "$PGDATA/.made"
}

fill_cluster() {
    # On no port, and its socket not where pg_isready looks: until the cluster is whole it must not seem to be up.
    export PGHOST=/tmp
    pg_ctl -D "$new" -w -s -o "-c listen_addresses='' -c unix_socket_directories=/tmp -c fsync=off" start
    if [ "$POSTGRES_DB" != postgres ]; then
        printf 'CREATE DATABASE :"db";\n' |
            psql -qX -v ON_ERROR_STOP=1 -v db="$POSTGRES_DB" -U "$POSTGRES_USER" -d postgres
    fi
    for script in /docker-entrypoint-initdb.d/*; do
        case $script in
            *.sh) . "$script" ;;
            *.sql) psql -qX -v ON_ERROR_STOP=1 -U "$POSTGRES_USER" -d "$POSTGRES_DB" -f "$script" ;;
        esac
    done
    pg_ctl -D "$new" -m fast -w -s stop
    unset PGHOST
}

move_up() {
    for entry in "$PGDATA/.made"/* "$PGDATA/.made"/.[!.]*; do
        case ${entry##*/} in
            '*' | '.[!.]*' | PG_VERSION) ;;
            *) mv "$entry" "$PGDATA/" ;;
        esac
    done
    sync
    mv "$PGDATA/.made/PG_VERSION" "$PGDATA/"
    rmdir "$PGDATA/.made"
    sync
}

mkdir -p "$PGDATA"
chmod 0700 "$PGDATA" 2>/dev/null || :
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    [ -d "$PGDATA/.made" ] || make_cluster
    move_up
fi
[ ! -d "$PGDATA/.made" ] || rmdir "$PGDATA/.made"
exec "$@"
