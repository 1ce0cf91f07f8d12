# Names the lock that Ghost's migrations take, and releases it where no Ghost is there that could hold it.
set -eu
client=$(command -v mariadb || command -v mysql)
ask() { "$client" --defaults-extra-file=/etc/ghost/client.cnf --batch --skip-column-names --execute="$1" ghost; }

tables=$(ask "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = 'ghost' AND table_name = 'migrations_lock'")
[ "$tables" = 1 ] || exit 0
since=$(ask "SELECT COALESCE(acquired_at, 'at a time not noted') FROM migrations_lock WHERE lock_key = 'km01' AND locked = 1")
[ -n "$since" ] || exit 0

# The user `ghost` sees its own connections; this one is among them.
others=$(ask "SELECT COUNT(*) FROM information_schema.processlist WHERE user = 'ghost' AND id <> CONNECTION_ID()")
if [ "$others" != 0 ]; then
    echo "migrations_lock: taken $since, and $others connections of Ghost are open: left as it is" >&2
    exit 1
fi
ask "UPDATE migrations_lock SET locked = 0, released_at = NOW() WHERE lock_key = 'km01'"
echo "migrations_lock: taken $since by a Ghost that is gone: released" >&2
