#!/bin/busybox sh
# Finds the root file system that the kernel's command line names, and hands over to it.
busybox mount -t devtmpfs dev /dev
busybox mount -t proc proc /proc
while read -r module; do busybox insmod "/modules/$module"; done < /modules/order

for word in $(busybox cat /proc/cmdline); do
    case $word in root=*) wanted=${word#root=} ;; esac
done
tries=0
until device=$(busybox findfs "$wanted" 2>/dev/null); do
    tries=$((tries + 1))
    [ "$tries" -lt 300 ] || { echo "initrd: no file system $wanted" > /dev/console; busybox poweroff -f; }
    busybox usleep 50000
done

# The journal is replayed by the mount itself, so a cut of power needs no check here.
busybox mount -t ext4 "$device" /root
busybox mount --move /dev /root/dev
busybox umount /proc
exec busybox switch_root /root /sbin/init
