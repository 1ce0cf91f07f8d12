#!/bin/sh
# Starts Ghost; fills a new content volume first with the directories and themes that it comes with.
set -eu

case "$*" in
    node*current/index.js*)
        for source in "$GHOST_INSTALL"/content.orig/* "$GHOST_INSTALL"/content.orig/themes/*; do
            target=$GHOST_CONTENT/${source#"$GHOST_INSTALL"/content.orig/}
            [ -e "$target" ] && continue
            # Under another name first: a theme is there whole or not at all.
            rm -rf "$target.making"
            cp -R "$source" "$target.making"
            mv "$target.making" "$target"
        done
        ;;
esac
exec "$@"
