# Whether a server set up by a peer is one, for the bench beside it.
test "$(findmnt --noheadings --output SOURCE /srv/sovereign)" = /dev/mapper/sovereign
cryptsetup isLuks /dev/disk/by-id/scsi-0HC_Volume_*
ufw status | grep -q '^Status: active'
iptables -S DOCKER-USER | grep -q -- '-j DROP'
ip6tables -S DOCKER-USER | grep -q -- '-j DROP'
sshd -T | grep -q '^disableforwarding yes'
test "$(sysctl -n kernel.kptr_restrict)" = 2
auditctl -l | grep -q execve
for unit in chrony auditd docker sovereign-stack@postgres; do systemctl is-active --quiet $unit; done
test "$(docker info --format '{{.DockerRootDir}} {{.LiveRestoreEnabled}}')" = '/srv/sovereign/docker true'
test "$(docker inspect --format '{{.State.Health.Status}}' postgres-postgres-1)" = healthy
