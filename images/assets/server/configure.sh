#!/bin/sh
# Configures the unpacked packages of a root with programs of this machine's own architecture.
#
# Run by `unshare` as the first process of its own mount, pid, network and host-name namespaces: whatever is
# mounted or started here is gone when this script ends or is killed.
#
# $1 layers, topmost first, separated by colons: stubs, this machine's programs, the root itself
# $2 where what the maintainer scripts wrote is left, as overlayfs stores it
# $3 an empty directory
set -eu
layers=$1 written=$2 scratch=$3

hostname debian
# On a tmpfs, because an overlay's upper directory may not lie on an overlay, as in a container.
mount -t tmpfs -o mode=755 scratch "$scratch"
mkdir "$scratch/upper" "$scratch/work" "$scratch/root"
root=$scratch/root
mount -t overlay -o "lowerdir=$layers,upperdir=$scratch/upper,workdir=$scratch/work" overlay "$root"

mount -t proc proc "$root/proc"
mount -t tmpfs -o mode=755 run "$root/run"
mount -t tmpfs -o mode=1777 tmp "$root/tmp"
mount -t tmpfs -o mode=755 dev "$root/dev"
mkdir -m 1777 "$root/dev/shm"
for node in null zero full random urandom tty; do
    : > "$root/dev/$node"
    mount --bind "/dev/$node" "$root/dev/$node"
done
ln -s /proc/self/fd "$root/dev/fd"

# dpkg was not there when the packages were unpacked, so it is on us to run what comes before unpacking.
# base-passwd makes /etc/passwd, which the others' scripts expect.
for script in "$root"/var/lib/dpkg/info/base-passwd.preinst "$root"/var/lib/dpkg/info/*.preinst; do
    name=$(basename "$script" .preinst)
    DPKG_MAINTSCRIPT_NAME=preinst DPKG_MAINTSCRIPT_PACKAGE=${name%%:*} DPKG_ADMINDIR=/var/lib/dpkg DPKG_ROOT='' \
        chroot "$root" "/var/lib/dpkg/info/$name.preinst" install
done

chroot "$root" dpkg --force-unsafe-io --force-depends --configure base-passwd
chroot "$root" dpkg --force-unsafe-io --configure -a
# One process for all modules instead of one for each package: py3compile is a stub.
if [ -d "$root/usr/lib/python3" ]; then
    chroot "$root" python3 -m compileall -q -j0 --invalidation-mode timestamp /usr/lib/python3 /usr/lib/python3.*
fi
chroot "$root" dpkg --audit

umount -R "$root"
cp -a "$scratch/upper/." "$written/"
