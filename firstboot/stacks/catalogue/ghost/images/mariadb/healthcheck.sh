#!/bin/sh
# Whether MariaDB is well, as the published image's healthcheck.sh is asked: --connect, --innodb_initialized.
set -eu

ask() {
    mariadb --defaults-extra-file=/var/lib/mysql/.my-healthcheck.cnf --protocol=tcp --host=127.0.0.1 --skip-ssl \
        --batch --skip-column-names --execute="$1"
}

[ $# -gt 0 ] || { echo "asking for health: name a test, as --connect" >&2; exit 1; }
for test; do
    case $test in
        --connect) [ "$(ask 'SELECT @@skip_networking')" = 0 ] ;;
        --innodb_initialized)
            [ "$(ask "SELECT COUNT(*) FROM information_schema.ENGINES WHERE ENGINE = 'InnoDB' AND SUPPORT IN ('YES', 'DEFAULT')")" = 1 ] ;;
        *) echo "asking for health: this image's healthcheck.sh does not know $test" >&2; exit 1 ;;
    esac
done
