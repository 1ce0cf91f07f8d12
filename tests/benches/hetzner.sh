#!/usr/bin/env bash
# What an administrator writes with the hcloud CLI to make and remove one project's server, for the bench beside it.
set -euo pipefail
labels=(--label managed-by=script --label project=peer)

hcloud ssh-key create --name peer --public-key-from-file key.pub "${labels[@]}"
hcloud firewall create --name peer --rules-file rules.json "${labels[@]}"
hcloud server create --name peer --type cax11 --image "$IMAGE" --location fsn1 --ssh-key peer --firewall peer \
    --user-data-from-file user-data.yaml "${labels[@]}"
hcloud volume create --name peer-data --size 10 --server peer "${labels[@]}"
for family in ipv4 ipv6; do
    case $family in
        ipv4) format='{{.PublicNet.IPv4.ID}}'; address='{{.PublicNet.IPv4.IP}}' ;;
        ipv6) format='{{.PublicNet.IPv6.ID}}'; address='{{.PublicNet.IPv6.IP}}' ;;
    esac
    id=$(hcloud server describe peer -o format="$format")
    ip=$(hcloud server describe peer -o format="$address")
    [ $family = ipv6 ] && ip=${ip}1
    hcloud primary-ip update "$id" --name "peer-$family" --auto-delete=false
    hcloud primary-ip add-label "$id" managed-by=script
    hcloud primary-ip add-label "$id" project=peer
    hcloud primary-ip set-rdns "$id" --ip "$ip" --hostname srv.example.org
    hcloud primary-ip enable-protection "$id" delete
done
hcloud server enable-protection peer delete rebuild
hcloud volume enable-protection peer-data delete

hcloud server disable-protection peer delete rebuild
hcloud volume disable-protection peer-data delete
hcloud server delete peer
hcloud volume delete peer-data
for family in ipv4 ipv6; do
    hcloud primary-ip disable-protection "peer-$family" delete
    hcloud primary-ip delete "peer-$family"
done
hcloud firewall delete peer
hcloud ssh-key delete peer
