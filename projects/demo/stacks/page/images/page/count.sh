#!/bin/sh
# Counts one more, and says how many there were: Valkey answers each line with one of its own, a number behind a colon.
set -eu

password=$(cat /run/secrets/page-counter-password)
said=$(printf 'AUTH %s\r\nINCR looked-at\r\nQUIT\r\n' "$password" | nc counter.page 6379)
printf 'Content-Type: text/plain\r\n\r\n%s\n' "$(printf '%s\n' "$said" | sed -n 's/^:\([0-9]*\).*/\1/p')"
