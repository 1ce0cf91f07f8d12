#!/bin/sh
# Starts Valkey: with options or a configuration file alone, as the published image does. What it writes only it can read.
set -eu

if [ "${1#-}" != "$1" ] || [ "${1%.conf}" != "$1" ]; then
    set -- valkey-server "$@"
fi
umask 0077
# shellcheck disable=SC2086 -- a list of words, as in the published image.
exec "$@" ${VALKEY_EXTRA_FLAGS:-}
