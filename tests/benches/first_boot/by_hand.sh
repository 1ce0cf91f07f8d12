#!/usr/bin/env bash
# What an administrator writes who sets up the same server from the same files with a shell, one thing after the other,
# for the bench beside it. In the environment: SOVEREIGN_SSH_CONFIG, INPUTS, VOLUME, PORT, IMAGE, RECIPIENT, MASKED.
set -euo pipefail
server() { ssh -F "$SOVEREIGN_SSH_CONFIG" server "$@"; }
# sshd answers nobody for a moment while it reads its configuration again.
reachable() { for _ in $(seq 50); do server true 2>/dev/null && return; sleep 0.2; done; return 1; }
option() { ssh -G -F "$SOVEREIGN_SSH_CONFIG" server | sed -n "s/^$1 //p"; }
started="apparmor chrony auditd apt-daily.timer apt-daily-upgrade.timer fail2ban"
stretch="--pbkdf argon2id --pbkdf-memory 8192 --pbkdf-force-iterations 4 --pbkdf-parallel 1"

# The right server, with its programs, and the files it is to have.
tar -C "$INPUTS" -c . | server 'mkdir -m 700 /run/peer && tar -C /run/peer -x'
server 'bash -seu' <<'THERE'
. /etc/os-release
test "$ID$VERSION_ID" = debian13
dpkg-query --show $(cat /run/peer/packages) >/dev/null || apt-get install --yes $(cat /run/peer/packages)
THERE

# A lasting host key, pinned before it is used.
server 'ssh-keygen -q -t ed25519 -N "" -C peer -f /run/peer/host-key'
echo "$(option hostkeyalias) $(server 'cat /run/peer/host-key.pub')" >> "$(option userknownhostsfile)"
server 'bash -seu' <<'THERE'
tar -C / -xf /run/peer/files.tar etc/ssh etc/cloud
rm -f /etc/ssh/ssh_host_*
install -m 600 /run/peer/host-key /etc/ssh/ssh_host_ed25519_key
install -m 644 /run/peer/host-key.pub /etc/ssh/ssh_host_ed25519_key.pub
sshd -t
systemctl reload ssh
THERE
reachable

# The volume, its keys off the server before anything uses it.
server "bash -seu -- '$VOLUME' $stretch" <<'THERE'
volume=/dev/disk/by-id/scsi-0HC_Volume_$1
shift
test "$(blkid -p "$volume" | wc -l)" = 0
mkdir -m 700 /run/peer/escrow
cd /run/peer/escrow
head -c 32 /dev/urandom | base64 -w 0 > luks-key
head -c 16 /dev/urandom | base64 -w 0 > recovery-key
head -c 32 /dev/urandom | base64 -w 0 > postgres-superuser-password
cryptsetup luksFormat --batch-mode --type luks2 --label sovereign --cipher aes-xts-plain64 --key-size 512 --hash sha256 \
    --sector-size 4096 --luks2-metadata-size 16k --luks2-keyslots-size 4064k --offset 8192 "$@" --key-file luks-key "$volume"
cryptsetup luksAddKey --batch-mode "$@" --key-file luks-key "$volume" recovery-key
cryptsetup open --test-passphrase --key-file recovery-key "$volume"
cryptsetup luksHeaderBackup --header-backup-file luks-header.img "$volume"
cryptsetup open --type luks2 --key-file luks-key "$volume" sovereign
mkfs.ext4 -q -m 1 -L sovereign -E lazy_itable_init=1,lazy_journal_init=1 /dev/mapper/sovereign
THERE
server 'tar -C /run/peer/escrow -c .' | age --recipient "$RECIPIENT" --output "$WORK/escrow.age"

# The host.
server "bash -seu -- '$MASKED' '$started'" <<'THERE'
tar -C / -xf /run/peer/files.tar
systemctl daemon-reload
systemctl mask --quiet $1
systemctl stop --quiet $1 2>/dev/null || true
swapoff --all
systemctl restart systemd-sysctl systemd-journald chrony
auditctl -R /etc/audit/rules.d/50-sovereign.rules >/dev/null
systemctl enable --quiet $2
systemctl start --no-block $2
sshd -t
systemctl reload ssh
THERE
reachable

# The firewall.
server "bash -seu -- '$PORT'" <<'THERE'
ufw default deny incoming
ufw default allow outgoing
ufw default deny routed
ufw logging low
ufw reject in on docker0
ufw reject in on br-+
ufw allow in proto tcp to any port "$1"
ufw reject out proto tcp to any port 25
cat /run/peer/after.rules >> /etc/ufw/after.rules
cat /run/peer/after6.rules >> /etc/ufw/after6.rules
ufw --force enable
THERE

# The engine, the stack and its data on the volume.
server "bash -seu -- '$IMAGE'" <<'THERE'
systemctl start srv-sovereign.mount
systemctl disable --quiet docker.service docker.socket containerd.service
systemctl start docker
docker pull --quiet "$1"
install -d -m 700 /srv/sovereign/stacks/postgres /srv/sovereign/stacks/postgres/secrets
install -d /srv/sovereign/data
install -d -m 700 -o 999 -g 999 /srv/sovereign/data/postgres
install -m 400 -o 999 -g 999 /run/peer/escrow/postgres-superuser-password /srv/sovereign/stacks/postgres/secrets/
install -m 600 /run/peer/compose.yaml /srv/sovereign/stacks/postgres/compose.yaml
systemctl enable --quiet sovereign-stack@postgres
systemctl start sovereign-stack@postgres
systemctl start sovereign-stacks.target
THERE

# A look at all of it.
server 'bash -seu' < "$LOOK"
server 'rm -rf /run/peer'
