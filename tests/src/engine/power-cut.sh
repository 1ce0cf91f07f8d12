# What a power cut leaves of a server: its disks. Daemons first, so that none of them sees a container end.
set -eu
daemons= containers=
server=$(readlink /proc/1/ns/pid)
for process in /proc/[0-9]*; do
    # A process may end meanwhile.
    name=$(cat "$process/comm" 2>/dev/null) || continue
    case $name in
    dockerd | containerd | containerd-shim*) daemons="$daemons ${process#/proc/}" ;;
    *) [ "$(readlink "$process/ns/pid" || echo "$server")" = "$server" ] || containers="$containers ${process#/proc/}" ;;
    esac
done
kill -KILL $daemons
# With its first process a container's others end by themselves.
kill -KILL $containers 2>/dev/null || true
while read -r _ _ _ _ point _; do
    # With a mount those on it are gone.
    case $point in /srv/sovereign/?* | /run/docker/*) umount --lazy --quiet "$point" || true ;; esac
done </proc/self/mountinfo
rm -rf /run/docker /run/docker.pid /run/docker.sock /run/containerd
for link in /sys/class/net/*; do
    [ ! -d "$link/bridge" ] || ip link delete "${link##*/}"
done
for iptables in iptables ip6tables; do
    for chain in INPUT FORWARD; do $iptables -P $chain ACCEPT; done
    for table in filter nat; do $iptables -t $table -F && $iptables -t $table -X; done
done
