# Installs what Ghost's own lock file pins, for the image's architecture, without running a script of any package's.

unpack() {
    mkdir -p "$2"
    tar -xzf "$DOWNLOADS/$1" -C "$2" --strip-components=1 --no-same-owner
}

version=$(tar -xzOf "$DOWNLOADS/ghost.tgz" package/package.json | sed -n 's/^  "version": "\(.*\)",$/\1/p')
home=$OUT/var/lib/ghost
ghost=$home/versions/$version
unpack ghost.tgz "$ghost"
unpack "node-$ARCH.tgz" node
unpack "node-$HOST_ARCH.tgz" node-here
unpack "pnpm-$HOST_ARCH.tgz" pnpm
mkdir -p "$OUT/usr/local/bin"
cp node/bin/node "$OUT/usr/local/bin/"

work=$PWD
cd "$ghost"
case $ARCH in amd64) cpu=x64 ;; *) cpu=$ARCH ;; esac
CI=true "$work/pnpm/pnpm" install --prod --frozen-lockfile --ignore-scripts --silent \
    --os=linux --cpu=$cpu --libc=glibc --store-dir="$work/store" --package-import-method=copy
# Ghost's own list of what no running Ghost reads.
"$work/node-here/bin/node" --no-warnings scripts/prune.mts . --profile=image > /dev/null

# What pnpm notes of when and where it worked, and programs that nobody runs, which name the place too.
find node_modules -name .bin -prune -exec rm -rf {} +
rm -rf node_modules/.modules.yaml node_modules/.pnpm-workspace-state*.json

# A new volume is filled from this, as in the published image.
mv content "$home/content.orig"
ln -s "versions/$version" "$home/current"
