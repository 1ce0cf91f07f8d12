# The first process of a machine with an engine, in namespaces of its own. $1 the root that Debian's packages make, $2 a
# directory to mount on, $3 the registry's directory, $4 the size of the data volume, $5 the program that is firstboot.
set -eu
mount --make-rprivate /
mount -t tmpfs -o mode=0755 engine "$2"
mkdir "$2/upper" "$2/work" "$2/root"
mount -t overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" engine "$2/root"
cd "$2/root"
mkdir -p srv/sovereign etc/docker usr/local/lib/sovereign old
# By the name of the open LUKS volume, which firstboot looks for.
mount -t tmpfs -o "mode=0755,size=$4" /dev/mapper/sovereign srv/sovereign
: >usr/local/lib/sovereign/firstboot
mount --bind "$5" usr/local/lib/sovereign/firstboot
mount -t tmpfs -o mode=0755 run run
mkdir run/registry
mount --bind "$3" run/registry
mount -t proc proc proc
mount -t sysfs sysfs sys
mount --rbind /sys/fs/cgroup sys/fs/cgroup
mount --rbind /dev dev
# What the packages' own scripts would have linked.
rmdir var/run
ln -s /run var/run
for family in iptables ip6tables; do
    for verb in "" -save -restore; do ln -s "$family-nft$verb" "usr/sbin/$family$verb"; done
done
echo 'root:x:0:0:root:/root:/bin/sh' >etc/passwd
printf 'root:x:0:\ndocker:x:999:\n' >etc/group
pivot_root . old
exec chroot . sh -c '
set -eu
umount -l /old
hostname server
# A side: its name, the device towards it, the addresses of both ends over IPv4 and IPv6.
side() {
    ip netns add "$1"
    ip link add "$2" type veth peer name eth0 netns "$1"
    ip addr add "$3" dev "$2"
    ip -6 addr add "$4" dev "$2" nodad
    ip -n "$1" addr add "$5" dev eth0
    ip -n "$1" -6 addr add "$6" dev eth0 nodad
    ip link set "$2" up
    ip -n "$1" link set lo up
    ip -n "$1" link set eth0 up
}
ip link set lo up
side internet eth0 192.0.2.10/24 2001:db8:77::10/64 192.0.2.1/24 2001:db8:77::1/64
side vpn tailscale0 100.64.0.1/10 fd7a:115c:a1e0::1/48 100.64.0.2/10 fd7a:115c:a1e0::2/48
ip route add default via 192.0.2.1
ip -6 route add default via 2001:db8:77::1
# The rest of the world, and the metadata service, are at the other end of the first cable.
for address in 198.51.100.1/32 169.254.169.254/32; do ip -n internet addr add "$address" dev lo; done
ip -n internet -6 addr add 2001:db8:66::1/128 dev lo nodad
# Whoever out there knows the networks of containers sends there by way of the server.
for range in 10.0.0.0/8 172.16.0.0/12; do ip -n internet route add "$range" via 192.0.2.10; done
ip -n internet -6 route add fd00::/8 via 2001:db8:77::10
for range in 10.0.0.0/8 172.16.0.0/12; do ip -n vpn route add "$range" via 100.64.0.1; done
ip -n vpn -6 route add fd00::/8 via fd7a:115c:a1e0::1
LAST
'
