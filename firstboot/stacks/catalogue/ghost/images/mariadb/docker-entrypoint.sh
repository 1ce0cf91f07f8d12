#!/bin/sh
# Starts MariaDB, and makes its database first where there is none.
#
# The contract of the published mariadb image: MARIADB_ROOT_PASSWORD, MARIADB_DATABASE, MARIADB_USER and MARIADB_PASSWORD, each
# also as NAME_FILE; MARIADB_ROOT_HOST; /docker-entrypoint-initdb.d/*.sh and *.sql; the account that healthcheck.sh asks with. Not:
# the older names MYSQL_*, a random or an empty password, time zones by name.
#
# A cut of power leaves no half database that passes for a whole one. It is made in $data/.making; when whole and on disk
# it is renamed to .made; its files are then moved up, the system's tables in `mysql` last. So: mysql there: a whole
# database. .made there: moving was cut short, go on. .making there: begin again.
set -eu
data=/var/lib/mysql

if [ "${1:-mariadbd}" = mariadbd ] || [ "${1#-}" != "$1" ]; then
    [ "${1:-}" != mariadbd ] || shift
    set -- mariadbd "$@"
else
    exec "$@"
fi

# NAME from itself or from the file in NAME_FILE; both at once is a mistake.
from_file() {
    eval "value=\${$1:-} file=\${$1_FILE:-}"
    if [ -n "$value" ] && [ -n "$file" ]; then
        echo "reading $1: $1 and $1_FILE are both set; set one" >&2
        exit 1
    fi
    [ -z "$file" ] || value=$(cat "$file")
    eval "$1=\$value"
    unset "$1_FILE"
}

# A string of SQL's, and a name of SQL's.
text() { printf "'%s'" "$(printf %s "$1" | sed "s/[\\\\']/\\\\&/g")"; }
name() { printf '`%s`' "$(printf %s "$1" | sed 's/`/``/g')"; }

make_database() {
    for variable in MARIADB_ROOT_PASSWORD MARIADB_DATABASE MARIADB_USER MARIADB_PASSWORD; do
        from_file "$variable"
    done
    if [ -z "$MARIADB_ROOT_PASSWORD" ]; then
        echo "making the database: no password; set MARIADB_ROOT_PASSWORD_FILE" >&2
        exit 1
    fi
    for entry in "$data"/* "$data"/.[!.]*; do
        case ${entry##*/} in
            '*' | '.[!.]*' | lost+found | .making) ;;
            *) echo "making the database: $data holds ${entry##*/} but no mysql; empty it or mount another" >&2; exit 1 ;;
        esac
    done
    new=$data/.making
    rm -rf "$new"
    mariadb-install-db --no-defaults --datadir="$new" --skip-test-db --auth-root-authentication-method=normal \
        --skip-log-bin --loose-innodb-flush-method=fsync > /tmp/install-db.log || { cat /tmp/install-db.log >&2; exit 1; }
    rm -f /tmp/install-db.log
    fill_database
    sync
    mv "$new" "$data/.made"
}

fill_database() {
    # On no port, and its socket not where healthcheck.sh looks: until the database is whole it must not seem to be up.
    socket=/tmp/.making.sock
    mariadbd --no-defaults --datadir="$new" --socket="$socket" --pid-file=/tmp/.making.pid --skip-networking --skip-log-bin &
    server=$!
    until mariadb-admin --no-defaults --socket="$socket" --user=root --silent ping 2>/dev/null; do
        kill -0 "$server" || exit 1
        sleep 0.2
    done
    sql() { mariadb --no-defaults --socket="$socket" --user=root --binary-mode "$@"; }
    accounts | sql
    for script in /docker-entrypoint-initdb.d/*; do
        case $script in
            *.sh) . "$script" ;;
            *.sql) sql ${MARIADB_DATABASE:+--database="$MARIADB_DATABASE"} < "$script" ;;
        esac
    done
    passwords | sql
    wait "$server"
    unset MARIADB_ROOT_PASSWORD MARIADB_PASSWORD
}

accounts() {
    echo "DELETE FROM mysql.global_priv WHERE User IN ('', 'root') AND Host <> 'localhost'; FLUSH PRIVILEGES;"
    [ -z "$MARIADB_DATABASE" ] || echo "CREATE DATABASE $(name "$MARIADB_DATABASE");"
    if [ -n "$MARIADB_USER" ] && [ -n "$MARIADB_PASSWORD" ]; then
        echo "CREATE USER $(text "$MARIADB_USER")@'%' IDENTIFIED BY $(text "$MARIADB_PASSWORD");"
        [ -z "$MARIADB_DATABASE" ] ||
            echo "GRANT ALL ON $(name "$(printf %s "$MARIADB_DATABASE" | sed 's/[_%]/\\&/g')").* TO $(text "$MARIADB_USER")@'%';"
    fi
    asking=$(tr -dc A-Za-z0-9 < /dev/urandom | head -c 32)
    for host in localhost 127.0.0.1 ::1; do
        echo "CREATE USER healthcheck@'$host' IDENTIFIED BY '$asking';"
    done
    (umask 077 && printf '[mariadb-client]\nuser=healthcheck\npassword=%s\n' "$asking" > "$new/.my-healthcheck.cnf")
}

# Root's last, and the server's end with it: whoever comes after needs the password.
passwords() {
    host=${MARIADB_ROOT_HOST:-%}
    if [ "$host" != localhost ]; then
        echo "CREATE USER root@$(text "$host") IDENTIFIED BY $(text "$MARIADB_ROOT_PASSWORD");"
        echo "GRANT ALL ON *.* TO root@$(text "$host") WITH GRANT OPTION;"
    fi
    echo "ALTER USER root@localhost IDENTIFIED BY $(text "$MARIADB_ROOT_PASSWORD"); SHUTDOWN;"
}

move_up() {
    for entry in "$data/.made"/* "$data/.made"/.[!.]*; do
        case ${entry##*/} in
            '*' | '.[!.]*' | mysql) ;;
            *) mv "$entry" "$data/" ;;
        esac
    done
    sync
    mv "$data/.made/mysql" "$data/"
    rmdir "$data/.made"
    sync
}

if [ ! -d "$data/mysql" ]; then
    [ -d "$data/.made" ] || make_database
    move_up
fi
[ ! -d "$data/.made" ] || rmdir "$data/.made"
exec "$@"
