#!/bin/sh
# Starts HAProxy in front of Docker's socket. DISABLE_IPV6 decides on the address, which HAProxy takes from no variable.
set -eu

case ${DISABLE_IPV6:-} in
    1 | [Tt][Rr][Uu][Ee] | [Yy][Ee][Ss]) address=:2375 ;;
    *) address='[::]:2375 v4v6' ;;
esac
sed "s/\${BIND_CONFIG}/$address/" /usr/local/etc/haproxy/haproxy.cfg.template > /tmp/haproxy.cfg

[ "${1#-}" = "$1" ] || set -- haproxy "$@"
if [ "$1" = haproxy ]; then
    shift
    # A master that takes SIGUSR1 for "finish what is running", in the foreground.
    set -- haproxy -W -db "$@"
fi
exec "$@"
