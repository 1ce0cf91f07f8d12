"""Servers and what belongs to them from creation to deletion, by Hetzner's own Python library.

Asks HCLOUD_ENDPOINT with HCLOUD_TOKEN, expects an empty project, and leaves one."""

import os
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone

from hcloud import APIException, Client
from hcloud.firewalls.domain import FirewallResource, FirewallResourceLabelSelector, FirewallRule
from hcloud.images.domain import Image
from hcloud.locations.domain import Location
from hcloud.server_types.domain import ServerType
from hcloud.servers.domain import ServerCreatePublicNetwork

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ9f0sP0mGk2v7x0w1l1yJ8o1f3Kk0w9c3J4mYq0b7uE fixture"
FSN1 = Location(name="fsn1")


@contextmanager
def refused(code):
    """What is in it must be refused with this code."""
    try:
        yield
    except APIException as error:
        assert error.code == code, f"refused with {error.code} instead of {code}: {error.message}"
    else:
        raise AssertionError(f"it was done instead of refused with {code}")


def settle(*actions):
    for action in actions:
        action.wait_until_finished()
        assert action.status == "success" and action.progress == 100 and action.finished, action.command


def names(resources):
    return sorted(resource.name for resource in resources)


def ids(resources):
    return sorted(resource.id for resource in resources)


def catalog(client):
    assert {"fsn1", "hel1"} <= set(names(client.locations.get_all()))
    kind = client.server_types.get_by_name("cax11")
    assert kind.architecture == "arm" and client.server_types.get_by_id(kind.id).name == "cax11"
    assert {place.location.name for place in kind.locations} == {"fsn1", "nbg1", "hel1"}
    for architecture in ("arm", "x86"):
        image = client.images.get_by_name_and_architecture("debian-13", architecture)
        assert image.architecture == architecture and image.type == "system"
    assert client.server_types.get_by_name("none") is None
    assert client.images.get_all(type=["snapshot"]) == []
    with refused("not_found"):
        client.servers.get_by_id(1)
    with refused("deprecated_api_endpoint"):
        client._client.request(method="GET", url="/datacenters")


def keys(client):
    key = client.ssh_keys.create(name="operator", public_key=KEY, labels={"team": "blue"})
    with refused("uniqueness_error"):
        client.ssh_keys.create(name="again", public_key=KEY)
    with refused("invalid_input"):
        client.ssh_keys.create(name="broken", public_key="ssh-none AAAA")
    assert client.ssh_keys.get_by_fingerprint(key.fingerprint).id == key.id
    key = key.update(name="admin", labels={"team": "red"})
    assert names(client.ssh_keys.get_all(label_selector="team in (red, green)")) == ["admin"]
    assert client.ssh_keys.get_all(label_selector="team!=red") == []
    assert names(client.ssh_keys.get_all(label_selector="")) == ["admin"]
    with refused("invalid_input"):
        client.ssh_keys.get_all(label_selector="team in (")
    return key


def pages(client):
    """Lists of several pages come whole; a project may have so many firewalls and no more."""
    made = []
    with refused("resource_limit_exceeded"):
        while len(made) < 1000:
            made.append(client.firewalls.create(name=f"page-{len(made):03}").firewall)
    assert ids(client.firewalls.get_all()) == ids(made)
    page = client.firewalls.get_list(page=2, per_page=len(made) - 3, sort=["name:desc"])
    assert names(page.firewalls) == ["page-000", "page-001", "page-002"]
    assert page.meta.pagination.previous_page == 1 and page.meta.pagination.next_page is None
    assert all(firewall.delete() for firewall in made)

    created = client.volumes.create(size=10, name="pages", location=FSN1)
    settle(created.action, *created.next_actions)
    volume = created.volume
    for number in range(52):
        settle(volume.change_protection(delete=number % 2 == 0))
    actions = volume.get_actions(sort=["id:desc"])
    assert len(actions) > 50 and ids(actions) == sorted({action.id for action in actions})
    assert volume.delete()


def server_with_everything(client, key):
    anywhere = ["0.0.0.0/0", "::/0"]
    ssh = FirewallRule(direction="in", protocol="tcp", port="22", source_ips=anywhere)
    firewall = client.firewalls.create(name="wall", rules=[ssh], labels={"tier": "front"}).firewall
    created = client.volumes.create(size=10, name="data", location=FSN1, format="ext4")
    settle(created.action, *created.next_actions)
    volume = created.volume
    with refused("uniqueness_error"):
        client.volumes.create(size=10, name="data", location=FSN1)
    addresses = {}
    for kind in ("ipv4", "ipv6"):
        created = client.primary_ips.create(type=kind, name=f"front-{kind}", location=FSN1, auto_delete=False)
        assert created.primary_ip.assignee_id is None
        addresses[kind] = created.primary_ip

    wanted = dict(
        name="web",
        server_type=ServerType(name="cax11"),
        image=client.images.get_by_name_and_architecture("debian-13", "arm"),
        location=FSN1,
        ssh_keys=[key],
        firewalls=[firewall],
        volumes=[volume],
        user_data="#cloud-config\n{}\n",
        labels={"tier": "front", "example.com/role": "app"},
        public_net=ServerCreatePublicNetwork(ipv4=addresses["ipv4"], ipv6=addresses["ipv6"]),
    )
    created = client.servers.create(**wanted)
    assert created.root_password is None
    settle(created.action, *created.next_actions)
    with refused("uniqueness_error"):
        client.servers.create(**{**wanted, "volumes": None, "public_net": None})
    server = client.servers.get_by_name("web")
    assert server.status == "running" and server.id == created.server.id and not server.locked
    assert server.public_net.primary_ipv4.id == addresses["ipv4"].id
    assert server.public_net.ipv4.ip == addresses["ipv4"].ip
    assert ids(server.volumes) == [volume.id]
    assert [held.firewall.id for held in server.public_net.firewalls] == [firewall.id]
    assert names(client.servers.get_all(label_selector="tier==front,example.com/role,!none")) == ["web"]
    assert client.servers.get_all(label_selector="tier notin (front)") == []
    assert client.servers.get_all(status=["off"]) == []
    assert "create_server" in [action.command for action in server.get_actions(sort=["id:asc"])]
    return server, firewall, volume, addresses


def servers(client, server, key):
    server = server.update(name="shop", labels={"tier": "front"})
    assert client.servers.get_by_name("web") is None and server.name == "shop"
    for change, status in [("power_off", "off"), ("power_on", "running"), ("reboot", "running"), ("reset", "running")]:
        settle(getattr(server, change)())
        server.reload()
        assert server.status == status, f"{server.status} after {change}"
    settle(server.change_dns_ptr(server.public_net.ipv4.ip, "shop.example.com"))
    server.reload()
    assert server.public_net.ipv4.dns_ptr == "shop.example.com"

    settle(server.change_protection(delete=True, rebuild=True))
    with refused("protected"):
        server.delete()
    with refused("protected"):
        server.rebuild(Image(name="ubuntu-24.04"), user_data="#cloud-config\n{}\n")
    with refused("invalid_input"):
        server.change_protection(delete=False, rebuild=True)
    settle(server.change_protection(delete=False, rebuild=False))
    settle(server.rebuild(Image(name="ubuntu-24.04")).action)
    server.reload()
    assert server.image.name == "ubuntu-24.04" and server.image.architecture == "arm"

    rescue = server.enable_rescue(type="linux64", ssh_keys=[key.id])
    settle(rescue.action)
    server.reload()
    assert server.rescue_enabled
    settle(server.disable_rescue())
    server.reload()
    assert not server.rescue_enabled

    settle(server.enable_backup())
    server.reload()
    assert server.backup_window
    settle(server.disable_backup())

    with refused("server_not_stopped"):
        server.change_type(ServerType(name="cax21"), upgrade_disk=False)
    settle(server.power_off())
    with refused("invalid_server_type"):
        server.change_type(ServerType(name="cx33"), upgrade_disk=False)
    settle(server.change_type(ServerType(name="cax21"), upgrade_disk=False))
    server.reload()
    assert server.server_type.name == "cax21" and server.primary_disk_size == 40

    assert server.reset_password().root_password
    assert server.request_console().wss_url.startswith("wss://")
    now = datetime.now(timezone.utc)
    metrics = server.get_metrics(["cpu", "network"], start=now - timedelta(minutes=5), end=now).metrics
    assert "cpu" in metrics.time_series and metrics.step


def images(client, server, key):
    created = server.create_image(description="golden", type="snapshot", labels={"keep": "yes"})
    settle(created.action)
    image = client.images.get_by_id(created.image.id)
    assert image.status == "available" and image.type == "snapshot" and image.created_from.id == server.id
    image = image.update(description="silver", labels={"keep": "no"})
    assert image.description == "silver"
    settle(image.change_protection(delete=True))
    with refused("protected"):
        image.delete()
    settle(image.change_protection(delete=False))
    assert ids(client.images.get_all(type=["snapshot"], label_selector="keep=no")) == [image.id]

    created = client.servers.create("twin", ServerType(name="cax21"), image, ssh_keys=[key], location=FSN1)
    settle(created.action, *created.next_actions)
    assert created.server.image.id == image.id
    settle(created.server.delete())
    assert image.delete()
    with refused("not_found"):
        client.images.get_by_id(image.id)


def firewalls(client, server, firewall):
    web = FirewallRule(direction="in", protocol="tcp", port="80-85", source_ips=["10.0.0.0/8"], description="web")
    ping = FirewallRule(direction="in", protocol="icmp", source_ips=["::/0"])
    settle(*firewall.set_rules([web, ping]))
    firewall.reload()
    assert [rule.protocol for rule in firewall.rules] == ["tcp", "icmp"] and firewall.rules[0].port == "80-85"
    with refused("invalid_input"):
        firewall.set_rules([FirewallRule(direction="in", protocol="tcp", source_ips=["10.0.0.0/8"])])
    with refused("resource_in_use"):
        firewall.delete()
    settle(*firewall.remove_from_resources([FirewallResource(type="server", server=server)]))
    selector = FirewallResourceLabelSelector(selector="tier=front")
    by_label = FirewallResource(type="label_selector", label_selector=selector)
    settle(*firewall.apply_to_resources([by_label]))
    firewall.reload()
    effective = firewall.applied_to[0].applied_to_resources
    assert [resource.server.id for resource in effective] == [server.id]
    settle(*firewall.remove_from_resources([by_label]))
    assert firewall.delete()


def volumes(client, server, volume):
    with refused("volume_already_attached"):
        volume.attach(server)
    settle(volume.resize(20))
    with refused("invalid_input"):
        volume.resize(10)
    settle(volume.detach())
    volume.reload()
    assert volume.server is None and volume.size == 20 and volume.linux_device.endswith(f"HC_Volume_{volume.id}")
    settle(volume.attach(server, automount=False))
    volume.reload()
    assert volume.server.id == server.id
    settle(volume.change_protection(delete=True))
    settle(volume.detach())
    with refused("protected"):
        volume.delete()
    settle(volume.change_protection(delete=False))
    volume = volume.update(name="archive", labels={"keep": "yes"})
    assert names(client.volumes.get_all(label_selector="keep")) == ["archive"]
    settle(volume.attach(server))


def leave(client, server, volume, addresses, key):
    """Volumes and kept addresses outlive their server."""
    settle(addresses["ipv4"].change_dns_ptr(addresses["ipv4"].ip, "front.example.com"))
    with refused("must_be_unassigned"):
        addresses["ipv4"].delete()
    with refused("server_not_stopped"):
        addresses["ipv4"].unassign()
    settle(server.power_off())
    settle(addresses["ipv4"].unassign())
    settle(addresses["ipv4"].assign(server.id, "server"))
    settle(server.delete())
    with refused("not_found"):
        server.reload()
    volume.reload()
    assert volume.server is None and volume.delete()
    for address in addresses.values():
        address.reload()
        assert address.assignee_id is None and address.assignee_type != "server"
        settle(address.change_protection(delete=True))
        with refused("protected"):
            address.delete()
        settle(address.change_protection(delete=False))
        assert address.delete()
    assert key.delete()


def main():
    client = Client(os.environ["HCLOUD_TOKEN"], os.environ["HCLOUD_ENDPOINT"], poll_interval=0.02, timeout=10)
    with refused("unauthorized"):
        Client("x" * 64, os.environ["HCLOUD_ENDPOINT"]).servers.get_all()
    catalog(client)
    key = keys(client)
    pages(client)
    server, firewall, volume, addresses = server_with_everything(client, key)
    servers(client, server, key)
    images(client, server, key)
    firewalls(client, server, firewall)
    volumes(client, server, volume)
    leave(client, server, volume, addresses, key)
    for kind in ("servers", "volumes", "firewalls", "primary_ips", "ssh_keys"):
        left = getattr(client, kind).get_all()
        assert left == [], f"{kind} left: {names(left)}"
    print("servers and what belongs to them are as hcloud expects them")


if __name__ == "__main__":
    main()
